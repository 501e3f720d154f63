# Few rows with very many features: threads share out the blocks of features, every block's sums are
# kept, and they are added in order. The same bits as any other way.

cdef enum:
    FEW = 64                         # rows on either side
    SUMS = 4 << 20                   # bytes of block sums, a thread

cdef struct Sums:                    # where the sums of one block stand, in reals from its start
    Py_ssize_t norm2_X, norm2_Y, dots, total


cdef bint is_few(const Job* job) noexcept nogil:
    return (job.X.rows <= FEW and job.Y.rows <= FEW
            and ceil_div(job.X.features, BLOCK) >= at_least(4, 2 * job.threads))


cdef Sums sums_of(const Job* job) noexcept nogil:
    cdef Sums s
    s.norm2_X = 0
    s.norm2_Y = groups_in(&job.PX) * GROUP
    s.dots = s.norm2_Y + groups_in(&job.PY) * GROUP
    s.total = s.dots + panels_in(&job.PX) * PANEL * groups_in(&job.PY) * GROUP
    return s


cdef void sum_block(Job* job, Py_ssize_t block, real* sums, int thread) noexcept nogil:
    """The squared norms and dot products of one block of features."""
    cdef Sums at = sums_of(job)
    cdef Pack X = job.PX, Y = job.PY
    cdef char* own = job.scratch + thread * job.scratch_bytes
    cdef real* x = <real*> (own + ALIGNMENT)
    cdef real* y = x
    cdef Py_ssize_t g, p, sub, rows, columns, stride = X.depth * PANEL
    cdef Py_ssize_t tile_vecs = TILE_PANELS * VECS
    cdef vec* dots = <vec*> (sums + at.dots)
    cdef int status = 0
    X.norm2, Y.norm2 = sums + at.norm2_X, sums + at.norm2_Y
    for g in range(groups_in(&X)):
        status |= pack_block(&X, g, block, True, x + g * TILE_PANELS * stride)
    if not job.same:
        y = x + groups_in(&X) * TILE_PANELS * stride
        for g in range(groups_in(&Y)):
            status |= pack_block(&Y, g, block, True, y + g * TILE_PANELS * stride)
    for g in range(groups_in(&Y)):
        columns = at_most(GROUP, Y.count - g * GROUP)
        for p in range(panels_in(&X)):
            for sub in range(PANEL // TILE_ROWS):
                rows = at_most(TILE_ROWS, X.count - p * PANEL - sub * TILE_ROWS)
                if rows > 0:
                    tile(rows, ceil_div(columns, PANEL), x + p * stride + sub * TILE_ROWS, x,
                         <const vec*> (y + g * TILE_PANELS * stride), X.depth * VECS,
                         block_length(job.X.features, block), True,
                         <vec*> (own + BLOCK_SUMS_AT),
                         dots + ((g * panels_in(&X) + p) * PANEL + sub * TILE_ROWS) * tile_vecs)
    job.status[thread * LINE] |= status


cdef size_t plan_few(Job* job, Py_ssize_t count, char* memory, real** sums) noexcept nogil:
    """Share out `memory` for the sums so far and those of `count` blocks; returns the bytes."""
    cdef char* start = memory
    cdef size_t reals = sums_of(job).total
    carve_rows(&job.PX, &memory, job.careful, True)
    if job.same:
        job.PY = job.PX
    else:
        carve_rows(&job.PY, &memory, job.careful, True)
    sums[0] = <real*> carve(&memory, reals * (count + 1) * sizeof(real))
    job.scratch_bytes = ceil_div((groups_in(&job.PX) + groups_in(&job.PY)) * GROUP * BLOCK
                                 * sizeof(real) + ALIGNMENT, ALIGNMENT) * ALIGNMENT
    job.scratch = carve(&memory, job.scratch_bytes * job.threads)
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    return memory - start


cdef int finish_few(Job* job, real* sums) noexcept nogil:
    cdef Sums at = sums_of(job)
    cdef Py_ssize_t g, p
    cdef int status
    job.PX.norm2 = sums + at.norm2_X
    job.PY.norm2 = sums + (at.norm2_X if job.same else at.norm2_Y)
    status = (found(job) | invert_norms(&job.PX, 0, FEW, job.zero_inverse)
              | invert_norms(&job.PY, 0, FEW, job.zero_inverse))
    if status & CARE:
        return status
    for g in range(groups_in(&job.PY)):
        for p in range(panels_in(&job.PX)):
            finish_panel(job, <vec*> (sums + at.dots)
                         + (g * panels_in(&job.PX) + p) * PANEL * TILE_PANELS * VECS,
                         p, g, at_most(GROUP, job.PY.count - g * GROUP))
    return status


cdef int run_few(Job* job) except -1:
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK), first = 0, b, k, count, reals
    cdef Py_ssize_t exponents = (job.X.rows + job.Y.rows) if job.careful else 0
    cdef real* sums = NULL
    cdef real* block_sums
    cdef char* memory
    job.PX.source, job.PY.source = &job.X, &job.Y
    job.PX.first = job.PY.first = job.PX.block0 = job.PY.block0 = 0
    job.PX.blocks = job.PY.blocks = 1
    job.PX.depth = job.PY.depth = BLOCK
    job.PX.count, job.PY.count, job.diagonal = job.X.rows, job.Y.rows, job.same
    reals = sums_of(job).total
    count = at_most(blocks, at_least(job.threads, SUMS * job.threads // (reals * sizeof(real))))
    memory = allocate(plan_few(job, count, NULL, &sums))
    try:
        plan_few(job, count, memory, &sums)
        memset(job.status, 0, LINE * sizeof(int) * job.threads)
        while first < blocks:
            count = at_most(count, blocks - first)
            with nogil:
                with parallel(num_threads=job.threads):
                    for b in prange(exponents if first == 0 else 0, schedule="static"):
                        find_exponents(job, b)
                    for b in prange(count, schedule="static"):
                        sum_block(job, first + b, sums + (b + 1) * reals, omp_get_thread_num())
                for b in range(count):
                    block_sums = sums + (b + 1) * reals
                    for k in range(reals):
                        sums[k] = block_sums[k] if first + b == 0 else sums[k] + block_sums[k]
            first += count
            PyErr_CheckSignals()
        return finish_few(job, sums)
    finally:
        release(memory)
