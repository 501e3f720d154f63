# The most similar so many of the pairs above a threshold: a thread's matches go to its best ones,
# with room for more than are wanted, which are cut down where that is full, and the worst of what
# is left becomes the limit of all threads. (What is worse than that many pairs of one thread is
# worse than that many of all; equal ones may stand before it.)
#
# takes: kernels.pyx, tile.pxi, reduce.pxi, top_k.pxi, pairs.pxi, vectors.h, openmp.h
# gives: pairs_in, keep_most, keep_all_most, forget_most, hand_over

cdef inline Py_ssize_t pairs_in(const Buffer* buffer) noexcept nogil:
    return buffer.used // sizeof(Pair)


cdef int keep_most(Pairs* pairs, Found* found, const int64_t* rows=NULL,
                   const int64_t* columns=NULL) noexcept nogil:
    """A thread's matches to its best ones; of a group, with what numbers its rows and columns have.
    """
    cdef Py_ssize_t count = found.matches.used // sizeof(Match), i, n
    cdef const Match* match
    cdef Pair* best
    cdef real limit
    if not reserve(&found.best, count * sizeof(Pair)):
        return OUT_OF_MEMORY
    n = pairs_in(&found.best)
    best = <Pair*> found.best.data
    for i in range(count):
        match = <const Match*> found.matches.data + i
        best[n].similarity = match.similarity
        best[n].row = pairs.first + match.row if rows == NULL else rows[match.row]
        best[n].column = match.column if columns == NULL else columns[match.column]
        n += 1
    found.matches.used, found.run = 0, 0
    if pairs.most and n >= room_for(pairs.most):
        if not reserve(&found.spare, n * sizeof(Pair)):
            return OUT_OF_MEMORY
        bring_forward(best, n, pairs.most, False, depth_for(n), <Pair*> found.spare.data)
        n = pairs.most
        limit = best[n - 1].similarity
        lock(&pairs.guard)
        if limit > pairs.limit:
            store_release(&pairs.limit, limit)
        unlock(&pairs.guard)
    found.best.used = n * sizeof(Pair)
    return 0


cdef int keep_all_most(Pairs* pairs, object watch) except -1:
    """The same for every thread, between superblocks."""
    cdef int thread
    for thread in range(pairs.threads):
        if keep_most(pairs, &pairs.found[thread]):
            watch.no_memory(0)
    return 0


cdef void forget_most(Pairs* pairs, int64_t row, int64_t row_stop, int64_t column,
                      int64_t column_stop) noexcept nogil:
    """Out of the best ones with those of a superblock, which will come once more."""
    cdef Pair* best
    cdef Py_ssize_t i, n
    cdef int thread
    for thread in range(pairs.threads):
        best = <Pair*> pairs.found[thread].best.data
        n = 0
        for i in range(pairs_in(&pairs.found[thread].best)):
            if not (row <= best[i].row < row_stop and column <= best[i].column < column_stop):
                best[n] = best[i]
                n += 1
        pairs.found[thread].best.used = n * sizeof(Pair)


cdef int by_place(const void* a, const void* b) noexcept nogil:
    cdef const Pair* one = <const Pair*> a
    cdef const Pair* other = <const Pair*> b
    if one.row != other.row:
        return 1 if one.row > other.row else -1
    return (one.column > other.column) - (one.column < other.column)


cdef int hand_over(Pairs* pairs, object watch) except -1:
    """The best of all threads to the results, sorted by (row, column) unless all are wanted."""
    cdef Buffer* all = &pairs.found[0].best
    cdef Buffer* own
    cdef int64_t[::1] rows, columns
    cdef unsigned char[:, :, :] similarities
    cdef Output out
    cdef const Pair* pair
    cdef Py_ssize_t i, n
    cdef int thread
    for thread in range(1, pairs.threads):
        own = &pairs.found[thread].best
        if not reserve(all, own.used):
            watch.no_memory(0)
        if own.used:
            memcpy(all.data + all.used, own.data, own.used)
        all.used += own.used
        drop(own)
    n = pairs_in(all)
    if n == 0:
        return 0
    if 0 < pairs.most < n:
        if not reserve(&pairs.found[0].spare, n * sizeof(Pair)):
            watch.no_memory(0)
        with nogil:
            bring_forward(<Pair*> all.data, n, pairs.most, False, depth_for(n),
                          <Pair*> pairs.found[0].spare.data)
        n = pairs.most
    rows, columns, similarities = watch.room(n)
    out = output_of(similarities, False)
    with nogil:
        if pairs.most:
            qsort(all.data, n, sizeof(Pair), by_place)
        for i in range(n):
            pair = <const Pair*> all.data + i
            rows[i], columns[i] = pair.row, pair.column
            put(&out, 0, i, 1, &pair.similarity)
    all.used = 0
    return 0
