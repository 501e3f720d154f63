# The k rows of Y that are most similar to each row of X where bounds stop little, or rows are full:
# all scores are summed up, and who may be among a row's best by these is compared exactly.
#
# takes: sparse.pyx, rows.pxi, index.pxi, sums.pxi, top_k.pxi, sparse.h, openmp.h
# gives: list_bytes, Nearest
#
# A row has a list with room for half as many again as k. A full one is cut down to what may be
# among the k best: no score is further than the slack from its similarity, so nobody is who has
# less than the k-th best score by twice the slack. Where that leaves most of them, which happens to
# equal rows, they are compared exactly at once; the k-th best similarity is the limit then.
#
# Of a matrix with itself a block meets the rows from its first one on, and the scores of those that
# come behind it count for both rows of a pair: for the block's rows in a second pass, by columns.
#
# In the end a row that is longer than the other one of its pair is made dense once, for all such
# pairs, whose other rows' entries are read: few, where rows' lengths are very unlike.

cdef enum:
    STRIP = 64                       # columns of scores that a thread offers at a time
    SCORES_AT_ONCE = 1 << 20         # 4 MiB of them
    SETTLED_AT_ONCE = 1 << 18        # pairs that are compared exactly

cdef struct Near:                    # lists of all rows of X
    Py_ssize_t k, room
    double least                     # as in `Best`
    float* score                     # `room` of each row
    int32_t* row
    int32_t* count
    float* limit                     # what is less is not listed

cdef struct Pairs_of:                # pairs of some rows' lists, by the longer row
    int32_t* start                   # of each row of Y, and the end
    int32_t* place                   # in `dot`, (row of X, place in its list)
    double* dot

cdef struct Near_job:                # whose they are, and how these are compared
    const Table* X
    const Table* Y
    Near* near
    bint wide, narrow
    double* similarities             # heaps, of k places a row
    int64_t* indices
    int64_t* counts


cdef inline Py_ssize_t length_of_row(const Table* t, Py_ssize_t i) noexcept nogil:
    return t.features if t.is_dense else start_of(t, i + 1) - start_of(t, i)


cdef inline double slack_of(const Table* X, Py_ssize_t i) noexcept nogil:
    return (length_of_row(X, i) + 16) * FLOAT_SLACK


cdef inline Best best_of(const Near_job* job, Py_ssize_t i) noexcept nogil:
    cdef Best best
    best.k, best.count, best.least = job.near.k, job.counts[i], job.near.least
    best.similarity = job.similarities + i * best.k
    best.index = job.indices + i * best.k
    return best


cdef inline void offer_exactly(const Near_job* job, double dot, Py_ssize_t i, Py_ssize_t j,
                               Best* best) noexcept nogil:
    cdef double similarity = given(cosine_of(dot, job.X, i, job.Y, j, job.wide), job.narrow)
    if similarity > 0 and similarity >= best.least:
        offer(best, similarity, j)


cdef void compare_list(const Near_job* job, Py_ssize_t i, Scratch* s) noexcept nogil:
    """What row i's list has, exactly; the list is empty then."""
    cdef Near* near = job.near
    cdef const int32_t* row = near.row + i * near.room
    cdef Best best = best_of(job, i)
    cdef Py_ssize_t c
    read_row(job.X, i, &s.x)
    spread(&s.x, s.dense)
    for c in range(near.count[i]):
        offer_exactly(job, dot_with(&s.x, s.dense, job.Y, row[c], &s.y), i, row[c], &best)
    wipe(&s.x, s.dense)
    near.count[i] = 0
    job.counts[i] = best.count
    if best.count == best.k:
        near.limit[i] = max(near.limit[i], <float> (best.similarity[0] - slack_of(job.X, i)))


cdef void cut_list(const Near_job* job, Py_ssize_t i, Scratch* s) noexcept nogil:
    """Leave what may be among the k best by its score."""
    cdef Near* near = job.near
    cdef float* score = near.score + i * near.room
    cdef int32_t* row = near.row + i * near.room
    cdef float* top = <float*> s.extra
    cdef int32_t* top_row = <int32_t*> (top + near.k)
    cdef Py_ssize_t c, n = 0, k = near.k
    cdef float limit
    if near.count[i] >= k:
        for c in range(k):
            top[c] = -INFINITY
        for c in range(near.count[i]):
            if score[c] > top[0]:
                raise_top(top, top_row, k, score[c], row[c])
        near.limit[i] = max(near.limit[i], <float> (top[0] - 2 * slack_of(job.X, i)))
    limit = near.limit[i]
    for c in range(near.count[i]):
        score[n], row[n] = score[c], row[c]
        n += score[c] >= limit
    near.count[i] = <int32_t> n


cdef inline void list_row(const Near_job* job, Py_ssize_t i, float score, Py_ssize_t j,
                          Scratch* s) noexcept nogil:
    """Row j of Y for row i's list."""
    cdef Near* near = job.near
    cdef Py_ssize_t at = i * near.room + near.count[i]
    near.score[at], near.row[at] = score, <int32_t> j
    near.count[i] += 1
    if near.count[i] == near.room:
        cut_list(job, i, s)
        if near.count[i] > near.room - (near.room - near.k) // 2:
            compare_list(job, i, s)


cdef void list_scores(const Near_job* job, const Lists* lists, Py_ssize_t i, const float* score,
                      bint without_itself, Scratch* s) noexcept nogil:
    """The block's rows for row i's list."""
    cdef const float* limit = job.near.limit + i
    cdef Py_ssize_t j = 0, k
    while j < lists.rows:
        # `score` is padded with zeros
        if scores_reach(score + j, limit[0]) | scores_reach(score + j + 16, limit[0]):
            for k in range(j, min(j + 32, lists.rows)):
                if score[k] >= limit[0] and not (without_itself and lists.first + k == i):
                    list_row(job, i, score[k], lists.first + k, s)
        j += 32


cdef void list_columns(const Near_job* job, const Lists* lists, Py_ssize_t first,
                       Py_ssize_t count, Py_ssize_t start, const float* scores, Py_ssize_t step,
                       Scratch* s) noexcept nogil:
    """Rows [first, first + count) for the lists of a strip of the block's rows from `start` on."""
    cdef const float* limit = job.near.limit + lists.first
    cdef Py_ssize_t i, j, k, stop = min(start + STRIP, lists.rows)
    for i in range(count):
        j = start
        while j < stop:
            if j + 16 > stop or each_reaches(scores + j, limit + j):
                for k in range(j, min(j + 16, stop)):
                    if scores[k] >= limit[k]:
                        list_row(job, lists.first + k, scores[k], first + i, s)
            j += 16
        scores += step


cdef void score_rows(const Near_job* job, const Lists* lists, Py_ssize_t first, Py_ssize_t count,
                     bint without_itself, float* scores, Py_ssize_t step, Scratch* s,
                     size_t before_group) noexcept nogil:
    """A group of rows for its own lists; their scores are kept where `scores` is not NULL."""
    cdef Group* g = group_in(s.extra + before_group, lists, job.X.longest)
    cdef Py_ssize_t r
    read_group(job.X, first, count, lists, g)
    score_group(lists, g)
    for r in range(count):
        list_scores(job, lists, first + r, g.score[r], without_itself, s)
        if scores != NULL:
            memcpy(scores + r * step, g.score[r], lists.rows * sizeof(float))
        clear_scores(lists, g.score[r])


cdef inline bint is_longer(const Near_job* job, Py_ssize_t j, Py_ssize_t i) noexcept nogil:
    # so much that row j of Y, not row i of X, should be the dense one
    return not job.X.is_dense and length_of_row(job.Y, j) > length_of_row(job.X, i)


cdef void sort_pairs_of(const Near_job* job, Py_ssize_t first, Py_ssize_t stop,
                        Pairs_of* pairs) noexcept nogil:
    """What the lists of rows [first, stop) have that is longer than their own row, by its row."""
    cdef const Near* near = job.near
    cdef const int32_t* row
    cdef Py_ssize_t i, c
    cdef int32_t* start = pairs.start
    memset(start, 0, (job.Y.rows + 2) * sizeof(int32_t))
    for i in range(first, stop):
        row = near.row + i * near.room
        for c in range(near.count[i]):
            start[row[c] + 2] += is_longer(job, row[c], i)
    for i in range(job.Y.rows):
        start[i + 2] += start[i + 1]
    for i in range(first, stop):
        row = near.row + i * near.room
        for c in range(near.count[i]):
            if is_longer(job, row[c], i):
                pairs.place[start[row[c] + 1]] = <int32_t> ((i - first) * near.room + c)
                start[row[c] + 1] += 1


cdef void dots_of_longer(const Near_job* job, Py_ssize_t j, Py_ssize_t first,
                         const Pairs_of* pairs, Scratch* s) noexcept nogil:
    """Row j of Y with all rows whose lists have it as the longer one."""
    cdef Py_ssize_t q
    if pairs.start[j] == pairs.start[j + 1]:
        return
    read_row(job.Y, j, &s.x)
    spread(&s.x, s.dense)
    for q in range(pairs.start[j], pairs.start[j + 1]):
        pairs.dot[pairs.place[q]] = dot_with(&s.x, s.dense, job.X,
                                             first + pairs.place[q] // job.near.room, &s.y)
    wipe(&s.x, s.dense)


cdef bint settle_row(const Near_job* job, Py_ssize_t i, const double* dot,
                     Scratch* s) noexcept nogil:
    """The heap of row i; whether rows without a score may be in it, too."""
    cdef const Near* near = job.near
    cdef const int32_t* row = near.row + i * near.room
    cdef Best best = best_of(job, i)
    cdef double slack = slack_of(job.X, i)
    cdef Py_ssize_t c
    read_row(job.X, i, &s.x)
    spread(&s.x, s.dense)
    for c in range(near.count[i]):
        offer_exactly(job, dot[c] if is_longer(job, row[c], i)
                      else dot_with(&s.x, s.dense, job.Y, row[c], &s.y), i, row[c], &best)
    wipe(&s.x, s.dense)
    if s.x.count and bar_of(&best) <= slack:
        job.counts[i] = 0
        return True
    job.counts[i] = -1 - best.count
    return False


cdef inline Py_ssize_t room_for(Py_ssize_t k) noexcept nogil:
    return k + k // 2 + 16


def list_bytes(Py_ssize_t k):
    """What each row's list takes."""
    return room_for(k) * (sizeof(float) + sizeof(int32_t)) + sizeof(int32_t) + sizeof(float)


cdef inline size_t size_of_top(Py_ssize_t k) noexcept nogil:
    return (k * (sizeof(float) + sizeof(int32_t)) + 63) // 64 * 64


cdef class Nearest:
    """The lists of all rows of X, and their heaps, `counts[i]` each, no one yet."""

    cdef Near near
    cdef Near_job job
    cdef object held

    def __dealloc__(self):
        free(self.near.score)
        free(self.near.row)
        free(self.near.count)
        free(self.near.limit)

    def __init__(self, Rows X, Rows Y, double least, double[:, ::1] similarities,
                 int64_t[:, ::1] indices, int64_t[::1] counts, bint wide, bint narrow):
        cdef Near* near = &self.near
        cdef Near_job* job = &self.job
        cdef Py_ssize_t i, n = counts.shape[0], k = similarities.shape[1]
        self.held = X, Y, similarities.base, indices.base, counts.base
        job.X, job.Y, job.near, job.wide, job.narrow = &X.table, &Y.table, near, wide, narrow
        if n:
            job.similarities, job.indices = &similarities[0, 0], &indices[0, 0]
            job.counts = &counts[0]
        near.k, near.room, near.least = k, room_for(k), least
        near.score = <float*> allocate(n * near.room * sizeof(float))
        near.row = <int32_t*> allocate(n * near.room * sizeof(int32_t))
        near.count = <int32_t*> allocate(n * sizeof(int32_t))
        near.limit = <float*> allocate(n * sizeof(float))
        for i in range(n):
            near.limit[i] = max(<float> 1e-30, <float> (least - slack_of(job.X, i)))

    def add(self, Index index, Py_ssize_t first, Py_ssize_t stop, bint same, bint without_itself,
            int threads):
        """The block for the lists of rows [first, stop), and heaps where these are too short;
        `same`: X is Y, and the rows behind the block are for the lists of the block's."""
        cdef const Lists* lists = &index.lists
        cdef const Near_job* job = &self.job
        cdef const Table* X = job.X
        cdef Py_ssize_t size = rows_of_group(lists), step = lists.rows, at, until, group, i, strip
        cdef Py_ssize_t last = lists.first + lists.rows, most = stop - first
        cdef size_t top = size_of_top(self.near.k)
        cdef float* scores = NULL
        cdef float* kept
        cdef Team team
        begin(&team, max(X.longest, job.Y.longest), X.features,
              top + size_of_group(lists, X.longest), threads)
        try:
            if same and stop > last:
                most = max(<Py_ssize_t> GROUP, SCORES_AT_ONCE // step)
                scores = <float*> allocate(min(most, stop - first) * step * sizeof(float))
            at = first
            while at < stop:
                until = min(stop, at + most)
                if same and at < last:       # they meet each other from both sides
                    until = min(until, last)
                kept = scores if same and at >= last else NULL
                for group in prange(groups_in(lists, until - at), nogil=True, num_threads=threads,
                                    schedule="dynamic", chunksize=max(1, 16 // size)):
                    i = group * size
                    score_rows(job, lists, at + i, min(size, until - at - i), without_itself,
                               NULL if kept == NULL else kept + i * step, step,
                               team.of + omp_get_thread_num(), top)
                for strip in prange(0 if kept == NULL else (lists.rows + STRIP - 1) // STRIP,
                                    nogil=True, num_threads=threads, schedule="dynamic"):
                    list_columns(job, lists, at, until - at, strip * STRIP, kept, step,
                                 team.of + omp_get_thread_num())
                at = until
        finally:
            free(scores)
            end(&team)

    def settle(self, Py_ssize_t first, Py_ssize_t stop, int threads):
        """Heaps of rows [first, stop) from their lists: counts[i] is -1 less how many there are,
        or, where rows without a score may count, too, 0. Returns how many such rows there are."""
        cdef const Near_job* job = &self.job
        cdef const Table* X = job.X
        cdef Py_ssize_t i, j, until, n_Y = job.Y.rows, room = self.near.room
        cdef Py_ssize_t size = max(<Py_ssize_t> 1, SETTLED_AT_ONCE // room)
        cdef int64_t left = 0
        cdef Pairs_of pairs
        cdef Team team
        memset(&pairs, 0, sizeof(pairs))
        begin(&team, max(X.longest, job.Y.longest), X.features, size_of_top(self.near.k), threads)
        try:
            pairs.start = <int32_t*> allocate((n_Y + 2) * sizeof(int32_t))
            pairs.place = <int32_t*> allocate(size * room * sizeof(int32_t))
            pairs.dot = <double*> allocate(size * room * sizeof(double))
            while first < stop:
                until = min(stop, first + size)
                for i in prange(first, until, nogil=True, num_threads=threads, schedule="dynamic",
                                chunksize=16):
                    cut_list(job, i, team.of + omp_get_thread_num())
                with nogil:
                    sort_pairs_of(job, first, until, &pairs)
                for j in prange(n_Y, nogil=True, num_threads=threads, schedule="dynamic",
                                chunksize=16):
                    dots_of_longer(job, j, first, &pairs, team.of + omp_get_thread_num())
                for i in prange(first, until, nogil=True, num_threads=threads, schedule="dynamic",
                                chunksize=16):
                    left += settle_row(job, i, pairs.dot + (i - first) * room,
                                       team.of + omp_get_thread_num())
                first = until
        finally:
            free(pairs.start)
            free(pairs.place)
            free(pairs.dot)
            end(&team)
        return left
