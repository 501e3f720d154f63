# The kernels as C functions: for small calls (small.pyx), for stacks (stack.pxi), and for other
# compiled packages (unitdot/__init__.pxd) by way of api.pyx. No Python, no GIL, on the calling
# thread alone.
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, plan.pxi, paired.pxi, full.pxi, vectors.h,
#        call.h, memory.h
# gives: rows_at, is_room, direct_call, plan_one, run_one, FUNCTIONS

from cpython.pycapsule cimport PyCapsule_New

cdef enum:
    PAIR_BLOCKS = 64                 # block sums of a pair kept at a time, on the stack


cdef Source rows_at(const real* data, Py_ssize_t rows, Py_ssize_t stride,
                    Py_ssize_t features) noexcept nogil:
    cdef Source s
    s.data = <const char*> data
    s.rows, s.features, s.itemsize = rows, features, sizeof(real)
    s.row_stride, s.feature_stride = stride * <Py_ssize_t> sizeof(real), sizeof(real)
    s.kind, s.swapped, s.plain, s.native = REAL_KIND, False, True, True
    s.order, s.ordered = NULL, 0
    return s


cdef Output output_at(real* data, Py_ssize_t stride) noexcept nogil:
    cdef Output o
    o.data = <char*> data
    o.row_stride, o.column_stride = stride * <Py_ssize_t> sizeof(real), sizeof(real)
    o.itemsize, o.direct, o.distance = sizeof(real), True, False
    return o


cdef int one_pair(Paired* job) noexcept nogil:
    """The cosine of the one row of either side, without memory but the stack's."""
    cdef real sums[3 * PAIR_BLOCKS]
    cdef real totals[3]
    cdef int exponent[2]
    cdef int status[LINE]
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK)
    job.rows = 1
    job.sums, job.totals, job.status = sums, totals, status
    status[0] = 0
    while True:
        job.block0 = 0
        while job.block0 < blocks:
            next_blocks(job, blocks, PAIR_BLOCKS)
        if job.careful or not status[0] & CARE:
            return status[0]
        job.careful, job.exponent = True, exponent


cdef real direct_pair(const real* x, const real* y, Py_ssize_t features) noexcept nogil:
    cdef real cosine
    cdef Paired job
    memset(&job, 0, sizeof(job))
    job.X, job.Y = rows_at(x, 1, features, features), rows_at(y, 1, features, features)
    job.out = output_at(&cosine, 1)
    job.threads = 1
    one_pair(&job)
    return cosine


cdef bint is_room(Block** held, size_t needed) noexcept nogil:
    """A block of the size, held from before or new."""
    if held[0] == NULL or needed > held[0].size:
        block_release(held[0])
        held[0] = block_new(needed, FOR_PANELS)
    return held[0] != NULL


cdef int direct_paired(Paired* job, Block** held) noexcept nogil:
    """`run_paired` on this thread, carefully where it has to be; -1: there is no memory."""
    cdef Py_ssize_t blocks = ceil_div(job.X.features, BLOCK), most
    cdef int found = 0
    while True:
        if not is_room(held, start_paired(job)):
            return -1
        most = job.rows
        place_paired(job, held[0].memory)
        while job.row0 < job.X.rows:
            next_rows(job, most)
            while job.block0 < blocks:
                next_blocks(job, blocks, BATCH)
            job.row0 += job.rows
        found |= job.status[0]
        if job.careful or not found & CARE:
            return found
        job.careful = True


cdef int direct_superblocks(Job* job, Block** held) noexcept nogil:
    """`run` without a watch, on this thread, carefully where it has to be; -1: no memory."""
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, rows_X, rows_Y, i = 0, j, segment
    cdef int status, found = 0
    if n == 0 or m == 0:
        return 0
    choose_rows(job, &rows_X, &rows_Y)
    while i < n:
        job.PX.first, job.PX.count, job.X_packed = i, at_most(rows_X, n - i), False
        j = i if job.same else 0
        while j < m:
            job.diagonal = job.same and i == j
            job.PY.first, job.PY.count = j, at_most(rows_Y, m - j)
            if held[0] == NULL or plan(job, NULL) > held[0].size:
                job.X_packed = False
            if not is_room(held, plan(job, NULL)):
                return -1
            plan(job, held[0].memory)
            status = 0
            for segment in range(segments_of(job)):
                status |= run_segment(job, segment)
            job.X_packed = segments_of(job) == 1
            found |= status
            if status & CARE and not job.careful:
                job.careful, job.X_packed = True, False    # once more, and so what follows
            else:
                j += job.PY.count
        i += job.PX.count
    return found


cdef int direct_block(const real* X, Py_ssize_t rows_X, Py_ssize_t stride_X,
                      const real* Y, Py_ssize_t rows_Y, Py_ssize_t stride_Y, Py_ssize_t features,
                      real* out, Py_ssize_t stride_out) noexcept nogil:
    cdef Job job
    cdef Block* held = NULL
    cdef int status
    memset(&job, 0, sizeof(job))
    job.X = rows_at(X, rows_X, stride_X, features)
    job.Y = rows_at(Y, rows_Y, stride_Y, features)
    job.out = output_at(out, stride_out)
    job.threads = 1
    status = direct_superblocks(&job, &held)
    block_release(held)
    return -1 if status < 0 else 0


cdef Source source_for(const Side* side, const Call* call) noexcept nogil:
    return source_at(side.data, side.rows, call.features, side.row_stride, side.feature_stride,
                     side.itemsize, side.kind)


cdef Output output_for(const Call* call) noexcept nogil:
    cdef Output o
    o.data, o.itemsize, o.distance = call.out, call.out_itemsize, call.distance
    o.row_stride, o.column_stride = call.out_row_stride, call.out_column_stride
    o.direct = o.itemsize == sizeof(real) and (
        o.column_stride == o.itemsize or (call.Y.rows == 1 and not call.paired))
    return o


cdef int direct_call(const Call* call, Block** held) noexcept nogil:
    """What there is to do, on this thread; what was found, or -1: there is no memory.

    Rows that need it are scaled: after CARE results count unless rows are not finite. `held` is
    working memory from the call before, to be released after the last one.
    """
    cdef Job job
    cdef Paired pairs
    cdef real zero = 0
    cdef int found
    if call.paired or (call.X.rows == 1 and call.Y.rows == 1):
        memset(&pairs, 0, sizeof(pairs))
        pairs.X, pairs.Y = source_for(&call.X, call), source_for(&call.Y, call)
        pairs.out, pairs.zero_inverse = output_for(call), <real> call.zero_inverse
        pairs.threads = 1
        if call.X.rows > 1:
            return direct_paired(&pairs, held)
        found = one_pair(&pairs)
        if call.same and call.distance and found & ZERO_ROW and call.zero_inverse == 0:
            put(&pairs.out, 0, 0, 1, &zero)
        return found
    start_job(&job, call)
    return direct_superblocks(&job, held)


cdef void start_job(Job* job, const Call* call) noexcept nogil:
    memset(job, 0, sizeof(Job))
    job.same, job.threads, job.zero_inverse = call.same, 1, <real> call.zero_inverse
    point_job(job, call)


cdef void point_job(Job* job, const Call* call) noexcept nogil:
    job.X, job.Y = source_for(&call.X, call), source_for(&call.Y, call)
    job.out = output_for(call)


cdef bint plan_one(Job* job, const Call* call, Block** held) noexcept nogil:
    """Whether the matrix is one superblock of one segment; if so it is planned, for `run_one`."""
    cdef Py_ssize_t rows_X, rows_Y
    start_job(job, call)
    choose_rows(job, &rows_X, &rows_Y)
    if rows_X < job.X.rows or rows_Y < job.Y.rows or segments_of(job) > 1:
        return False
    job.PX.count, job.PY.count, job.diagonal = job.X.rows, job.Y.rows, job.same
    if not is_room(held, plan(job, NULL)):
        return False
    plan(job, held[0].memory)
    return True


cdef int run_one(Job* job, const Call* call) noexcept nogil:
    """What is planned, for another call of the same shape; what was found, CARE too."""
    point_job(job, call)
    job.X_packed, job.status[0] = False, 0
    return run_segment(job, 0)


cdef int direct_small(const Call* call) noexcept nogil:
    cdef Block* held = NULL
    cdef int found = direct_call(call, &held)
    block_release(held)
    return found


cdef void* DIRECT[3]
DIRECT[0], DIRECT[1], DIRECT[2] = <void*> direct_pair, <void*> direct_block, <void*> direct_small
# for api.pyx and small.pyx
FUNCTIONS = PyCapsule_New(<void*> DIRECT, "unitdot._kernels", NULL)
