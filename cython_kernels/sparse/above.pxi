# Pairs that reach a threshold where zeros do, or where bounds do not pay: by every product, once.
# By an index of weights only scores are computed of all, in float, and pairs that may count are
# compared exactly.
#
# takes: sparse.pyx, rows.pxi, index.pxi, sums.pxi, product.pxi, top_k.pxi, sparse.h, openmp.h
# gives: find_above, take_above

cdef inline Py_ssize_t mark(const float* score, Py_ssize_t first, Py_ssize_t stop, float bar,
                            Py_ssize_t before, int32_t* column) noexcept nogil:
    """column[:...] = before + places in [first, stop) whose score reaches the bar; scores are
    padded to whole 32."""
    cdef Py_ssize_t j = first - first % 32, k, n = 0
    while j < stop:
        if scores_reach(score + j, bar) | scores_reach(score + j + 16, bar):
            for k in range(max(j, first), min(j + 32, stop)):
                column[n] = <int32_t> (before + k)
                n += score[k] >= bar
        j += 32
    return n


cdef Py_ssize_t settle(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                       const Entries* x, bint wide, bint narrow, double threshold, Py_ssize_t near,
                       int32_t* column, value_t* similarity, Scratch* s) noexcept nogil:
    """What there is among `near` rows of the block, compared exactly, in the place of these."""
    cdef Py_ssize_t k, j, n = 0
    cdef double value
    if not near:
        return 0
    spread(x, s.dense)
    for k in range(near):
        j = lists.first + column[k]
        value = given(cosine_of(dot_with(x, s.dense, Y, j, &s.y), X, i, Y, j, wide), narrow)
        column[n], similarity[n] = column[k], <value_t> value
        n += value >= threshold
    wipe(x, s.dense)
    return n


cdef Py_ssize_t reach(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                      const double* sums, Py_ssize_t first, bint wide, bint narrow,
                      double threshold, int32_t* column, value_t* similarity) noexcept nogil:
    """What there is among the block's rows from `first` on, by their products."""
    # without branches that are guessed wrong every other time
    cdef double result[AT_ONCE]
    cdef Py_ssize_t j = first, k, count, n = 0
    while j < lists.rows:
        count = min(<Py_ssize_t> AT_ONCE, lists.rows - j)
        finish(sums + j, X, i, Y, lists.first + j, count, wide, result)
        for k in range(count):
            column[n], similarity[n] = <int32_t> (j + k), <value_t> result[k]
            n += given(result[k], narrow) >= threshold
        j += count
    return n


cdef inline Py_ssize_t first_of(const Lists* lists, Py_ssize_t i, bint same) noexcept nogil:
    # of the block's rows that row i meets
    return max(<Py_ssize_t> 0, i + 1 - lists.first) if same else 0


cdef void find_near(const Lists* lists, Group* g, Py_ssize_t i, bint same, double threshold,
                    int64_t* counts, int32_t* columns, Py_ssize_t step) noexcept nogil:
    """The block's rows whose scores may count, of the group's rows, from row i on."""
    cdef float score[WEIGHT_ROWS]
    cdef float bar
    cdef Py_ssize_t r, j = first_of(lists, i, same), k, first
    for r in range(g.count):
        counts[r] = 0
        if lists.weight_panels == NULL:
            bar = <float> (threshold - (g.row[r].count + 16) * FLOAT_SLACK)
            first = first_of(lists, i + r, same)
            score_lists(lists, &g.row[r], g.weight[r], first, g.score[r])
            counts[r] = mark(g.score[r], first, lists.rows, bar, 0, columns + r * step)
            memset(g.score[r], 0, lists.rows * sizeof(float))
    if lists.weight_panels == NULL:
        return
    j -= j % WEIGHT_ROWS
    while j < lists.rows:
        for r in range(g.count):
            bar = <float> (threshold - (g.row[r].count + 16) * FLOAT_SLACK)
            score_panel(lists, g, r, j // WEIGHT_ROWS, score)
            first = max(<Py_ssize_t> 0, first_of(lists, i + r, same) - j)
            k = mark(score, first, min(<Py_ssize_t> WEIGHT_ROWS, lists.rows - j), bar, j,
                     columns + r * step + counts[r])
            counts[r] += k
        j += WEIGHT_ROWS


cdef int64_t above_group(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                         Py_ssize_t count, bint wide, bint narrow, bint same, double threshold,
                         int64_t* counts, int32_t* columns, value_t* similarities,
                         Py_ssize_t step, Scratch* s) noexcept nogil:
    """Rows from i on, with room for `step` pairs of each; returns how many were compared after
    scores."""
    cdef Group* g = group_in(s.extra, lists, X.longest)
    cdef Py_ssize_t r
    cdef int64_t compared = 0
    read_group(X, i, count, lists, g)
    if has_weights(lists):
        find_near(lists, g, i, same, threshold, counts, columns, step)
        for r in range(count):
            compared += counts[r]
            counts[r] = settle(X, Y, lists, i + r, &g.row[r], wide, narrow, threshold, counts[r],
                               columns + r * step, similarities + r * step, s)
        return compared
    add_group(lists, Y, first_of(lists, i, same), g)
    for r in range(count):
        counts[r] = reach(X, Y, lists, i + r, g.sums[r], first_of(lists, i + r, same), wide,
                          narrow, threshold, columns + r * step, similarities + r * step)
        clear_sums(lists, g.sums[r])
    return 0


def find_above(Rows X, Rows Y, Index index, Py_ssize_t first, bint narrow, bint same,
               double threshold, int64_t[::1] counts, int32_t[:, ::1] columns,
               value_t[:, ::1] similarities, int threads):
    """The block's pairs of rows from `first` on, counts[i] each, their columns counted from the
    block's first; returns how many were compared exactly after scores."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t group, size = rows_of_group(lists), rows = counts.shape[0]
    cdef int64_t compared = 0
    if not rows:
        return 0
    begin(&team, max(X.table.longest, Y.table.longest), X.table.features,
          size_of_group(lists, X.table.longest), threads)
    for group in prange(groups_in(lists, rows), nogil=True, num_threads=threads,
                        schedule="dynamic", chunksize=1):
        compared += above_group(&X.table, &Y.table, lists, first + group * size,
                                min(size, rows - group * size), index.wide, narrow, same,
                                threshold, &counts[group * size], &columns[group * size, 0],
                                &similarities[group * size, 0], columns.shape[1],
                                team.of + omp_get_thread_num())
    end(&team)
    return compared


def take_above(Py_ssize_t first, Py_ssize_t first_column, const int64_t[::1] counts,
               const int32_t[:, ::1] columns, const value_t[:, ::1] similarities,
               const int64_t[::1] ends, int64_t[::1] to_rows, int64_t[::1] to_columns,
               value_t[::1] to_similarities, int threads):
    """What was found of rows from `first` on, in order: row i's up to ends[i]."""
    cdef Py_ssize_t i
    for i in prange(counts.shape[0], nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        take_row(first + i, first_column, counts[i], &columns[i, 0], &similarities[i, 0],
                 &to_rows[0] + ends[i] - counts[i], &to_columns[0] + ends[i] - counts[i],
                 &to_similarities[0] + ends[i] - counts[i])


cdef void take_row(int64_t row, int64_t first_column, int64_t count, const int32_t* column,
                   const value_t* similarity, int64_t* rows, int64_t* columns,
                   value_t* similarities) noexcept nogil:
    cdef int64_t k
    for k in range(count):
        rows[k] = row
        columns[k] = first_column + column[k]
        similarities[k] = similarity[k]
