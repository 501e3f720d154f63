# Rows with equal labels meet: every group is a matrix of its own. Large ones come one after the
# other, with all threads for each; small ones are one thread's each, and the threads share them
# out. Rows that do not lie one after the other are packed from where they are (a small group with
# itself), or copied, those of one group at a time.
#
# takes: kernels.pyx, source.pxi, pack.pxi, reduce.pxi, top_k.pxi, pairs.pxi, most.pxi, plan.pxi,
#        blocks.pxi, full.pxi, direct.pxi, vectors.h, memory.h, openmp.h
# gives: Groups, groups_of, run_groups

cdef enum:
    SMALL_WORK = 1 << 21             # of a small group, at most: multiply-adds,
    SMALL_ROWS = 1 << 19             # elements,
    SMALL_OUTPUTS = 1 << 16          # outputs
    GROUPS_TASK = 16
    ROWS_AHEAD = 8               # rows that are brought near while others are copied,
    BYTES_AHEAD = 4096           # so much of each: the processor sees by itself how it goes on

cdef struct Groups:              # rows order[starts[g]:starts[g + 1]], ascending, of either side
    Py_ssize_t count
    const int64_t* starts_X
    const int64_t* order_X
    const int64_t* starts_Y
    const int64_t* order_Y

cdef struct Worker:                  # a thread's own
    Buffer copies[2]
    Block* held
    int status
    char apart[64]                   # from the next thread's cache line


cdef Groups groups_of(const int64_t[::1] starts_X, const int64_t[::1] order_X,
                      const int64_t[::1] starts_Y, const int64_t[::1] order_Y) noexcept:
    """Some rows at least on both sides."""
    cdef Groups groups
    groups.count = starts_X.shape[0] - 1
    groups.starts_X, groups.order_X = &starts_X[0], &order_X[0]
    groups.starts_Y, groups.order_Y = &starts_Y[0], &order_Y[0]
    return groups


cdef bint take_rows(Source* some, const int64_t* order, Py_ssize_t count, Py_ssize_t there,
                    Buffer* copy) noexcept nogil:
    """`some` = its rows order[:count]: where they lie, if in a row. False: no memory for a copy.

    Rows order[count:there] are those that will be wanted next.
    """
    cdef Py_ssize_t bytes = some.features * some.itemsize, i, k
    cdef bint whole = some.feature_stride == some.itemsize and not some.swapped
    cdef const char* row
    cdef const char* next_row
    if order[count - 1] - order[0] == count - 1:
        some.data += order[0] * some.row_stride
        some.rows = count
        return True
    copy.used = 0
    if not reserve(copy, count * bytes):
        return False
    for i in range(count):
        row = some.data + order[i] * some.row_stride
        if whole:
            if i + ROWS_AHEAD < there:
                next_row = some.data + order[i + ROWS_AHEAD] * some.row_stride
                for k in range(at_most(bytes, BYTES_AHEAD) // CACHE_LINE):
                    prefetch_second(next_row + k * CACHE_LINE)
            memcpy(copy.data + i * bytes, row, bytes)
        else:
            gather(some, row, some.features, copy.data + i * bytes)
    some[0] = source_at(copy.data, count, some.features, bytes, some.itemsize, some.itemsize,
                        some.kind)
    return True


cdef bint take_group(Job* job, const Groups* groups, Py_ssize_t g, Buffer* copies) noexcept nogil:
    """The job of a group's rows, out of that of all."""
    cdef int64_t first_X = groups.starts_X[g], first_Y = groups.starts_Y[g]
    if job.same and is_small(job, groups, g):    # rows are packed once, and not read otherwise
        job.X.rows = groups.starts_X[g + 1] - first_X
        job.X.order = groups.order_X + first_X
        job.X.ordered = groups.starts_X[groups.count] - first_X
        job.Y = job.X
        return True
    if not take_rows(&job.X, groups.order_X + first_X, groups.starts_X[g + 1] - first_X,
                     groups.starts_X[groups.count] - first_X, copies):
        return False
    if job.same:
        job.Y = job.X
        return True
    return take_rows(&job.Y, groups.order_Y + first_Y, groups.starts_Y[g + 1] - first_Y,
                     groups.starts_Y[groups.count] - first_Y, copies + 1)


cdef void best_in_group(Best* best, const Groups* groups, Py_ssize_t g) noexcept nogil:
    """The lists of a group's rows, out of those of all."""
    best.row_numbers = groups.order_X + groups.starts_X[g]
    best.column_numbers = groups.order_Y + groups.starts_Y[g]
    size_lists(best, groups.starts_Y[g + 1] - groups.starts_Y[g])


cdef inline Py_ssize_t outputs_in(const Groups* groups, Py_ssize_t g) noexcept nogil:
    return ((groups.starts_X[g + 1] - groups.starts_X[g])
            * (groups.starts_Y[g + 1] - groups.starts_Y[g]))


cdef inline bint is_small(const Job* job, const Groups* groups, Py_ssize_t g) noexcept nogil:
    """Whether a group is one superblock of one segment, and not worth more than a thread."""
    cdef Py_ssize_t outputs = outputs_in(groups, g), features = job.X.features
    return (outputs * features <= SMALL_WORK and outputs <= SMALL_OUTPUTS
            and features <= SEGMENT * BLOCK
            and (groups.starts_X[g + 1] - groups.starts_X[g] + groups.starts_Y[g + 1]
                 - groups.starts_Y[g]) * features <= SMALL_ROWS)


cdef int small_group(const Job* whole, const Groups* groups, Py_ssize_t g,
                     Worker* own) noexcept nogil:
    """What `run` does, for a small group on this thread; returns what was found."""
    cdef Job job = whole[0]
    cdef Best best
    cdef Pairs pairs
    cdef Found* found = NULL
    cdef size_t lists = 0
    cdef Py_ssize_t row
    cdef int status = 0
    if not take_group(&job, groups, g, own.copies):
        return OUT_OF_MEMORY
    job.threads = 1
    job.diagonal = job.same
    job.PX.count, job.PY.count = job.X.rows, job.Y.rows
    if job.best != NULL:
        best = job.best[0]
        job.best = &best
        best_in_group(&best, groups, g)
        best.rows = job.X.rows
        lists = carve_lists(&best, NULL)
    else:
        pairs, found = job.pairs[0], &job.pairs.found[omp_get_thread_num()]
        job.pairs = &pairs
        pairs.found, pairs.threads, pairs.most = found, 1, 0
    while True:
        if not is_room(&own.held, lists + plan(&job, NULL)):
            return OUT_OF_MEMORY
        plan(&job, own.held.memory + lists)
        if job.best != NULL:
            carve_lists(&best, own.held.memory)
            reset_lists(&best, best.rows)
        else:
            found.matches.used = found.runs.used = 0
        status |= run_segment(&job, 0)
        if job.careful or not status & CARE:
            break
        job.careful = True
    if job.best != NULL:
        for row in range(best.rows):
            finish_row(&best, row)
        return status
    return status | keep_most(whole.pairs, found, groups.order_X + groups.starts_X[g],
                              groups.order_Y + groups.starts_Y[g])


cdef int large_groups(Job* whole, const Groups* groups, object watch) except -1:
    cdef Buffer copies[2]
    cdef Job job
    cdef Best best
    cdef Pairs pairs
    cdef Py_ssize_t g
    cdef double limit
    cdef int status = 0
    memset(copies, 0, sizeof(copies))
    try:
        for g in range(groups.count):
            if outputs_in(groups, g) == 0 or is_small(whole, groups, g):
                continue
            job = whole[0]
            if not take_group(&job, groups, g, copies):
                raise MemoryError("no memory for a copy of the rows of a group")
            if job.best != NULL:
                best = job.best[0]
                best_in_group(&best, groups, g)
                job.best = &best
                status |= top_k_of(&job, watch)
            else:
                pairs = whole.pairs[0]
                job.pairs = &pairs
                status |= pairs_of(&job, watch)
                # by way of a double: Cython takes `real` for a float where Python is met
                limit = watch.next_group(groups.starts_X[g], groups.starts_Y[g],
                                         <double> whole.pairs.limit)
                whole.pairs.limit = <real> limit
        return status
    finally:
        drop(copies)
        drop(copies + 1)


cdef int small_groups(Job* whole, const Groups* groups, Worker* workers, object watch) except -1:
    cdef Py_ssize_t first = 0, stop, g, n, outputs, count
    cdef double work, most = <double> PATIENCE * whole.threads
    cdef int status = 0, now, thread
    while first < groups.count:
        stop, work, count = first, 0, 0
        while stop < groups.count and work < most:
            outputs = outputs_in(groups, stop)
            if outputs and is_small(whole, groups, stop):
                n = groups.starts_X[stop + 1] - groups.starts_X[stop]
                work += <double> outputs * (whole.X.features + FINISHING)
                count += n * (n + 1) // 2 if whole.same else outputs
            stop += 1
        for g in prange(first, stop, nogil=True, schedule="dynamic", chunksize=GROUPS_TASK,
                        num_threads=threads_in(whole.process, whole.threads)):
            if outputs_in(groups, g) and is_small(whole, groups, g):
                workers[omp_get_thread_num()].status |= small_group(
                    whole, groups, g, &workers[omp_get_thread_num()])
        now = 0
        for thread in range(whole.threads):
            now |= workers[thread].status
            workers[thread].status = 0
        status |= now
        if whole.best != NULL:
            if now & OUT_OF_MEMORY:
                raise MemoryError("no memory for working space")
            watch.found(now, 0)
            watch.did(count, count, 0)
        else:
            n = 0
            for thread in range(whole.threads):
                n += pairs_in(&whole.pairs.found[thread].best)
            watch.found(now, n)
            watch.did(count, count, n)
            if not whole.pairs.most:
                hand_over(whole.pairs, watch)
        PyErr_CheckSignals()
        first = stop
    if whole.pairs != NULL and whole.pairs.most:
        hand_over(whole.pairs, watch)
    return status


cdef int64_t outputs_in_all(const Job* whole, const Groups* groups) noexcept nogil:
    """What will be compared: half of a group with itself, unless its lists are too many."""
    cdef Job job = whole[0]
    cdef Best best
    cdef Py_ssize_t g
    cdef int64_t all = 0
    if job.best != NULL:
        best = job.best[0]
        job.best = &best
    for g in range(groups.count):
        job.X.rows = groups.starts_X[g + 1] - groups.starts_X[g]
        if job.best != NULL:
            best_in_group(&best, groups, g)
        if whole.same and (job.best == NULL or is_small(whole, groups, g)
                           or job.X.rows <= most_lists(&job) or rows_of_block(&job) > 0):
            all += job.X.rows * (job.X.rows + 1) // 2
        else:
            all += outputs_in(groups, g)
    return all


cdef int run_groups(Job* whole, const Groups* groups, object watch) except -1:
    """`run` for the rows of each group; rows of one that is empty on one side are left as they are.

    The most similar so many pairs are those of each large group, and of all small ones: the watch,
    asked for the next one's threshold, makes of them what is wanted.
    """
    cdef Worker* workers
    cdef int status, thread
    watch.whole = outputs_in_all(whole, groups)
    status = large_groups(whole, groups, watch)
    workers = <Worker*> calloc(whole.threads, sizeof(Worker))
    if workers == NULL:
        raise MemoryError("no memory for the groups of rows")
    try:
        return status | small_groups(whole, groups, workers, watch)
    finally:
        for thread in range(whole.threads):
            drop(&workers[thread].copies[0])
            drop(&workers[thread].copies[1])
            block_release(workers[thread].held)
        free(workers)
