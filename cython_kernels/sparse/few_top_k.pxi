# Top-k of few rows, to which many sparse ones are offered as they are read.
#
# takes: sparse.pyx, csr.pxi, rows.pxi, top_k.pxi, few.pxi, openmp.h
# gives: best_of_many
#
# One pass over a row of the many looks at its structure, asks the filter for its features and adds
# up its squares; where it shares some, quick sums in the order in which they lie say which of the
# few it may be among the k best of. Only such a row is put in order, measured and compared. Each
# thread has lists of its own, which are merged at the end: the order of what is offered is total,
# by similarity and index, so it does not matter who found what.

cdef struct Chosen:                  # a thread's own, behind `compare_row`'s sums
    bint begun
    Py_ssize_t open                  # of the few, those that similarity 0 may still count for
    Best* best                       # of each of the few, a heap
    double* bound                    # what a quick sum must exceed, times the row's norm
    double* quick                    # quick sums; zeros before


cdef size_t size_of_chosen(Py_ssize_t few, Py_ssize_t k) noexcept nogil:
    return sizeof(Chosen) + few * (sizeof(Best) + (4 + 2 * k) * sizeof(double)) + 64


cdef inline void set_bound(Chosen* c, const Image* m, Py_ssize_t i, double slack) noexcept nogil:
    """To begin with, and after something was offered; `slack`: what rounding does."""
    cdef const Best* best = c.best + i
    cdef double bar = best.similarity[0] if best.count == best.k else best.least
    bar -= bar * 2.0 ** -20 + slack  # of float32, where similarities are
    if bar > 0:
        c.open -= c.bound[i] == -INFINITY
        c.bound[i] = bar / m.table.inverse[i]


cdef inline Chosen* chosen_in(char* memory, const Image* m, Py_ssize_t k, double least,
                              double slack) noexcept nogil:
    """In zeros at first."""
    cdef Py_ssize_t few = m.table.rows
    cdef Chosen* c = <Chosen*> (memory + 2 * few * sizeof(double))
    cdef double* room
    cdef Py_ssize_t i
    if not c.begun:
        c.begun, c.open = True, 0
        c.best = <Best*> (c + 1)
        c.bound = <double*> (c.best + few)
        c.quick = c.bound + few
        room = c.quick + few
        for i in range(few):
            c.best[i].k, c.best[i].least = k, least
            c.best[i].similarity = room + 2 * k * i
            c.best[i].index = <int64_t*> (room + 2 * k * i + k)
            c.bound[i] = -INFINITY
            c.open += 1
            set_bound(c, m, i, slack)
    return c


cdef inline void offer_one(Chosen* c, const Image* m, Py_ssize_t i, double s, int64_t j,
                           double slack) noexcept nogil:
    cdef Best* best = c.best + i
    s = s if s == s else -2
    if s >= best.least and (best.count < best.k or s >= best.similarity[0]):
        offer(best, s, j)
        set_bound(c, m, i, slack)


cdef int offer_many(const Image* m, const Many* how, const value_t* values, const index_t* indices,
                    Py_ssize_t count, Py_ssize_t j, bint without_itself, bint narrow,
                    double slack, Chosen* c, Scratch* s) noexcept nogil:
    """Row j of the many; returns what `Found` has for it."""
    cdef const Table* t = m.table
    cdef double* sums = <double*> s.extra
    cdef double value, norm, norm2 = 0, most = 1e200 if sizeof(value_t) == 8 else 1e50
    cdef int64_t feature, last = -1
    cdef int unsorted = 0, bad = 0, zero = 0, negative = 0, found
    cdef bint is_quick, counts
    cdef Py_ssize_t k, shared = 0, i
    cdef int32_t n, q
    for k in range(count):
        feature, value = <int64_t> indices[k], values[k]
        bad |= (feature < 0) | (feature >= how.features)
        unsorted |= feature <= last
        last = feature
        zero |= value == 0
        negative |= value < 0
        norm2 += value * value
        s.key[shared] = k
        shared += may_occur(m, feature) if m.occurring != NULL else number_of(m, feature) >= 0
    if bad:
        return BAD_STRUCTURE
    found = UNSORTED * unsorted | EXPLICIT_ZERO * zero
    # NaN and infinity are not, nor what might overflow. Where features are there twice, the norm
    # is at least as large, unless something cancels
    is_quick = 1e-200 < norm2 < most and not (found and (negative or how.exact_zeros))
    if not is_quick:
        found = inspect_row(values, indices, 0, count, how.features)
    elif not shared:
        if c.open:
            for i in range(t.rows):
                if not (without_itself and i == j):
                    offer_one(c, m, i, m.none[i], j, slack)
        return found
    else:
        norm = sqrt(norm2)
        for k in range(shared):
            n = number_of(m, <int64_t> indices[s.key[k]])
            if n >= 0:
                value = values[s.key[k]]
                for q in range(m.start[n], m.start[n + 1]):
                    c.quick[m.row[q]] += m.value[q] * value
        counts = False
        for i in range(t.rows):
            counts |= not c.quick[i] <= c.bound[i] * norm     # NaN counts
            c.quick[i] = 0
        if not counts:
            return found
    found = compare_row(m, how, values, indices, count, found, shared > 0, j, s)
    for i in range(t.rows):
        if not (without_itself and i == j):
            offer_one(c, m, i, given(sums[i], narrow), j, slack)
        sums[i] = 0
    return found


def best_of_many(Few few, const value_t[::1] values, const index_t[::1] indices,
                 const index_t[::1] starts, Py_ssize_t features, Py_ssize_t first, Py_ssize_t stop,
                 bint scaled, bint nan_for_zero, bint exact_zeros, bint wide, bint without_itself,
                 double least, bint narrow, double[:, ::1] similarities, int64_t[:, ::1] indices_of,
                 int64_t[::1] counts, int threads):
    """The k best of every one of the few so far, a heap, with rows [first, stop) of the many too;
    otherwise as `offer_best`, and as `Few.meet`, whose findings are returned."""
    cdef const Image* m = &few.image
    cdef Many how
    cdef Py_ssize_t i, j, k = similarities.shape[1], n = m.table.rows, longest
    cdef int64_t q
    cdef int thread, status = BAD_STRUCTURE * bad_starts(starts, min(values.shape[0],
                                                                     indices.shape[0]))
    cdef const value_t* value = &values[0] if values.shape[0] else NULL
    cdef const index_t* index = &indices[0] if indices.shape[0] else NULL
    cdef double slack
    cdef Chosen* c
    cdef Best best
    cdef Team team
    if status or first == stop or not n:
        return status
    longest = longest_row(starts)
    slack = (longest + m.table.longest + 64) * 2.0 ** -50
    if sizeof(value_t) == 4:     # duplicates are added up in float
        slack += longest * 2.0 ** -22
    how = how_to_read(features, longest, scaled, nan_for_zero, exact_zeros, wide)
    begin(&team, longest, 0, 2 * n * sizeof(double) + size_of_chosen(n, k), threads)
    for j in prange(first, stop, nogil=True, num_threads=threads, schedule="guided",
                    chunksize=64):
        thread = omp_get_thread_num()
        status |= offer_many(m, &how, value + starts[j], index + starts[j],
                             starts[j + 1] - starts[j], j, without_itself, narrow, slack,
                             chosen_in(team.of[thread].extra, m, k, least, slack),
                             team.of + thread)
    for thread in range(threads):
        c = chosen_in(team.of[thread].extra, m, k, least, slack)
        for i in range(n):
            best.k, best.count = k, counts[i]
            best.similarity, best.index = &similarities[i, 0], &indices_of[i, 0]
            for q in range(c.best[i].count):
                offer(&best, c.best[i].similarity[q], c.best[i].index[q])
            counts[i] = best.count
    end(&team)
    return status
