# Few rows with very many features: a lane is a block of features. LANES blocks of every row are
# transposed, every row meets every row a vector of blocks at a time, and the block sums are kept
# and added in order. Threads share out the blocks. The same bits as any other way.

cdef enum:
    FEW = 16                         # rows on either side
    TILE_X = 2                       # rows of X by rows of Y that a turn holds in registers
    TILE_Y = 6
    ROOM = FEW + TILE_Y              # rows of one side, filled up to whole tiles
    SUMS = 4 << 20                   # bytes of block sums, a thread

cdef struct Few:                     # what all threads share of one stretch of blocks
    Job* job
    Py_ssize_t block0, blocks        # the stretch
    Py_ssize_t batches               # of LANES whole blocks
    Py_ssize_t stride                # reals from one sum's blocks to the next sum's
    real* sums                       # [dot i, j | norm2 of X | norm2 of Y][block]


cdef bint is_few(const Job* job) noexcept nogil:
    return (job.X.rows <= FEW and job.Y.rows <= FEW
            and job.X.features >= 4 * BLOCK * LANES * job.threads)


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


cdef int few_transpose(const real** lane, Py_ssize_t lanes, Py_ssize_t start, Py_ssize_t count,
                       Py_ssize_t ahead, vec* t, vec* norm2, bint check) noexcept nogil:
    """t[k] = feature start + k of every lane, for a run of `count`; norm2 (+)= their squares."""
    cdef vec part = splat(0), smallest = splat(REAL_MAX)
    cdef const real* at[LANES]
    cdef vec* to
    cdef Py_ssize_t k
    cdef int i
    for i in range(LANES):
        at[i] = lane[i] + start
    for k in range(ceil_div(count, LANES)):
        to = t + k * LANES
        for i in range(LANES):
            to[i] = load(at[i] + k * LANES)
            prefetch_second(<const char*> (at[i] + k * LANES) + ahead)
        transpose(to)
        for i in range(LANES):
            part = madd(to[i], to[i], part)
            smallest = vmin(vmax(to[i], -to[i]), smallest)
    for k in range(ceil_div(count, LANES) * LANES, RUN):
        t[k] = splat(0)
    norm2[0] = part if start == 0 else norm2[0] + part
    return tiny_lanes(smallest, at, lanes, count) if check else 0


cdef void sum_batch(Few* few, Py_ssize_t batch, int thread) noexcept nogil:
    """The sums of LANES whole blocks, or of the last, shorter one."""
    cdef Job* job = few.job
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, rows = n if job.same else n + m
    cdef Py_ssize_t first = batch * LANES, lanes = at_most(LANES, whole_blocks(few) - first)
    cdef Py_ssize_t columns = padded_to(m, TILE_Y), above = padded_to(n, TILE_Y)
    cdef Py_ssize_t run, r, i, j, count, padded, place, from_Y = 0 if job.same else above
    cdef real* stage = <real*> (job.scratch + thread * job.scratch_bytes)
    cdef vec* t = <vec*> (stage + 2 * FEW * LANES * BLOCK)
    cdef vec* block = t + 2 * ROOM * RUN
    cdef vec norm2[2 * FEW]
    cdef const real* lane[2 * FEW * LANES]
    cdef const Source* s
    cdef const int* exponent
    cdef int status = 0
    if batch == few.batches:         # the last block, by itself
        first, lanes = whole_blocks(few), 1
    count = block_length(job.X.features, few.block0 + first)
    padded = padded_to(count, LANES)
    for r in range(rows):
        s = &job.X if r < n else &job.Y
        i = r if r < n else r - n
        exponent = entry(job.PX.exponent if r < n else job.PY.exponent, i)
        for j in range(LANES):
            lane[r * LANES + j] = ZEROS
            if j < lanes:
                lane[r * LANES + j] = lane_of(s, i, few.block0 + first + j, count, padded,
                                              exponent, stage + (r * LANES + j) * BLOCK)
    # rows that only fill up tiles
    memset(t + n * RUN, 0, (above - n) * RUN * sizeof(vec))
    memset(t + (from_Y + m) * RUN, 0, (columns - m) * RUN * sizeof(vec))
    for run in range(ceil_div(count, RUN)):
        for r in range(rows):
            place = r if r < n else above + r - n
            status |= few_transpose(&lane[r * LANES], lanes, run * RUN,
                                    at_most(RUN, count - run * RUN), LANES * BLOCK * sizeof(real),
                                    t + place * RUN, &norm2[r], not job.careful)
        for i in range(ceil_div(n, TILE_X)):
            for j in range(ceil_div(m, TILE_Y)):
                few_tile(t + i * TILE_X * RUN, t + (from_Y + j * TILE_Y) * RUN,
                         block + i * TILE_X * columns + j * TILE_Y, columns, run == 0)
    for i in range(n):
        for j in range(m):
            memcpy(few.sums + (i * m + j) * few.stride + first, &block[i * columns + j],
                   lanes * sizeof(real))
    for r in range(rows):
        memcpy(few.sums + (n * m + r) * few.stride + first, &norm2[r], lanes * sizeof(real))
    job.status[thread * LINE] |= status


cdef inline Py_ssize_t whole_blocks(const Few* few) noexcept nogil:
    return at_most(few.blocks, few.job.X.features // BLOCK - few.block0)


cdef void few_blocks(Few* few, real* totals) noexcept nogil:
    """Sum the stretch of blocks, in threads, and add its sums to the totals, in order."""
    cdef Job* job = few.job
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, b, q
    cdef Py_ssize_t exponents = (n + m) if job.careful and few.block0 == 0 else 0
    cdef Py_ssize_t batches
    few.batches = ceil_div(whole_blocks(few), LANES)
    batches = few.batches + (1 if whole_blocks(few) < few.blocks else 0)
    with parallel(num_threads=job.threads):
        for b in prange(exponents, schedule="static"):
            find_exponents(job, b)
        wait_for_all()
        for b in prange(batches, schedule="static"):
            sum_batch(few, b, omp_get_thread_num())
        wait_for_all()
        for q in prange(n * m + (n if job.same else n + m), schedule="static"):
            add_blocks(few, q, totals)


cdef void add_blocks(const Few* few, Py_ssize_t q, real* totals) noexcept nogil:
    cdef const real* sums = few.sums + q * few.stride
    cdef real total = sums[0] if few.block0 == 0 else totals[q] + sums[0]
    cdef Py_ssize_t b
    for b in range(1, few.blocks):
        total = total + sums[b]
    totals[q] = total


cdef size_t plan_few(Few* few, char* memory, real** totals, real** dots) noexcept nogil:
    """Share out `memory`; returns the bytes needed."""
    cdef Job* job = few.job
    cdef char* start = memory
    cdef size_t sums = (job.X.rows + 1) * (job.Y.rows + 1) * 2
    carve_rows(&job.PX, &memory, job.careful, True)
    if job.same:
        job.PY = job.PX
    else:
        carve_rows(&job.PY, &memory, job.careful, True)
    totals[0] = <real*> carve(&memory, sums * sizeof(real))
    dots[0] = <real*> carve(&memory, groups_in(&job.PY) * panels_in(&job.PX) * PANEL_SUMS)
    few.sums = <real*> carve(&memory, sums * few.stride * sizeof(real))
    job.scratch_bytes = padded_to(2 * FEW * LANES * BLOCK * sizeof(real)
                                  + ROOM * (2 * RUN + ROOM) * sizeof(vec), ALIGNMENT)
    job.scratch = carve(&memory, job.scratch_bytes * job.threads)
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
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
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK), most
    cdef real* totals = NULL
    cdef real* dots = NULL
    cdef Block* held
    cdef Few few
    memset(&few, 0, sizeof(few))
    few.job = job
    job.PX.source, job.PY.source = &job.X, &job.Y
    job.PX.count, job.PY.count, job.diagonal = job.X.rows, job.Y.rows, job.same
    most = SUMS * job.threads // ((job.X.rows + 1) * (job.Y.rows + 1) * 2 * sizeof(real))
    few.stride = at_most(padded_to(blocks, LANES), at_least(1, most // LANES) * LANES)
    held = allocate(plan_few(&few, NULL, &totals, &dots))
    try:
        memset(held.memory, 0, <size_t> few.sums)     # what comes before the sums
        plan_few(&few, held.memory, &totals, &dots)
        memset(job.status, 0, LINE * sizeof(int) * job.threads)
        while few.block0 < blocks:
            few.blocks = at_most(few.stride, blocks - few.block0)
            with nogil:
                few_blocks(&few, totals)
            few.block0 += few.blocks
            PyErr_CheckSignals()
        return finish_few(job, totals, dots)
    finally:
        block_release(held)
