# A stack of matrices in one call: each by direct.pxi on one thread, and the threads share them out.
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, pairs.pxi, plan.pxi, direct.pxi, call.h,
#        memory.h, openmp.h
# gives: stack

cdef enum:
    STACK_TASK = 1 << 16             # multiply-adds that are worth a task


cdef int stack_task(const Call* call, const int64_t* at, Py_ssize_t first,
                    Py_ssize_t stop) noexcept nogil:
    """Matrices [first, stop), at[i] bytes (of X, Y, out) after those given; what was found."""
    cdef Block* held = NULL
    cdef Block* other = NULL         # of a matrix that needs care, or is not planned with the rest
    cdef Call own = call[0]
    cdef Job job
    cdef Py_ssize_t i
    cdef int found = 0, now = CARE
    cdef bint planned = (not own.paired and own.X.rows * own.Y.rows > 1
                         and plan_one(&job, &own, &held))
    for i in range(first, stop):
        own.X.data = call.X.data + at[3 * i]
        own.Y.data = call.Y.data + at[3 * i + 1]
        own.out = call.out + at[3 * i + 2]
        if planned:
            now = run_one(&job, &own)
        if not planned or now & CARE:
            now = direct_call(&own, &other)
        if now < 0:
            found |= OUT_OF_MEMORY
            break
        found |= now
    block_release(held)
    block_release(other)
    return found


cdef Side side_of(const unsigned char[:, :, :] array, int kind) noexcept:
    cdef Source s = source_of(array, kind)
    cdef Side side
    side.data, side.rows, side.itemsize, side.kind = s.data, s.rows, s.itemsize, kind
    side.row_stride, side.feature_stride = s.row_stride, s.feature_stride
    return side


def stack(const unsigned char[:, :, :] X, int kind_X, const unsigned char[:, :, :] Y, int kind_Y,
          unsigned char[:, :, :] out, const int64_t[:, ::1] at, bint is_paired, bint same,
          bint distance, bint nan_for_zero, int threads):
    """`full` or `paired` for a stack whose i-th matrices lie at[i] bytes after those given.

    Returns what was found; after NEEDS_CARE the results count all the same, unless some row is not
    finite. For matrices that are each too small for several threads.
    """
    cdef Call call
    cdef Output o = output_of(out, distance)
    cdef Py_ssize_t count = at.shape[0], first = 0, stop, t, tasks, size, work, patient
    cdef int process = process_of(threads), found = 0
    call.X, call.Y, call.features = side_of(X, kind_X), side_of(Y, kind_Y), X.shape[1]
    call.out, call.out_itemsize = o.data, o.itemsize
    call.out_row_stride, call.out_column_stride = o.row_stride, o.column_stride
    call.paired, call.same, call.distance = is_paired, same, distance
    call.zero_inverse = NAN if nan_for_zero else 0
    work = call.features * (out.shape[0] * out.shape[1] + 10 * (call.X.rows + call.Y.rows))
    size = at_least(1, STACK_TASK // work)
    patient = at_most(PATIENCE * <Py_ssize_t> threads // work,
                      FRESH * <Py_ssize_t> threads
                      // at_least(1, out.shape[0] * out.shape[1] * o.itemsize))
    while first < count:
        stop = at_most(count, first + at_least(size * threads, patient))
        tasks = ceil_div(stop - first, size)
        for t in prange(tasks, nogil=True, schedule="dynamic",
                        num_threads=threads_in(process, threads)):
            found |= stack_task(&call, &at[0, 0], first + t * size,
                                at_most(first + (t + 1) * size, stop))
        if found & OUT_OF_MEMORY:
            raise MemoryError("no memory for working space")
        first = stop
        PyErr_CheckSignals()
    return found
