# The kernels as C functions for other compiled packages (unitdot/__init__.pxd), by way of api.pyx:
# no Python, no GIL, on the calling thread alone. Strides count elements from row to row.
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, plan.pxi, paired.pxi, full.pxi, vectors.h,
#        memory.h
# gives: FUNCTIONS

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
    return s


cdef Output output_at(real* data, Py_ssize_t stride) noexcept nogil:
    cdef Output o
    o.data = <char*> data
    o.row_stride, o.column_stride = stride * <Py_ssize_t> sizeof(real), sizeof(real)
    o.itemsize, o.direct, o.distance = sizeof(real), True, False
    return o


cdef real direct_pair(const real* x, const real* y, Py_ssize_t features) noexcept nogil:
    cdef real sums[3 * PAIR_BLOCKS]
    cdef real totals[3]
    cdef int exponent[2]
    cdef int status[LINE]
    cdef real cosine
    cdef Py_ssize_t blocks = ceil_div(features, BLOCK)
    cdef Paired job
    memset(&job, 0, sizeof(job))
    job.X, job.Y = rows_at(x, 1, features, features), rows_at(y, 1, features, features)
    job.out = output_at(&cosine, 1)
    job.rows = job.threads = 1
    job.sums, job.totals, job.status = sums, totals, status
    status[0] = 0
    while True:
        job.block0 = 0
        while job.block0 < blocks:
            next_blocks(&job, blocks, PAIR_BLOCKS)
        if job.careful or not status[0] & CARE:
            return cosine
        job.careful, job.exponent = True, exponent


cdef int direct_superblocks(Job* job) noexcept nogil:
    """`run` without a watch, without a look for Ctrl-C; -1: there is no memory."""
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, rows_X, rows_Y, i = 0, j, segment
    cdef Block* held = NULL
    cdef size_t needed
    cdef int status
    if n == 0 or m == 0:
        return 0
    choose_rows(job, &rows_X, &rows_Y)
    while i < n:
        job.PX.first, job.PX.count, job.X_packed = i, at_most(rows_X, n - i), False
        j = 0
        while j < m:
            job.PY.first, job.PY.count = j, at_most(rows_Y, m - j)
            needed = plan(job, NULL)
            if held == NULL or needed > held.size:
                block_release(held)
                held, job.X_packed = block_new(needed, FOR_PANELS), False
                if held == NULL:
                    return -1
            plan(job, held.memory)
            status = 0
            for segment in range(segments_of(job)):
                status |= run_segment(job, segment)
            job.X_packed = segments_of(job) == 1
            if status & CARE and not job.careful:
                job.careful, job.X_packed = True, False    # once more, and so what follows
            else:
                j += job.PY.count
        i += job.PX.count
    block_release(held)
    return 0


cdef int direct_block(const real* X, Py_ssize_t rows_X, Py_ssize_t stride_X,
                      const real* Y, Py_ssize_t rows_Y, Py_ssize_t stride_Y, Py_ssize_t features,
                      real* out, Py_ssize_t stride_out) noexcept nogil:
    cdef Job job
    memset(&job, 0, sizeof(job))
    job.X = rows_at(X, rows_X, stride_X, features)
    job.Y = rows_at(Y, rows_Y, stride_Y, features)
    job.out = output_at(out, stride_out)
    job.threads = 1
    return direct_superblocks(&job)


cdef void* DIRECT[2]
DIRECT[0], DIRECT[1] = <void*> direct_pair, <void*> direct_block
# for api.pyx
FUNCTIONS = PyCapsule_New(<void*> DIRECT, "unitdot._kernels", NULL)
