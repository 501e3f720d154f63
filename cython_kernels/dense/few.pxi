# Few rows with very many features: a lane is a block of features. LANES blocks of every row are
# transposed, every row meets every row a vector of blocks at a time, and the block sums are kept
# and added in order. Threads share out the blocks. The same bits as any other way.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, full.pxi, vectors.h, memory.h, openmp.h
# gives: is_few, run_few

cdef enum:
    FEW = 16                         # rows on either side
    TILE_X = 2                       # rows of X by rows of Y that a turn holds in registers
    TILE_Y = 6
    ROOM = FEW + TILE_Y              # rows of one side, filled up to whole tiles
    SUMS = 4 << 20                   # bytes of block sums, a thread
    SHARE = 4 * BLOCK * LANES        # features that are worth a thread

cdef struct Few:                     # what all threads share of one stretch of blocks
    Job* job
    Py_ssize_t block0, blocks        # the stretch
    Py_ssize_t whole                 # how many of its blocks are BLOCK long
    Py_ssize_t count                 # sums of a block, and up to whole vectors
    real* sums                       # [batch of LANES blocks][dot i, j | norm2 of X | of Y][lane]


cdef bint is_few(const Job* job) noexcept nogil:
    return job.X.rows <= FEW and job.Y.rows <= FEW and job.X.features >= SHARE


cdef inline Py_ssize_t padded_to(Py_ssize_t count, Py_ssize_t step) noexcept nogil:
    return ceil_div(count, step) * step


cdef inline void few_tile(const vec* x, const vec* y, vec* block, Py_ssize_t columns,
                          bint first) noexcept nogil:
    # block[i, j] (+)= sum_k x[i, k] * y[j, k] over a run of features, for every lane
    cdef vec acc[TILE_X][TILE_Y]
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(TILE_X):
        for j in range(TILE_Y):
            acc[i][j] = splat(0)
    for k in range(RUN):
        for i in range(TILE_X):
            for j in range(TILE_Y):
                acc[i][j] = madd(x[i * RUN + k], y[j * RUN + k], acc[i][j])
    for i in range(TILE_X):
        for j in range(TILE_Y):
            block[i * columns + j] = acc[i][j] if first else block[i * columns + j] + acc[i][j]


cdef inline void few_squares(const vec* y, vec* block, bint first) noexcept nogil:
    # block[j] (+)= sum_k y[j, k]^2, of as many rows as keep the multiply-adds busy
    cdef vec acc[TILE_Y]
    cdef Py_ssize_t k
    cdef int j
    for j in range(TILE_Y):
        acc[j] = splat(0)
    for k in range(RUN):
        for j in range(TILE_Y):
            acc[j] = madd(y[j * RUN + k], y[j * RUN + k], acc[j])
    for j in range(TILE_Y):
        block[j] = acc[j] if first else block[j] + acc[j]


cdef inline vec few_transpose(const real* row, Py_ssize_t count, vec* t,
                              vec smallest) noexcept nogil:
    """t[k] = feature k of LANES blocks that follow one another, for a run of `count`."""
    cdef const real* lane[LANES]
    cdef Py_ssize_t k
    cdef int i
    for i in range(LANES):
        lane[i] = row + i * BLOCK
    for k in range(ceil_div(count, LANES)):
        load_transposed(lane, k * LANES, t + k * LANES)
        for i in range(LANES):
            prefetch_second(lane[i] + LANES * BLOCK + k * LANES)
            smallest = min_magnitude(t[k * LANES + i], smallest)
    for k in range(ceil_div(count, LANES) * LANES, RUN):
        t[k] = splat(0)
    return smallest


cdef const real* blocks_of(const Source* s, Py_ssize_t row, Py_ssize_t block, Py_ssize_t lanes,
                           Py_ssize_t count, const int* exponent, real* stage) noexcept nogil:
    """LANES blocks of a row, BLOCK apart, zeros after the first `lanes`; in place if they can."""
    cdef Py_ssize_t j, padded = padded_to(count, LANES)
    cdef const real* lane
    if s.native and exponent == NULL and lanes == LANES:
        return <const real*> (s.data + row * s.row_stride) + block * BLOCK
    memset(stage, 0, LANES * BLOCK * sizeof(real))
    for j in range(lanes):
        lane = lane_of(s, row, block + j, count, padded, exponent, stage + j * BLOCK)
        if lane != stage + j * BLOCK:
            memcpy(stage + j * BLOCK, lane, count * sizeof(real))
    return stage


cdef void sum_batch(Few* few, Py_ssize_t batch, int thread) noexcept nogil:
    """The sums of LANES whole blocks, or of the last, shorter one."""
    cdef Job* job = few.job
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, rows = n if job.same else n + m
    cdef Py_ssize_t first = batch * LANES, lanes = at_most(LANES, few.whole - first)
    cdef Py_ssize_t columns = padded_to(m, TILE_Y), above = padded_to(n, TILE_Y)
    cdef Py_ssize_t from_Y = 0 if job.same else above, all_places = from_Y + columns
    cdef Py_ssize_t run, r, i, j, count, place
    cdef vec* t = <vec*> (job.scratch + thread * job.scratch_bytes)
    cdef vec* block = t + 2 * ROOM * RUN
    cdef vec* norm2 = block + ROOM * ROOM
    cdef real* stage = <real*> (norm2 + 2 * ROOM)
    cdef const real* row[2 * FEW]
    cdef vec* to = <vec*> few.sums + batch * few.count
    cdef vec smallest = splat(REAL_MAX)
    if lanes <= 0:                   # the last block, by itself
        first, lanes = few.whole, 1
    count = block_length(job.X.features, few.block0 + first)
    for r in range(rows):
        if r < n:
            row[r] = blocks_of(&job.X, r, few.block0 + first, lanes, count,
                               entry(job.PX.exponent, r), stage + r * LANES * BLOCK)
        else:
            row[r] = blocks_of(&job.Y, r - n, few.block0 + first, lanes, count,
                               entry(job.PY.exponent, r - n), stage + r * LANES * BLOCK)
    # rows that only fill up tiles
    memset(t + n * RUN, 0, (above - n) * RUN * sizeof(vec))
    memset(t + (from_Y + m) * RUN, 0, (columns - m) * RUN * sizeof(vec))
    for run in range(ceil_div(count, RUN)):
        for r in range(rows):
            place = r if r < n else above + r - n
            smallest = few_transpose(row[r] + run * RUN, at_most(RUN, count - run * RUN),
                                     t + place * RUN, smallest)
        for j in range(all_places // TILE_Y):
            few_squares(t + j * TILE_Y * RUN, norm2 + j * TILE_Y, run == 0)
        for i in range(ceil_div(n, TILE_X)):
            for j in range(columns // TILE_Y):
                few_tile(t + i * TILE_X * RUN, t + (from_Y + j * TILE_Y) * RUN,
                         block + i * TILE_X * columns + j * TILE_Y, columns, run == 0)
    for i in range(n):
        for j in range(m):
            to[i * m + j] = block[i * columns + j]
    for r in range(rows):
        to[n * m + r] = norm2[r if r < n else above + r - n]
    if not job.careful and small_lanes(smallest):
        for r in range(rows):
            for j in range(lanes):
                if has_tiny(row[r] + j * BLOCK, count):
                    job.status[thread * LINE] |= CARE


cdef inline Py_ssize_t batches_in(const Few* few) noexcept nogil:
    # the block at the very end is a batch of its own where it is shorter
    return ceil_div(few.whole, LANES) + (few.whole < few.blocks)


cdef void few_blocks(Few* few, real* totals) noexcept nogil:
    """Sum the stretch of blocks, in threads, and add its sums to the totals, in order."""
    cdef Job* job = few.job
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, b, q
    cdef Py_ssize_t exponents = (n + m) if job.careful and few.block0 == 0 else 0
    few.whole = at_most(few.blocks, job.X.features // BLOCK - few.block0)
    with parallel(num_threads=threads_in(job.process, job.threads)):
        for b in prange(exponents, schedule="dynamic"):
            find_exponents(job, b)
        wait_for_all()
        for b in prange(batches_in(few), schedule="guided"):
            sum_batch(few, b, omp_get_thread_num())
        wait_for_all()
        for q in prange(few.count // LANES, schedule="dynamic"):
            add_blocks(few, q * LANES, totals)


cdef void add_blocks(const Few* few, Py_ssize_t q, real* totals) noexcept nogil:
    # totals[q:q + LANES] (+)= their sums of every block, in order
    cdef vec t[LANES]
    cdef const real* sum[LANES]
    cdef vec total = load(totals + q)
    cdef Py_ssize_t batch, lanes
    cdef int i
    for batch in range(batches_in(few)):
        lanes = at_least(1, at_most(LANES, few.whole - batch * LANES))
        for i in range(LANES):
            sum[i] = few.sums + (batch * few.count + q + i) * LANES
        load_transposed(sum, 0, t)
        for i in range(<int> lanes):
            total = t[i] if few.block0 + batch == 0 and i == 0 else total + t[i]
    store(totals + q, total)


cdef size_t plan_few(Few* few, Py_ssize_t blocks, char* memory, real** totals,
                     real** dots) noexcept nogil:
    """Share out `memory` for stretches of `blocks`; returns the bytes needed."""
    cdef Job* job = few.job
    cdef char* start = memory
    cdef Py_ssize_t rows = job.X.rows if job.same else job.X.rows + job.Y.rows
    carve_rows(&job.PX, &memory, job.careful, True)
    if job.same:
        job.PY = job.PX
    else:
        carve_rows(&job.PY, &memory, job.careful, True)
    totals[0] = <real*> carve(&memory, few.count * sizeof(real))
    dots[0] = <real*> carve(&memory, groups_in(&job.PY) * panels_in(&job.PX) * PANEL_SUMS)
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    few.sums = <real*> carve(&memory, (ceil_div(blocks, LANES) + 1) * few.count * sizeof(vec))
    job.scratch_bytes = padded_to(ROOM * (2 * RUN + ROOM + 2) * sizeof(vec)
                                  + rows * LANES * BLOCK * sizeof(real), ALIGNMENT)
    job.scratch = carve(&memory, job.scratch_bytes * job.threads)
    return memory - start


cdef int finish_few(Job* job, const real* totals, real* dots) noexcept nogil:
    """From the totals to the output, by way of what `finish` reads."""
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, panels = panels_in(&job.PX)
    cdef Py_ssize_t i, j, g, p
    cdef int status
    for i in range(n):
        job.PX.norm2[i] = totals[n * m + i]
        for j in range(m):
            dots[(j // GROUP * panels + i // PANEL) * PANEL * GROUP + i % PANEL * GROUP
                 + j % GROUP] = totals[i * m + j]
    for j in range(0 if job.same else m):
        job.PY.norm2[j] = totals[n * m + n + j]
    status = (found(job) | invert_norms(&job.PX, 0, FEW, job.zero_inverse)
              | invert_norms(&job.PY, 0, FEW, job.zero_inverse))
    if status & CARE:
        return status
    for g in range(groups_in(&job.PY)):
        for p in range(panels):
            finish_panel(job, <vec*> (dots + (g * panels + p) * PANEL * GROUP), p, g,
                         at_most(GROUP, m - g * GROUP), 0)
    return status


cdef int run_few(Job* job) except -1:
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK), stretch
    cdef real* totals = NULL
    cdef real* dots = NULL
    cdef Block* held
    cdef Few few
    memset(&few, 0, sizeof(few))
    few.job = job
    job.threads = <int> at_most(job.threads, job.X.features // SHARE)
    job.PX.source, job.PY.source = &job.X, &job.Y
    job.PX.count, job.PY.count, job.diagonal = job.X.rows, job.Y.rows, job.same
    job.PX.width = job.PY.width = GROUP
    few.count = padded_to(job.X.rows * job.Y.rows + job.X.rows + job.Y.rows, LANES)
    stretch = SUMS * job.threads // (few.count * <Py_ssize_t> sizeof(real))
    stretch = at_most(blocks, at_least(1, stretch // LANES) * LANES)
    held = allocate(plan_few(&few, stretch, NULL, &totals, &dots), FOR_PANELS)
    try:
        memset(held.memory, 0, <size_t> few.sums)     # what comes before the sums
        plan_few(&few, stretch, held.memory, &totals, &dots)
        while few.block0 < blocks:
            few.blocks = at_most(stretch, blocks - few.block0)
            with nogil:
                few_blocks(&few, totals)
            few.block0 += few.blocks
            PyErr_CheckSignals()
        return finish_few(job, totals, dots)
    finally:
        block_release(held)
