# Pairs of rows whose similarity reaches a threshold t > 0, without the products that cannot.
#
# takes: sparse.pyx, csr.pxi, rows.pxi, top_k.pxi, sparse.h, openmp.h
# gives: PairIndex, sort_pairs
#
# As in Bayardo, Ma and Srikant (WWW 2007) and L2AP (Anastasiu and Karypis, ICDE 2014): features are
# ordered from the rarest to the most frequent. If k is the first feature that x and y share, then
#
#     x · y <= x[k] y[k] + ‖x after k‖ ‖y after k‖
#
# for rows of norm 1, by Cauchy and Schwarz, whatever the signs. So every list holds, with each
# row's weight, the norm of what comes after it, and a pair whose bound stays below t at their first
# feature need never be looked at. Entries from which on the row's norm is below t can reach it with
# no row: they are not indexed, and x does not look for them. There are no sums to keep: lists are
# only read, in order. Most of what passes is stopped by a sketch: the norms of a row's entries in
# each of 64 buckets of features, since x · y <= sum of ‖x in b‖ ‖y in b‖ over the buckets b, again
# by Cauchy and Schwarz. The rest is compared exactly.

cdef double BOUND_SLACK = 1e-6       # bounds are kept in float; the comparison is exact

cdef enum:
    FOUND_BYTES = 4 << 20            # results that a thread keeps before they are fetched
    RUN = 16                         # bounds looked at together
    BUCKETS = 64                     # a row's sketch is a cache line of bytes
    SKETCH_ONE = 250                 # the norm 1 in a sketch
    LOOK = 1 << 22                   # pairs sorted between looks for Ctrl-C


cdef struct Pairs:
    const Table* X
    const Table* Y
    const int32_t* rank              # of the features, rarest in Y first
    const float* after               # of Y's entries: norm of what comes after, -1: not indexed
    const int64_t* start             # lists by feature
    const int32_t* row
    const float* weight
    const float* rest
    const uint8_t* sketch            # of Y's rows
    int32_t sketch_bar
    double threshold
    bint same, wide, narrow
    Py_ssize_t capacity
    # for each row of the chunk at hand
    Py_ssize_t first
    int32_t* thread
    int64_t* place
    int64_t* count                   # -1: had no room, to be done again

cdef struct Catch:                   # a thread's results
    int64_t filled
    bint closed                      # a row had no room: the chunk's others have to wait
    int32_t stamp
    int32_t* seen
    int32_t* column
    double* similarity
    float* after
    const uint8_t* x                 # sketch of the row at hand
    uint8_t own[BUCKETS]


cdef void sketch_row(const Entries* row, double inverse, uint8_t* sketch) noexcept nogil:
    """The norm in every bucket, rounded up."""
    cdef double norm2[BUCKETS]
    cdef double weight
    cdef Py_ssize_t k
    memset(norm2, 0, sizeof(norm2))
    for k in range(row.count):
        weight = row.value[k] * inverse
        norm2[(<uint32_t> row.feature[k] * <uint32_t> 2654435761) >> 26] += weight * weight
    for k in range(BUCKETS):
        sketch[k] = <uint8_t> ceil(sqrt(norm2[k]) * SKETCH_ONE)


cdef inline int32_t sketch_bound(const uint8_t* x, const uint8_t* y) noexcept nogil:
    cdef int32_t total = 0
    cdef int k
    for k in range(BUCKETS):
        total += <int32_t> x[k] * <int32_t> y[k]
    return total


cdef void remainders(const Table* t, Py_ssize_t i, const int32_t* rank, double threshold,
                     const Entries* row, uint64_t* key, float* after) noexcept nogil:
    """after[k] = the norm of what comes after entry k, rounded up; -1 where it is of no use."""
    cdef Py_ssize_t k, at
    cdef double norm2 = 0, weight, inverse = t.inverse[i]
    cdef double limit = (threshold - BOUND_SLACK) * (threshold - BOUND_SLACK)
    for k in range(row.count):
        key[k] = <uint64_t> rank[row.feature[k]] << 32 | <uint64_t> k
    sort_keys(key, row.count)
    for k in range(row.count - 1, -1, -1):
        at = <uint32_t> key[k]
        weight = row.value[at] * inverse
        after[at] = <float> (sqrt(norm2) * (1 + 1e-7))
        norm2 += weight * weight
        if norm2 < limit:
            after[at] = -1


cdef class PairIndex:
    """The part of Y that pairs at or above the threshold need, by feature."""

    cdef Pairs p
    cdef Rows X, Y
    cdef float* after
    cdef void* sketches
    cdef Team team
    cdef Py_ssize_t room

    def __dealloc__(self):
        free(self.team.memory)
        free(self.sketches)
        free(self.p.thread)
        free(self.p.place)
        free(self.p.count)
        free(<void*> self.p.rank)
        free(self.after)
        free(<void*> self.p.start)
        free(<void*> self.p.row)
        free(<void*> self.p.weight)
        free(<void*> self.p.rest)

    def __init__(self, Rows X, Rows Y, double threshold, bint same, bint wide, bint narrow,
                 int threads):
        """Y is sparse; `same`: look for pairs with row < column only."""
        cdef Pairs* p = &self.p
        cdef Team team
        cdef Py_ssize_t i, size, entries = Y.entries
        cdef int64_t* start
        cdef Scratch* s
        self.X, self.Y = X, Y
        p.X, p.Y = &X.table, &Y.table
        p.same, p.wide, p.narrow = same, wide, narrow
        self.raise_threshold(threshold)
        p.start = start = <int64_t*> allocate((p.Y.features + 2) * sizeof(int64_t))
        p.rank = <int32_t*> allocate(p.Y.features * sizeof(int32_t))
        self.after = <float*> allocate(entries * sizeof(float))
        p.after = self.after
        self.sketches = allocate((p.Y.rows + 1) * BUCKETS * sizeof(uint8_t))
        p.sketch = <uint8_t*> ((<size_t> self.sketches + 63) // 64 * 64)
        begin(&team, p.Y.longest, 0, 0, threads)
        try:
            with nogil:
                count_all(p.Y, start, &team.of[0].x)
            rank_features(start, p.Y.features, p.Y.rows, <int32_t*> p.rank)
            for i in prange(p.Y.rows, nogil=True, num_threads=threads, schedule="dynamic",
                            chunksize=64):
                s = team.of + omp_get_thread_num()
                read_row(p.Y, i, &s.x)
                remainders(p.Y, i, p.rank, threshold, &s.x, s.key,
                           self.after + start_of(p.Y, i))
                sketch_row(&s.x, p.Y.inverse[i], <uint8_t*> p.sketch + i * BUCKETS)
            with nogil:
                count_indexed(p.Y, start, p.after, &team.of[0].x)
            size = start[p.Y.features + 1]
            p.row = <int32_t*> allocate(size * sizeof(int32_t))
            p.weight = <float*> allocate((size + RUN) * sizeof(float))
            p.rest = <float*> allocate((size + RUN) * sizeof(float))
            with nogil:
                fill_indexed(p, start, &team.of[0].x)
        finally:
            end(&team)

    def raise_threshold(self, double threshold):
        """Pairs below it are no longer wanted; what is indexed for the old one will do."""
        self.p.threshold = threshold
        self.p.sketch_bar = <int32_t> (min(2.0, threshold - BOUND_SLACK) * SKETCH_ONE * SKETCH_ONE)

    def run(self, Py_ssize_t first, Py_ssize_t count, int threads):
        """Join rows [first, first + count) of X; returns how many of these were done, from the
        first on, and how many pairs they have. `fetch` them before the next run."""
        cdef Pairs* p = &self.p
        cdef Py_ssize_t i, size, done = 0
        cdef int64_t found = 0
        cdef int thread
        if self.team.memory == NULL:
            p.capacity = max(<Py_ssize_t> FOUND_BYTES // 12, p.Y.rows)
            size = sizeof(Catch) + 12 * p.capacity + 4 * p.Y.rows + 4 * p.X.longest
            begin(&self.team, max(p.X.longest, p.Y.longest), p.X.features, size, threads)
        if self.room < count:
            free(p.thread)
            free(p.place)
            free(p.count)
            p.thread, p.place, p.count, self.room = NULL, NULL, NULL, 0
            p.thread = <int32_t*> allocate(count * sizeof(int32_t))
            p.place = <int64_t*> allocate(count * sizeof(int64_t))
            p.count = <int64_t*> allocate(count * sizeof(int64_t))
            self.room = count
        for thread in range(threads):
            (<Catch*> self.team.of[thread].extra).filled = 0
            (<Catch*> self.team.of[thread].extra).closed = False
        p.first = first
        for i in prange(first, first + count, nogil=True, num_threads=threads,
                        schedule="dynamic", chunksize=16):
            join_row(p, i, omp_get_thread_num(), self.team.of + omp_get_thread_num())
        while done < count and p.count[done] >= 0:
            found += p.count[done]
            done += 1
        return done, found

    def fetch(self, Py_ssize_t done, int64_t[::1] rows, int64_t[::1] columns,
              value_t[::1] similarities):
        """The pairs of the last run's first `done` rows."""
        cdef const Pairs* p = &self.p
        cdef const Catch* c
        cdef Py_ssize_t i
        cdef int64_t k, to = 0
        for i in range(done):
            c = <const Catch*> self.team.of[p.thread[i]].extra
            for k in range(p.place[i], p.place[i] + p.count[i]):
                rows[to] = p.first + i
                columns[to] = c.column[k]
                similarities[to] = <value_t> c.similarity[k]
                to += 1


cdef void count_all(const Table* t, int64_t* start, Entries* row) noexcept nogil:
    cdef Py_ssize_t i, k
    for i in range(t.rows):
        read_row(t, i, row)
        for k in range(row.count):
            start[row.feature[k]] += 1


cdef int rank_features(const int64_t* frequency, Py_ssize_t features, Py_ssize_t rows,
                       int32_t* rank) except -1:
    """By frequency, then by number: sorted by counting."""
    cdef int64_t* before = <int64_t*> allocate((rows + 2) * sizeof(int64_t))
    cdef int64_t* place
    cdef Py_ssize_t f
    for f in range(features):
        before[min(frequency[f], rows) + 1] += 1
    for f in range(rows + 1):
        before[f + 1] += before[f]
    for f in range(features):
        place = before + min(frequency[f], rows)     # more: repeated by another thread
        rank[f] = <int32_t> place[0]
        place[0] += 1
    free(before)
    return 0


cdef void count_indexed(const Table* t, int64_t* start, const float* after,
                        Entries* row) noexcept nogil:
    cdef Py_ssize_t i, k, f
    cdef int64_t first
    memset(start, 0, (t.features + 2) * sizeof(int64_t))
    for i in range(t.rows):
        read_row(t, i, row)
        first = start_of(t, i)
        for k in range(row.count):
            start[row.feature[k] + 2] += after[first + k] >= 0
    for f in range(t.features):
        start[f + 2] += start[f + 1]


cdef void fill_indexed(Pairs* p, int64_t* start, Entries* row) noexcept nogil:
    cdef const Table* t = p.Y
    cdef Py_ssize_t i, k
    cdef int64_t at, first, stop = start[t.features + 1]
    for i in range(t.rows):
        read_row(t, i, row)
        first = start_of(t, i)
        for k in range(row.count):
            at = start[row.feature[k] + 1]
            # the end: written to by another thread since the count
            if p.after[first + k] >= 0 and at < stop:
                start[row.feature[k] + 1] += 1
                (<int32_t*> p.row)[at] = <int32_t> i
                (<float*> p.weight)[at] = <float> (row.value[k] * t.inverse[i])
                (<float*> p.rest)[at] = p.after[first + k]


cdef inline int64_t beyond(const int32_t* row, int64_t low, int64_t high,
                           int64_t i) noexcept nogil:
    # the first place in the ascending row[low:high] with a row > i
    cdef int64_t middle
    while low < high:
        middle = (low + high) // 2
        if row[middle] <= i:
            low = middle + 1
        else:
            high = middle
    return low


cdef bint meet(const Pairs* p, Catch* c, Scratch* s, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Compare rows i and j, once; False where there is no room for the result."""
    cdef double similarity
    if c.seen[j] == c.stamp:
        return True
    c.seen[j] = c.stamp
    if sketch_bound(c.x, p.sketch + j * BUCKETS) < p.sketch_bar:
        return True
    similarity = given(cosine_of(dot_with(&s.x, s.dense, p.Y, j, &s.y), p.X, i, p.Y, j, p.wide),
                       p.narrow)
    if similarity >= p.threshold:
        if c.filled == p.capacity:
            return False
        c.column[c.filled], c.similarity[c.filled] = <int32_t> j, similarity
        c.filled += 1
    return True


cdef bint walk_list(const Pairs* p, Catch* c, Scratch* s, Py_ssize_t i, int64_t q, int64_t stop,
                    float x, float rest) noexcept nogil:
    cdef const float* weight = p.weight
    cdef const float* after = p.rest
    cdef float bar = <float> (p.threshold - BOUND_SLACK)
    cdef int64_t k, last
    while q < stop:
        if bounds_reach(x, weight + q, rest, after + q, bar):    # the arrays are padded
            last = min(q + RUN, stop)
            for k in range(q, last):
                if x * weight[k] + rest * after[k] >= bar:
                    if not meet(p, c, s, i, p.row[k]):
                        return False
        q += RUN
    return True


cdef void sort_columns(index_t* column, value_t* similarity, int64_t count) noexcept nogil:
    """Both together: Shell's sort, as in `sort_keys`."""
    cdef int64_t gap = 1, i, k
    cdef index_t item
    cdef value_t value
    while gap < count // 3:
        gap = gap * 9 // 4 + 1
    while gap > 0:
        for i in range(gap, count):
            item, value, k = column[i], similarity[i], i
            while k >= gap and column[k - gap] > item:
                column[k], similarity[k] = column[k - gap], similarity[k - gap]
                k -= gap
            column[k], similarity[k] = item, value
        gap = 0 if gap == 1 else (1 if gap < 4 else gap * 4 // 9)


cdef void join_row(const Pairs* p, Py_ssize_t i, int thread, Scratch* s) noexcept nogil:
    cdef Catch* c = <Catch*> s.extra
    cdef Py_ssize_t k, f
    cdef const float* after
    cdef int64_t q, stop, place
    cdef bint room = True
    if c.seen == NULL:
        c.similarity = <double*> (c + 1)
        c.column = <int32_t*> (c.similarity + p.capacity)
        c.seen = c.column + p.capacity
        c.after = <float*> (c.seen + p.Y.rows)
    p.thread[i - p.first] = thread
    p.count[i - p.first] = -1
    if c.closed:
        return
    place = c.filled
    c.stamp += 1
    read_row(p.X, i, &s.x)
    if p.same:
        after = p.after + start_of(p.X, i)
        c.x = p.sketch + i * BUCKETS
    else:
        sketch_row(&s.x, p.X.inverse[i], c.own)
        c.x = c.own
        remainders(p.X, i, p.rank, p.threshold, &s.x, s.key, c.after)
        after = c.after
    spread(&s.x, s.dense)
    for k in range(s.x.count):
        f = s.x.feature[k]
        if after[k] >= 0 and room:
            q, stop = p.start[f], p.start[f + 1]
            if p.same:
                q = beyond(p.row, q, stop, i)
            room = walk_list(p, c, s, i, q, stop, <float> (s.x.value[k] * p.X.inverse[i]),
                             after[k])
    wipe(&s.x, s.dense)
    if room:
        sort_columns(c.column + place, c.similarity + place, c.filled - place)
        p.place[i - p.first], p.count[i - p.first] = place, c.filled - place
    else:
        c.filled, c.closed = place, True


def sort_pairs(int64_t[::1] rows, int64_t[::1] columns, value_t[::1] similarities,
               Py_ssize_t n_rows):
    """By (row, column), in place: swapped into the rows' parts (McIlroy, Bostic and McIlroy,
    Computing Systems 6, 1993), and each part sorted."""
    cdef int64_t[::1] first = np.zeros(n_rows + 1, dtype=np.int64), filled
    cdef Py_ssize_t i, count = rows.shape[0]
    cdef int64_t k, to, looked = 0
    if not count:
        return
    for k in range(count):
        first[rows[k] + 1] += 1
    for i in range(n_rows):
        first[i + 1] += first[i]
    filled = first[:n_rows].copy()
    with nogil:
        for i in range(n_rows):
            while filled[i] < first[i + 1]:
                k, to = filled[i], filled[rows[filled[i]]]
                filled[rows[k]] += 1
                if k != to:
                    rows[k], rows[to] = rows[to], rows[k]
                    columns[k], columns[to] = columns[to], columns[k]
                    similarities[k], similarities[to] = similarities[to], similarities[k]
            if first[i] < first[i + 1]:
                sort_columns(&columns[first[i]], &similarities[first[i]], first[i + 1] - first[i])
            if first[i + 1] - looked > LOOK:
                looked = first[i + 1]
                with gil:
                    PyErr_CheckSignals()
