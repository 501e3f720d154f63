# Few rows against many sparse ones, which are read where they lie, once: no copy, no index of them.
#
# takes: sparse.pyx, csr.pxi, rows.pxi, index.pxi, top_k.pxi, openmp.h
# gives: Image, Many, Few, how_to_read, number_of, may_occur, compare_row, count_reaching,
#        take_reaching, offer_best, sort_offered
#
# The few are held by feature, any number of features by those that occur. A row of the many that
# shares none of these is looked at and left: its similarities are 0. Only where it shares one, it
# is put in order, if it is not, alone, in scratch; measured; and its dot products grow in the
# canonical order, feature by feature.

cdef enum:
    FILTER = 32                      # bits of the filter for each place of the table

cdef struct Image:                   # the few by feature
    const Table* table
    Py_ssize_t features              # that occur
    int64_t* occurring               # ascending; NULL: all features, by number
    int32_t* start                   # of every such feature's list, and the end
    int32_t* row
    double* value
    double* none                     # similarity with a row that shares no feature: 0 or NaN
    # which number has a feature: a table of hashes, and a filter before it
    int bits                         # of a hash, that is a place of the filter
    int32_t* place
    uint64_t* filter

cdef struct Many:                    # how the many are read, and where results go
    Py_ssize_t features
    int bits                         # that hold a place within a row
    bint scaled, nan_for_zero, exact_zeros, wide, distance, same
    char* out
    Py_ssize_t step_few, step_many   # bytes
    bint single                      # float32, not double


cdef class Few:
    """A few rows by feature."""

    cdef Image image
    cdef Rows rows

    def __dealloc__(self):
        free(self.image.occurring)
        free(self.image.start)
        free(self.image.row)
        free(self.image.value)
        free(self.image.none)
        free(self.image.place)
        free(self.image.filter)

    def __init__(self, Rows rows, const int64_t[::1] occurring=None):
        """`occurring`: what the features of `rows` are in the matrix; None: the same."""
        cdef Image* m = &self.image
        cdef const Table* t = &rows.table
        cdef Py_ssize_t i, k, f
        cdef Team team
        cdef Entries* row
        self.rows = rows
        m.table, m.features = t, t.features
        m.start = <int32_t*> allocate((t.features + 2) * sizeof(int32_t))
        m.row = <int32_t*> allocate(rows.entries * sizeof(int32_t))
        m.value = <double*> allocate(rows.entries * sizeof(double))
        m.none = <double*> allocate(t.rows * sizeof(double))
        begin(&team, t.longest, 0, 0, 1)
        row = &team.of[0].x
        for i in range(t.rows):
            m.none[i] = 0 * t.inverse[i]
            read_row(t, i, row)
            for k in range(row.count):
                m.start[row.feature[k] + 2] += 1
        for f in range(t.features):
            m.start[f + 2] += m.start[f + 1]
        for i in range(t.rows):
            read_row(t, i, row)
            for k in range(row.count):
                f = m.start[row.feature[k] + 1]
                if f < rows.entries:             # unless another thread has written to the row
                    m.row[f], m.value[f] = <int32_t> i, row.value[k]
                    m.start[row.feature[k] + 1] += 1
        end(&team)
        if occurring is not None:
            self.hash_features(occurring)

    cdef hash_features(self, const int64_t[::1] occurring):
        cdef Image* m = &self.image
        cdef Py_ssize_t n, mask, places = 64
        cdef uint64_t h
        while places < 2 * occurring.shape[0]:
            places *= 2
        mask = places - 1
        m.bits = 0
        while <Py_ssize_t> 1 << m.bits < FILTER * places:
            m.bits += 1
        m.occurring = <int64_t*> allocate(occurring.shape[0] * sizeof(int64_t))
        m.place = <int32_t*> allocate(places * sizeof(int32_t))
        m.filter = <uint64_t*> allocate(FILTER * places // 8)
        for n in range(occurring.shape[0]):
            m.occurring[n] = occurring[n]
            h = hash_of(m, occurring[n])
            set_bit(m.filter, h)
            h //= FILTER
            while m.place[h]:
                h = (h + 1) & mask
            m.place[h] = <int32_t> n + 1         # 0: free

    def meet(self, const value_t[::1] values, const index_t[::1] indices,
             const index_t[::1] starts, Py_ssize_t features, Py_ssize_t first, Py_ssize_t stop,
             bint scaled, bint nan_for_zero, bint exact_zeros, bint wide, bint distance,
             bint same, out, int threads):
        """out[i, j - first] = similarity or distance of row i of the few and row j of the many,
        j in [first, stop), as they lie in CSR; returns what `inspect` and `Rows` would find.

        `exact_zeros`: whether rows whose entries cancel must be found; `out`: float32 or float64.
        """
        cdef Many how
        cdef char[:, :, :] room = out[..., None].view(np.int8)
        cdef Py_ssize_t j, longest = 0
        cdef int status = BAD_STRUCTURE * bad_starts(starts, min(values.shape[0],
                                                                 indices.shape[0]))
        cdef const value_t* value = &values[0] if values.shape[0] else NULL
        cdef const index_t* index = &indices[0] if indices.shape[0] else NULL
        cdef Team team
        if status or first == stop or not self.image.table.rows:
            return status
        longest = longest_row(starts)
        how = how_to_read(features, longest, scaled, nan_for_zero, exact_zeros, wide)
        how.distance, how.same = distance, same
        how.single = room.shape[2] == 4
        how.out = &room[0, 0, 0]
        how.step_few, how.step_many = room.strides[0], room.strides[1]
        begin(&team, longest, 0, 2 * self.image.table.rows * sizeof(double), threads)
        for j in prange(first, stop, nogil=True, num_threads=threads, schedule="guided",
                        chunksize=64):
            status |= meet_row(&self.image, &how, value + starts[j], index + starts[j],
                               starts[j + 1] - starts[j], j, j - first,
                               team.of + omp_get_thread_num())
        end(&team)
        return status


cdef Many how_to_read(Py_ssize_t features, Py_ssize_t longest, bint scaled, bint nan_for_zero,
                      bint exact_zeros, bint wide) noexcept:
    cdef Many how
    memset(&how, 0, sizeof(Many))
    how.features = features
    while <Py_ssize_t> 1 << how.bits <= longest:
        how.bits += 1
    how.scaled, how.nan_for_zero, how.exact_zeros = scaled, nan_for_zero, exact_zeros
    how.wide = wide
    return how


cdef inline uint64_t hash_of(const Image* m, int64_t feature) noexcept nogil:
    # the upper bits of a product with the golden ratio
    return <uint64_t> feature * <uint64_t> 0x9E3779B97F4A7C15 >> (64 - m.bits)


cdef inline int32_t number_of(const Image* m, int64_t feature) noexcept nogil:
    """The feature's number where one of the few has it; -1 where none has."""
    cdef uint64_t h
    cdef int32_t n
    if m.occurring == NULL:
        if not 0 <= feature < m.features or m.start[feature] == m.start[feature + 1]:
            return -1
        return <int32_t> feature
    h = hash_of(m, feature)
    if not m.filter[h >> 6] >> (h & 63) & 1:
        return -1
    h //= FILTER
    while True:
        n = m.place[h] - 1
        if n < 0 or m.occurring[n] == feature:
            return n
        h = (h + 1) & ((<uint64_t> 1 << m.bits) // FILTER - 1)


cdef inline bint shares(const Image* m, const index_t* indices, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    cdef bint some = False
    if m.occurring == NULL:
        for k in range(count):
            if number_of(m, indices[k]) >= 0:
                return True
        return False
    for k in range(count):
        some |= may_occur(m, indices[k])
    return some


cdef inline bint may_occur(const Image* m, int64_t feature) noexcept nogil:
    """Perhaps: what the filter says."""
    cdef uint64_t h = hash_of(m, feature)
    return m.filter[h >> 6] >> (h & 63) & 1


cdef inline bint may_overflow(const value_t* values, Py_ssize_t count) noexcept nogil:
    """Whether a sum of duplicates, fewer than 2^40, may not be finite."""
    cdef double limit = 1e296 if sizeof(value_t) == 8 else 1e26
    cdef Py_ssize_t k
    cdef bint some = False
    for k in range(count):
        some |= (values[k] > limit) | (values[k] < -limit)
    return some


cdef inline void put(const Many* how, Py_ssize_t at, double* s, Py_ssize_t count) noexcept nogil:
    """Results of the few, as they are wanted: column `at`; `s` is left as zeros."""
    cdef char* to = how.out + at * how.step_many
    cdef Py_ssize_t i
    if how.distance:
        for i in range(count):
            s[i] = 1 - s[i] if how.wide else <double> (<float> 1 - <float> s[i])
    if how.single:
        for i in range(count):
            (<float*> (to + i * how.step_few))[0] = <float> s[i]
    else:
        for i in range(count):
            (<double*> (to + i * how.step_few))[0] = s[i]
    for i in range(count):
        s[i] = 0


cdef int meet_row(const Image* m, const Many* how, const value_t* values, const index_t* indices,
                  Py_ssize_t count, Py_ssize_t j, Py_ssize_t at, Scratch* s) noexcept nogil:
    """Row j of the many, whose results are column `at`; returns what `Found` has for it."""
    cdef int found = inspect_row(values, indices, 0, count, how.features)
    if found & BAD_STRUCTURE:
        return found
    found = compare_row(m, how, values, indices, count, found, shares(m, indices, count), j, s)
    put(how, at, <double*> s.extra, m.table.rows)
    return found


cdef int compare_row(const Image* m, const Many* how, const value_t* values,
                     const index_t* indices, Py_ssize_t count, int found, bint sharing,
                     Py_ssize_t j, Scratch* s) noexcept nogil:
    """s.extra = similarities of the few and row j of the many, in which there is `found`, and more
    perhaps, which is returned; `sharing`: whether it may share a feature."""
    cdef const Table* t = m.table
    cdef int exponent
    cdef bint disordered = found & (UNSORTED | EXPLICIT_ZERO) != 0
    cdef bint apart
    cdef double none, norm2 = 1, inverse = 1
    cdef double* sums = <double*> s.extra
    cdef Py_ssize_t i
    apart = not (sharing or (disordered and (how.exact_zeros or may_overflow(values, count))))
    if found & NOT_FINITE:
        none = NAN
        apart = True
    elif apart:
        none = NAN if how.nan_for_zero and not count else 0
        found |= 0 if count else ZERO_ROW
    else:
        s.y.count = count
        if disordered:
            s.y.count = put_in_order(values, indices, count, how.bits, s.key,
                                     <value_t*> s.x.value)
            read_values(<value_t*> s.x.value, s.y.count, s.y.value)
        else:
            read_values(values, count, s.y.value)
        found |= measure_entries(&s.y, how.scaled, &exponent, &norm2, &inverse)
        apart = found & (NOT_FINITE | ZERO_ROW) != 0
        none = NAN if found & NOT_FINITE or (how.nan_for_zero and found & ZERO_ROW) else 0
    if apart:
        for i in range(t.rows):
            sums[i] = none + m.none[i]
    elif disordered:
        add_products(m, s.key, &s.y, sums)
    else:
        add_products(m, indices, &s.y, sums)
    if not apart:
        if s.y.count > CHAIN:
            for i in range(t.rows):
                sums[i] = sums[i] + sums[t.rows + i] if t.is_long[i] else sums[i]
                sums[t.rows + i] = 0
        for i in range(t.rows):
            sums[i] = cosine(sums[i], t.norm2[i], t.inverse[i], norm2, inverse, how.wide)
    # a row is at no distance from itself, a zero row too
    if how.same and how.distance and j < t.rows and none == 0 and t.norm2[j] == t.norm2[j]:
        sums[j] = 1
    return found


ctypedef fused feature_t:
    int32_t
    int64_t
    uint64_t


cdef void add_products(const Image* m, const feature_t* feature, const Entries* y,
                       double* sums) noexcept nogil:
    """sums[i] += row i of the few · y; where y is long, the errors stand behind the sums."""
    cdef Py_ssize_t k
    cdef int32_t n, q, i
    cdef double* errors = sums + m.table.rows
    for k in range(y.count):
        n = number_of(m, <int64_t> feature[k])
        if n < 0:
            continue
        if y.count > CHAIN:
            for q in range(m.start[n], m.start[n + 1]):
                i = m.row[q]
                add(sums + i, errors + i, m.value[q] * y.value[k])
        else:
            for q in range(m.start[n], m.start[n + 1]):
                sums[m.row[q]] += m.value[q] * y.value[k]


def count_reaching(const double[:, ::1] part, Py_ssize_t row, Py_ssize_t first, Py_ssize_t stop,
                   double threshold, bint narrow, bint same, int64_t[::1] counts, bint across,
                   int threads):
    """counts[i] += what `take_reaching` takes of row i, counted from the first."""
    cdef Py_ssize_t i
    for i in prange(part.shape[0], nogil=True, num_threads=threads if across else 1,
                    schedule="dynamic"):
        reach_row[double](&part[i, 0], i, row + i if same else -1, first, stop, threshold, narrow,
                          across, &counts[0], NULL, NULL, NULL, NULL)


def take_reaching(const double[:, ::1] part, Py_ssize_t row, Py_ssize_t first, Py_ssize_t stop,
                  double threshold, bint narrow, bint same, int64_t[::1] position,
                  const int64_t[::1] ends, bint across, int64_t[::1] columns,
                  value_t[::1] similarities, int threads):
    """The pairs at or above the threshold, a row's from its position on, which moves, to its end.

    `part` has the similarities of rows from `row` on and of rows [first, stop); the pairs' rows are
    those (`across`) or these. `same`: only pairs with row < column. A threshold that is NaN: all
    but zeros, as a sparse matrix has them.
    """
    cdef Py_ssize_t i
    if not columns.shape[0]:
        return
    for i in prange(part.shape[0], nogil=True, num_threads=threads if across else 1,
                    schedule="dynamic"):
        reach_row(&part[i, 0], i, row + i if same else -1, first, stop, threshold, narrow, across,
                  NULL, &position[0], &ends[0], &columns[0], &similarities[0])


cdef inline bint reaches(double s, double threshold) noexcept nogil:
    return (s >= threshold) | ((threshold != threshold) & (s != 0))


cdef void reach_row(const double* part, Py_ssize_t i, Py_ssize_t after, Py_ssize_t first,
                    Py_ssize_t stop, double threshold, bint narrow, bint across, int64_t* counts,
                    int64_t* position, const int64_t* ends, int64_t* columns,
                    value_t* similarities) noexcept nogil:
    # without branches that are guessed wrong every other time
    cdef Py_ssize_t j, start = max(first, after + 1)
    cdef int64_t at
    cdef double s
    if counts != NULL and across:
        at = counts[i]
        for j in range(start, stop):
            at += reaches(given(part[j - first], narrow), threshold)
        counts[i] = at
    elif counts != NULL:
        for j in range(start, stop):
            counts[j - first] += reaches(given(part[j - first], narrow), threshold)
    elif across:
        at = position[i]
        for j in range(start, stop):
            if at == ends[i]:
                break
            s = given(part[j - first], narrow)
            columns[at], similarities[at] = j, <value_t> s
            at += reaches(s, threshold)
        position[i] = at
    else:
        for j in range(start, stop):
            at = position[j - first]
            s = given(part[j - first], narrow)
            if at < ends[j - first] and reaches(s, threshold):
                columns[at], similarities[at] = i, <value_t> s
                position[j - first] = at + 1


def offer_best(const double[:, ::1] part, Py_ssize_t row, Py_ssize_t first, Py_ssize_t stop,
               bint without_itself, double least, bint narrow, double[:, ::1] similarities,
               int64_t[:, ::1] indices, int64_t[::1] counts, int threads):
    """The k best of every row so far, a heap, with rows [first, stop) of Y, whose similarities are
    in `part`; `row` is the first of X.

    What is less than `least` does not count; at -2 all counts, and NaN is -2.
    """
    cdef Py_ssize_t i, k = similarities.shape[1]
    for i in prange(counts.shape[0], nogil=True, num_threads=threads, schedule="dynamic"):
        counts[i] = offer_row(&part[i, 0], first, stop, row + i if without_itself else -1, least,
                              narrow, k, counts[i], &similarities[i, 0], &indices[i, 0])


cdef Py_ssize_t offer_row(const double* part, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t itself,
                          double least, bint narrow, Py_ssize_t k, Py_ssize_t count,
                          double* similarities, int64_t* indices) noexcept nogil:
    cdef Best best
    cdef Py_ssize_t j
    cdef double s
    best.k, best.count, best.similarity, best.index = k, count, similarities, indices
    for j in range(first, stop):
        s = given(part[j - first], narrow)
        s = s if s == s else -2
        if s >= least and (best.count < k or s > best.similarity[0]) and j != itself:
            offer(&best, s, j)
    return best.count


def sort_offered(double[:, ::1] similarities, int64_t[:, ::1] indices, const int64_t[::1] counts):
    """From heaps to descending order; places left over: NaN and -1."""
    cdef Best best
    cdef Py_ssize_t i, k
    best.k = similarities.shape[1]
    for i in range(similarities.shape[0]):
        best.count, best.similarity, best.index = counts[i], &similarities[i, 0], &indices[i, 0]
        sort_best(&best)
        for k in range(best.k):
            if k >= best.count:
                similarities[i, k], indices[i, k] = NAN, -1
            elif similarities[i, k] == -2:
                similarities[i, k] = NAN
