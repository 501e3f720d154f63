# Likely rows: of each query those that are nearer by their panels than most in a sample, listed in
# one pass over all rows, where there is no room for the distances of all. The nearest of them give
# the query's limit; if whoever that lets pass is on the list, the query is done.
#
# takes: pack.pxi, top_k.pxi, plan.pxi, screen.pxi, distances.pxi, panels.h, bits.h, openmp.h
# gives: LIKELY_AT_ONCE, SAMPLED_BLOCKS, LIKELY_OF_TASK, likely_bars, likely_task, meet_likely

cdef enum:
    LIKELY_AT_ONCE = 1 << 12     # likely rows that a thread takes room for
    SAMPLED_BLOCKS = 16          # which tell how near likely rows are
    SAMPLED_LIKELY = 128
    LIKELY_OF_TASK = TASK_BLOCKS * NEAR_ROWS + 24     # lists that do not begin alike in their pages


cdef void likely_bars(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """How near the likely rows are of queries from q on, by a sample."""
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef Py_ssize_t sampled = SAMPLED_BLOCKS * NEAR_ROWS, b
    cdef int queries = <int> at_most(NEAR_QUERIES, s.job.PX.count - q), i
    for b in range(SAMPLED_BLOCKS):
        find_distances(s, q, queries, b * s.blocks // SAMPLED_BLOCKS, own)
        for i in range(queries):
            memcpy(scratch + i * sampled + b * NEAR_ROWS, own + i * NEAR_ROWS,
                   NEAR_ROWS * sizeof(int32_t))
    for i in range(queries):
        s.bars[q + i] = at_most(nth_least(scratch + i * sampled, sampled,
                                          s.likely * sampled // s.places), NOWHERE - 1)


cdef void next_part(const Search* s, Py_ssize_t* used, Py_ssize_t rows) noexcept nogil:
    """More room for a thread's lists, for so many rows at least, while there is some."""
    cdef Py_ssize_t* all_used = s.used + s.job.threads * LINE
    lock(s.guard)
    used[0] = all_used[0]
    all_used[0] = used[1] = at_most(s.likely_room, used[0] + at_least(rows, LIKELY_AT_ONCE))
    unlock(s.guard)


cdef void likely_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    """Lists the likely rows of a task's blocks."""
    cdef Py_ssize_t* used = s.used + thread * LINE
    cdef Py_ssize_t all_of_them
    cdef Likely* to = <Likely*> (s.scratch + thread * s.scratch_size)
    cdef Likely* list
    cdef Likelies* listed
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef uint64_t near[NEAR_QUERIES]
    cdef Py_ssize_t counts[NEAR_QUERIES]
    cdef Py_ssize_t block, some, q, n
    cdef int with_some[NEAR_QUERIES]
    cdef uint64_t bits
    cdef int queries, i, a, r, found
    for some in range(ceil_div(s.job.PX.count, NEAR_QUERIES)):
        q = some * NEAR_QUERIES
        queries = <int> at_most(NEAR_QUERIES, s.job.PX.count - q)
        memset(counts, 0, sizeof(counts))
        for block in range(task * TASK_BLOCKS, at_most((task + 1) * TASK_BLOCKS, s.blocks)):
            find_near(s, s.every, q, queries, block, s.bars + q, own, near)
            found = 0                # most have none: no branch for these
            for i in range(queries):
                with_some[found] = i
                found += near[i] != 0
            for a in range(found):
                i = with_some[a]
                bits, n, list = near[i], counts[i], to + i * LIKELY_OF_TASK
                while bits:
                    r = first_bit(bits)
                    bits &= bits - 1
                    list[n].place = <int32_t> (block * NEAR_ROWS + r)
                    list[n].distance = distance_at(s, s.every, q, i, block, r, own)
                    n += 1
                counts[i] = n
        all_of_them = 0
        for i in range(queries):
            all_of_them += counts[i]
        if used[0] + all_of_them > used[1]:
            next_part(s, used, all_of_them)
        for i in range(queries):
            listed = s.listed + task * s.job.PX.count + q + i
            listed.of, listed.count = s.rows + used[0], counts[i]
            if used[0] + counts[i] > used[1]:
                listed.count = -1
                continue
            memcpy(<void*> listed.of, to + i * LIKELY_OF_TASK, counts[i] * sizeof(Likely))
            used[0] += counts[i]


cdef Py_ssize_t nearest_of(Likely* a, Py_ssize_t n, Py_ssize_t wanted,
                           int32_t* scratch) noexcept nogil:
    """Brings about so many of the nearest of a[:n] forward; how many these are."""
    cdef Py_ssize_t i, kept, guess
    cdef int32_t bar
    if n <= wanted:                  # none, too
        return n
    guess = wanted * SAMPLED_LIKELY // n + 3
    if guess < SAMPLED_LIKELY // 4:
        for i in range(SAMPLED_LIKELY):
            scratch[i] = a[i * n // SAMPLED_LIKELY].distance
        bar = nth_least(scratch, SAMPLED_LIKELY, guess)
        kept = nearer_first(a, n, bar)
        n = kept if kept >= wanted else n
    for i in range(n):
        scratch[i] = a[i].distance
    return nearer_first(a, n, nth_least(scratch, n, wanted - 1))


cdef Py_ssize_t nearer_first(Likely* a, Py_ssize_t n, int32_t bar) noexcept nogil:
    cdef Py_ssize_t i, kept = 0
    cdef Likely own
    for i in range(n):
        own = a[i]
        a[i] = a[kept]
        a[kept] = own
        kept += own.distance <= bar
    return kept


cdef void leave(const Search* s, Py_ssize_t q) noexcept nogil:
    """A query is left to meet all rows."""
    cdef Py_ssize_t words = s.kept.words
    cdef Scanned* left = s.left
    lock(s.guard)
    left.query[left.count], left.square[left.count] = <int32_t> q, s.every.square[q]
    memcpy(left.words + left.count * words, s.every.words + q * words, words * sizeof(int32_t))
    left.count += 1
    unlock(s.guard)


cdef void meet_likely(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The limit of a query by the nearest of its likely rows; if whoever is near enough then is
    among these, all of them are met."""
    cdef Best* best = s.job.best
    cdef const Likelies* listed
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef Likely* likely = <Likely*> scratch
    cdef Py_ssize_t room = s.scratch_size // 3, wanted = first_rows(s), task, i, nearest, n = 0
    cdef bint all_listed = True
    cdef int32_t bar
    cdef Listed list
    cdef Waiting waiting
    list.count = waiting.count = 0
    for task in range(ceil_div(s.blocks, TASK_BLOCKS)):
        listed = s.listed + task * s.job.PX.count + q
        all_listed = all_listed and 0 <= listed.count <= room - n
        i = at_most(at_least(listed.count, 0), room - n)
        memcpy(likely + n, listed.of, i * sizeof(Likely))
        n += i
    nearest = at_most(nearest_of(likely, n, wanted, scratch + 2 * room), 4 * wanted)
    settle_nearest(s, q, likely, nearest, scratch + 2 * room, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)
    if best.count[q] >= best.k:
        keep_best(best, q)
    forget(best, q, 0, s.job.Y.rows)     # they come once more
    bar = bar_of(s, q)
    if not all_listed or bar > s.bars[q]:
        leave(s, q)
        return
    for i in range(n):
        if likely[i].distance <= bar:
            list_place(s, q, likely[i].place, likely[i].distance, &list, &waiting, thread)
    meet_listed(s, q, &list, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)
