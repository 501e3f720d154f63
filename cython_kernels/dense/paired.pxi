# Paired rows: out[i] = cosine(X[i], Y[i]).
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, plan.pxi, queries.pxi, integers.pxi,
#        vectors.h, memory.h, openmp.h
# gives: Paired, BATCH, start_paired, place_paired, next_rows, sum_block, next_blocks, run_paired
#
# A lane holds one block of features of one row, so that one long pair fills a vector as well as
# many short ones do; block sums are added in order, which makes the bits those of the full matrix.
# Where LANES rows of X and of Y stand one after the other in memory, a lane holds a run instead, as
# in queries.pxi: both are read in order.

cdef enum:
    WHOLE_RUNS = 64                  # runs of a row, at most, where lanes are runs
    BATCH = 1 << 15                  # block sums kept at a time, or rows, where there are no such
    TASK_VECTORS = 8                 # vectors of lanes a task
    HALF = LANES // 2

cdef struct Paired:
    Source X, Y
    Output out
    int integers                     # integers_of
    bint careful
    real zero_inverse
    int threads, process
    # the batch at hand: blocks [block0, block0 + blocks) of rows [row0, row0 + rows)
    Py_ssize_t row0, rows, block0, blocks
    bint whole_rows                  # all blocks of a number of rows that LANES divides
    Py_ssize_t whole                 # how many of its blocks are BLOCK long
    real* sums                       # [dot, norm2 of X, norm2 of Y][row][block]
    real* totals                     # [dot, norm2 of X, norm2 of Y][row], over batches of blocks
    int* exponent                    # [X, Y][row]
    int* status


cdef inline void sum_block(const bint dot_alone, const real** lane_X, const real** lane_Y,
                           const char** after_X, const char** after_Y, Py_ssize_t padded,
                           vec* sum, vec* smallest) noexcept nogil:
    """sum[:3] = x.y, x.x and y.y over a block, in the canonical order; `smallest`: see tiny_lanes.

    `after_X`, `after_Y`: what is brought near meanwhile. `dot_alone`: sum[0] and nothing else.
    """
    cdef vec x[LANES]
    cdef vec y[LANES]
    cdef vec part[3]
    cdef Py_ssize_t k
    cdef int i, q, sums = 1 if dot_alone else 3
    for q in range(sums):
        sum[q] = part[q] = splat(0)
    for k in range(padded // LANES):
        if k % (RUN // LANES) == 0:
            for q in range(sums):
                sum[q], part[q] = sum[q] + part[q], splat(0)
        load_transposed(lane_X, k * LANES, x)
        load_transposed(lane_Y, k * LANES, y)
        for i in range(LANES):
            part[0] = madd(x[i], y[i], part[0])
            if not dot_alone:
                prefetch_second(after_X[i] + k * sizeof(vec))
                prefetch_second(after_Y[i] + k * sizeof(vec))
                part[1] = madd(x[i], x[i], part[1])
                part[2] = madd(y[i], y[i], part[2])
                smallest[0] = min_magnitude(x[i], smallest[0])
                smallest[1] = min_magnitude(y[i], smallest[1])
    for q in range(sums):
        sum[q] = sum[q] + part[q]


cdef int sum_lanes(Paired* job, Py_ssize_t first, Py_ssize_t lanes, Py_ssize_t start,
                   Py_ssize_t blocks) noexcept nogil:
    """Sums of `lanes` <= LANES blocks from the first-th on; a row has `blocks` from `start` on."""
    cdef real stage_X[LANES * BLOCK]
    cdef real stage_Y[LANES * BLOCK]
    cdef const real* lane_X[LANES]
    cdef const real* lane_Y[LANES]
    cdef const char* after_X[LANES]
    cdef const char* after_Y[LANES]
    cdef vec sum[3]
    cdef vec smallest[2]
    cdef real lane_sums[LANES]
    cdef Py_ssize_t row, block, plane = job.rows * job.blocks
    cdef Py_ssize_t count = block_length(job.X.features, job.block0 + start)
    cdef Py_ssize_t padded = ceil_div(count, LANES) * LANES
    cdef int i, q
    smallest[0] = smallest[1] = splat(REAL_MAX)
    for i in range(LANES):
        lane_X[i] = lane_Y[i] = ZEROS
        after_X[i] = after_Y[i] = <const char*> ZEROS
        if i < lanes:
            # the lane's next block, LANES blocks further on
            row, block = (first + i + LANES) // blocks, (first + i + LANES) % blocks
            block += job.block0 + start
            after_X[i] = (job.X.data + (job.row0 + row) * job.X.row_stride
                          + block * BLOCK * job.X.feature_stride)
            after_Y[i] = (job.Y.data + (job.row0 + row) * job.Y.row_stride
                          + block * BLOCK * job.Y.feature_stride)
            row, block = (first + i) // blocks, job.block0 + start + (first + i) % blocks
            lane_X[i] = lane_of(&job.X, job.row0 + row, block, count, padded,
                                entry(job.exponent, row),
                                stage_X + i * BLOCK)
            lane_Y[i] = lane_of(&job.Y, job.row0 + row, block, count, padded,
                                entry(job.exponent, job.rows + row),
                                stage_Y + i * BLOCK)
    sum_block(False, lane_X, lane_Y, after_X, after_Y, padded, sum, smallest)
    for q in range(3):
        store(lane_sums, sum[q])
        for i in range(<int> lanes):
            row, block = (first + i) // blocks, start + (first + i) % blocks
            job.sums[q * plane + row * job.blocks + block] = lane_sums[i]
    if job.careful:
        return 0
    return (tiny_lanes(smallest[0], lane_X, lanes, count)
            | tiny_lanes(smallest[1], lane_Y, lanes, count))


cdef inline bint in_order(const Source* s) noexcept nogil:
    return (is_loadable(s) and s.features % RUN == 0 and s.features <= WHOLE_RUNS * RUN
            and s.row_stride == s.features * s.itemsize)


cdef inline bint has_whole_rows(const Paired* job) noexcept nogil:
    # but for less than LANES of them
    return job.integers or (in_order(&job.X) and in_order(&job.Y) and not job.careful)


cdef bint any_tiny(const Source* s, Py_ssize_t row, vec smallest) noexcept nogil:
    # of LANES rows from `row` on
    cdef int i
    if small_lanes(smallest):
        for i in range(LANES):
            if row_has_tiny(s, row + i):
                return True
    return False


cdef inline void turn_runs(const int kind, const char* runs, int k, vec* pairs,
                           vec* t) noexcept nogil:
    """`transposed_runs`, of bfloat16s by twos: `pairs` is kept from each other k to the next."""
    cdef vec a[LANES]
    cdef int j
    if not (BFLOAT_PAIRS and kind == BFLOAT16):
        transposed_runs(kind, runs, k, t)
        return
    if k % (2 * LANES) == 0:
        for j in range(LANES):
            a[j] = load(<const real*> (runs + (j * RUN + k) * sizeof(uint16_t)))
        transpose(a, pairs)
    for j in range(LANES // 2):
        t[2 * j] = first_bfloat(pairs[k % (2 * LANES) // 2 + j])
        t[2 * j + 1] = second_bfloat(pairs[k % (2 * LANES) // 2 + j])


cdef inline void add_products(const int kind_X, const int kind_Y, const char* X, const char* Y,
                              int k, const int first, const int stop, const vec* x, const vec* y,
                              vec* part, vec* small) noexcept nogil:
    cdef int i
    for i in range(first, stop):     # what is brought near is spread: it is dropped in a row
        bring_near(size_as(kind_X), X, k, i, True)
        bring_near(size_as(kind_Y), Y, k, i, True)
        part[0] = madd(x[i], y[i], part[0])
        part[1] = madd(x[i], x[i], part[1])
        part[2] = madd(y[i], y[i], part[2])
        small[0] = min_magnitude(x[i], small[0])
        small[1] = min_magnitude(y[i], small[1])


cdef inline void sum_whole_runs(const int kind_X, const int kind_Y, const char* X, const char* Y,
                                Py_ssize_t vectors, real* sums, Py_ssize_t plane,
                                vec* smallest) noexcept nogil:
    """sums[:3] = x.y, x.x and y.y of every run; smallest: of X and of Y."""
    cdef Py_ssize_t step_X = LANES * RUN * size_as(kind_X)
    cdef Py_ssize_t step_Y = LANES * RUN * size_as(kind_Y), v
    cdef vec x[LANES]
    cdef vec y[LANES]
    cdef vec pairs_X[LANES]
    cdef vec pairs_Y[LANES]
    cdef vec part[3]
    cdef vec small[2]
    cdef int k, q
    small[0] = small[1] = splat(REAL_MAX)
    for v in range(vectors):
        for q in range(3):
            part[q] = splat(0)
        for k in range(RUN // LANES):
            turn_runs(kind_X, X + v * step_X, k * LANES, pairs_X, x)
            turn_runs(kind_Y, Y + v * step_Y, k * LANES, pairs_Y, y)
            # in halves: GCC would not unroll the whole, and store x and y for it
            add_products(kind_X, kind_Y, X + v * step_X, Y + v * step_Y, k * LANES, 0, HALF, x, y,
                         part, small)
            add_products(kind_X, kind_Y, X + v * step_X, Y + v * step_Y, k * LANES, HALF, LANES,
                         x, y, part, small)
        for q in range(3):
            store(sums + q * plane + v * LANES, part[q])
    smallest[0], smallest[1] = small[0], small[1]


cdef void sum_whole_rows(Paired* job, Py_ssize_t first, int thread) noexcept nogil:
    """The totals of LANES rows from the first-th on, lanes being runs."""
    cdef const char* X = job.X.data + (job.row0 + first) * job.X.row_stride
    cdef const char* Y = job.Y.data + (job.row0 + first) * job.Y.row_stride
    cdef Py_ssize_t vectors = job.X.features // RUN
    cdef int kind = job.X.kind, other = job.Y.kind, q
    cdef real sums[3][LANES * WHOLE_RUNS]
    cdef vec smallest[2]
    if not HALF_LOADS or job.X.native and job.Y.native:
        sum_whole_runs(FLOAT32, FLOAT32, X, Y, vectors, sums[0], LANES * WHOLE_RUNS, smallest)
    elif kind == FLOAT16 and other == FLOAT16:
        sum_whole_runs(FLOAT16, FLOAT16, X, Y, vectors, sums[0], LANES * WHOLE_RUNS, smallest)
    elif kind == BFLOAT16 and other == BFLOAT16:
        sum_whole_runs(BFLOAT16, BFLOAT16, X, Y, vectors, sums[0], LANES * WHOLE_RUNS, smallest)
    else:
        sum_whole_runs(kind, other, X, Y, vectors, sums[0], LANES * WHOLE_RUNS, smallest)
    for q in range(3):
        store(job.totals + q * job.rows + first, totals_of(sums[q], vectors))
    if (any_tiny(&job.X, job.row0 + first, smallest[0])
            or any_tiny(&job.Y, job.row0 + first, smallest[1])):
        job.status[thread * LINE] |= CARE


cdef inline Py_ssize_t runs(Py_ssize_t lanes) noexcept nogil:
    return ceil_div(lanes, TASK_VECTORS * LANES)


cdef void sum_run(Paired* job, Py_ssize_t task, int thread) noexcept nogil:
    """One task: TASK_VECTORS vectors of whole blocks, or of the shorter last ones."""
    cdef Py_ssize_t start = 0, blocks = job.whole, first, stop
    if task >= runs(job.rows * blocks):
        task -= runs(job.rows * blocks)
        start, blocks = job.whole, 1
    first = task * TASK_VECTORS * LANES
    stop = at_most(first + TASK_VECTORS * LANES, job.rows * blocks)
    while first < stop:
        job.status[thread * LINE] |= sum_lanes(job, first, at_most(LANES, stop - first), start,
                                               blocks)
        first += LANES


cdef void total_row(Paired* job, Py_ssize_t row) noexcept nogil:
    cdef Py_ssize_t q, b
    cdef real total
    cdef const real* sums
    for q in range(3):
        sums = job.sums + (q * job.rows + row) * job.blocks
        total = sums[0] if job.block0 == 0 else job.totals[q * job.rows + row] + sums[0]
        for b in range(1, job.blocks):
            total = total + sums[b]
        job.totals[q * job.rows + row] = total


cdef void finish_rows(Paired* job, Py_ssize_t first, int thread) noexcept nogil:
    """The cosines of up to LANES rows from the first-th on."""
    cdef real lanes[5][LANES]        # dot, inverse and rest of X, of Y
    cdef int i, count = <int> at_most(LANES, job.rows - first)
    cdef Py_ssize_t row
    memset(lanes, 0, sizeof(lanes))
    for i in range(count):
        row = first + i
        lanes[0][i] = job.totals[row]
        job.status[thread * LINE] |= (
            invert_norm(job.totals[job.rows + row], job.careful, job.zero_inverse,
                        &lanes[1][i], &lanes[2][i])
            | invert_norm(job.totals[2 * job.rows + row], job.careful, job.zero_inverse,
                          &lanes[3][i], &lanes[4][i]))
    store(lanes[0], cosine(load(lanes[0]), load(lanes[1]), load(lanes[2]), load(lanes[3]),
                           load(lanes[4]), job.out.distance))
    put(&job.out, 0, job.row0 + first, count, lanes[0])


cdef enum:                           # a batch, stage by stage
    WHOLE_ROWS                       # this one alone, or all others
    FIND_EXPONENTS
    SUM_BLOCKS
    ADD_BLOCKS
    FINISH_ROWS
    STAGES


cdef Py_ssize_t tasks_in(const Paired* job, int stage, bint last) noexcept nogil:
    if job.whole_rows or stage == WHOLE_ROWS:
        return ceil_div(job.rows, LANES) if job.whole_rows and stage == WHOLE_ROWS else 0
    if stage == FIND_EXPONENTS:
        return job.rows if job.careful and job.block0 == 0 else 0
    if stage == SUM_BLOCKS:
        return runs(job.rows * job.whole) + (runs(job.rows) if job.whole < job.blocks else 0)
    if stage == ADD_BLOCKS:
        return job.rows
    return ceil_div(job.rows, LANES) if last else 0


cdef void paired_task(Paired* job, int stage, Py_ssize_t task, int thread) noexcept nogil:
    if stage == WHOLE_ROWS:
        if job.integers:
            sum_byte_rows(job, task * LANES)
        else:
            sum_whole_rows(job, task * LANES, thread)
        finish_rows(job, task * LANES, thread)
    elif stage == FIND_EXPONENTS:
        job.exponent[task] = row_exponent(&job.X, job.row0 + task)
        job.exponent[job.rows + task] = row_exponent(&job.Y, job.row0 + task)
    elif stage == SUM_BLOCKS:
        sum_run(job, task, thread)
    elif stage == ADD_BLOCKS:
        total_row(job, task)
    else:
        finish_rows(job, task * LANES, thread)


cdef void paired_batch(Paired* job, bint last) noexcept nogil:
    cdef int stage
    cdef Py_ssize_t tasks, t
    for stage in range(STAGES):
        tasks = tasks_in(job, stage, last)
        if job.threads == 1:         # without OpenMP: a single pair takes no longer than its start
            for t in range(tasks):
                paired_task(job, stage, t, 0)
        else:
            for t in prange(tasks, schedule="guided", chunksize=8,
                            num_threads=threads_in(job.process, job.threads)):
                paired_task(job, stage, t, omp_get_thread_num())


cdef size_t plan_paired(Paired* job, char* memory) noexcept nogil:
    cdef char* start = memory
    cdef size_t rows = job.rows
    job.sums = <real*> carve(&memory, 3 * at_most(rows * job.blocks, BATCH) * sizeof(real))
    job.totals = <real*> carve(&memory, 3 * rows * sizeof(real))
    job.exponent = NULL
    if job.careful:
        job.exponent = <int*> carve(&memory, 2 * rows * sizeof(int))
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    return memory - start


cdef void next_blocks(Paired* job, Py_ssize_t blocks, Py_ssize_t most) noexcept nogil:
    """The batch's rows, over `most` further ones of their blocks."""
    job.blocks = at_most(most, blocks - job.block0)
    job.whole = at_most(job.blocks, job.X.features // BLOCK - job.block0)
    paired_batch(job, job.block0 + job.blocks == blocks)
    job.block0 += job.blocks


cdef size_t start_paired(Paired* job) noexcept nogil:
    """Choose the largest batch; returns the bytes it needs."""
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK)
    job.integers = 0 if job.careful or blocks > BATCH else integers_of(&job.X, &job.Y)
    job.rows = at_most(job.X.rows, BATCH if has_whole_rows(job) else at_least(1, BATCH // blocks))
    job.blocks = at_most(blocks, BATCH)
    return plan_paired(job, NULL)


cdef void place_paired(Paired* job, char* memory) noexcept nogil:
    plan_paired(job, memory)
    memset(job.status, 0, LINE * sizeof(int) * job.threads)
    job.row0 = 0


cdef void next_rows(Paired* job, Py_ssize_t most) noexcept nogil:
    """The batch's rows are the next ones, `most` at most."""
    job.rows = at_most(most, job.X.rows - job.row0)
    job.whole_rows = has_whole_rows(job) and (job.integers or job.rows >= LANES)
    if job.whole_rows and not job.integers:
        job.rows -= job.rows % LANES
    job.block0 = 0


cdef int run_paired(Paired* job) except -1:
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK), most
    cdef int thread, status = 0
    cdef Block* held = allocate(start_paired(job), FOR_PANELS)
    most = job.rows
    try:
        place_paired(job, held.memory)
        while job.row0 < job.X.rows:
            next_rows(job, most)
            while job.block0 < blocks:
                with nogil:
                    next_blocks(job, blocks, BATCH)
                PyErr_CheckSignals()
            job.row0 += job.rows
        for thread in range(job.threads):
            status |= job.status[thread * LINE]
        return status
    finally:
        block_release(held)
