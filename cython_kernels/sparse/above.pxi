# Thresholds that zeros reach, or rows for which bounds do not pay: every pair is computed, a first
# time to be counted. By an index of weights only scores are, in float, and pairs that may count are
# compared exactly.
#
# takes: sparse.pyx, rows.pxi, index.pxi, product.pxi, top_k.pxi, sparse.h, openmp.h
# gives: count_above, fill_above

cdef inline bint has_weights(const Lists* lists) noexcept nogil:
    return lists.weight != NULL or lists.weight_panels != NULL


cdef int64_t above_by_scores(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                             bint wide, bint narrow, bint same, double threshold, int64_t room,
                             int64_t* columns, value_t* similarities, Scratch* s) noexcept nogil:
    """As `above_row`."""
    cdef float* score = <float*> s.extra
    cdef float bar
    cdef Py_ssize_t first = max(<Py_ssize_t> 0, i + 1 - lists.first) if same else 0
    cdef Py_ssize_t j = first - first % 32, k
    cdef int64_t found = 0
    cdef double value
    read_row(X, i, &s.x)
    spread(&s.x, s.dense)
    bar = <float> (threshold - (s.x.count + 16) * FLOAT_SLACK)
    score_rows(lists, &s.x, X.inverse[i], first, score + lists.rows + 64, score)
    while j < lists.rows:
        # `score` is padded with zeros
        if scores_reach(score + j, bar) | scores_reach(score + j + 16, bar):
            for k in range(max(j, first), min(j + 32, lists.rows)):
                if not score[k] >= bar:
                    continue
                value = dot_with(&s.x, s.dense, Y, lists.first + k, &s.y)
                value = given(cosine_of(value, X, i, Y, lists.first + k, wide), narrow)
                if value >= threshold and found < room:
                    if columns != NULL:
                        columns[found] = lists.first + k
                        similarities[found] = <value_t> value
                    found += 1
        j += 32
    memset(score, 0, lists.rows * sizeof(float))
    wipe(&s.x, s.dense)
    return found


cdef int64_t above_row(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i, bint wide,
                       bint narrow, bint same, double threshold, int64_t room, int64_t* columns,
                       value_t* similarities, Scratch* s) noexcept nogil:
    """Counts up to `room` of the block's pairs of row i, and writes them where there is a place."""
    cdef double* sums = <double*> s.extra
    cdef double result[AT_ONCE]
    cdef Py_ssize_t j = 0, k, count
    cdef int64_t found = 0
    cdef double value
    if has_weights(lists):
        return above_by_scores(X, Y, lists, i, wide, narrow, same, threshold, room, columns,
                               similarities, s)
    read_row(X, i, &s.x)
    add_whole_row(lists, &s.x, Y, sums)
    if same:
        j = max(<Py_ssize_t> 0, i + 1 - lists.first)
    while j < lists.rows:
        count = min(<Py_ssize_t> AT_ONCE, lists.rows - j)
        finish(sums + j, X, i, Y, lists.first + j, count, wide, result)
        for k in range(count):
            value = given(result[k], narrow)
            if value >= threshold and found < room:
                if columns != NULL:
                    columns[found] = lists.first + j + k
                    similarities[found] = <value_t> value
                found += 1
        j += count
    memset(sums, 0, lists.rows * sizeof(double))
    return found


cdef int begin_above(Team* team, const Table* X, const Table* Y, const Lists* lists,
                     int threads) except -1:
    if has_weights(lists):
        return begin(team, max(X.longest, Y.longest), X.features,
                     (lists.rows + 64 + X.longest) * sizeof(float), threads)
    return begin(team, X.longest, 0, 2 * panels_of(lists) * PANEL_ROWS * sizeof(double), threads)


def count_above(Rows X, Rows Y, Index index, Py_ssize_t first, Py_ssize_t stop, bint narrow,
                bint same, double threshold, int64_t[::1] counts, int threads):
    """counts[i] += the block's pairs of row i."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t i
    begin_above(&team, &X.table, &Y.table, lists, threads)
    for i in prange(first, stop, nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        counts[i] += above_row[double](&X.table, &Y.table, lists, i, index.wide, narrow, same,
                                       threshold, lists.rows, NULL, NULL,
                                       team.of + omp_get_thread_num())
    end(&team)


def fill_above(Rows X, Rows Y, Index index, Py_ssize_t first, Py_ssize_t stop, bint narrow,
               bint same, double threshold, int64_t[::1] left, int64_t[::1] position,
               int64_t[::1] columns, value_t[::1] similarities, int threads):
    """The block's pairs of rows [first, stop), from position[i] on, which moves, left[i] at most:
    of values that another thread has written to meanwhile there may be more than were counted."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t i
    cdef int64_t found
    if not columns.shape[0]:
        return
    begin_above(&team, &X.table, &Y.table, lists, threads)
    for i in prange(first, stop, nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        if left[i]:
            found = above_row(&X.table, &Y.table, lists, i, index.wide, narrow, same, threshold,
                              left[i], &columns[0] + position[i], &similarities[0] + position[i],
                              team.of + omp_get_thread_num())
            position[i] += found
            left[i] -= found
    end(&team)
