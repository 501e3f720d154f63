# Dot products and scores of some rows of X, a group, with a block of rows of Y.
#
# takes: sparse.pyx, rows.pxi, index.pxi, sparse.h, lists.h
# gives: GROUP, Group, has_weights, rows_of_group, groups_in, size_of_group, group_in, read_group,
#        add_group, clear_sums, score_panel, score_lists, score_group, clear_scores
#
# Of full rows a panel at a time meets all rows of a group, which find it in the second-level cache.
# Of others a row's sums grow in one vector, feature by feature, in ascending order: a group is one
# row. Sums whose errors are kept grow as pairs, and are moved to the vector at the end.

cdef enum:
    GROUP = 16

cdef struct Group:
    Py_ssize_t count
    Entries row[GROUP]
    double* sums[GROUP]              # of dot products, zeros before; of panels, then their errors
    double* pairs                    # or those of one row by lists, with errors; zeros before
    int32_t* near                    # where a feature's list was begun the last time
    float* weight[GROUP]             # or the entries of the row of norm 1, and scores
    float* score[GROUP]


# where a line begins, so that none of the pairs lies on two
cdef size_t PAIRS_AT = (sizeof(Group) + 63) // 64 * 64


cdef inline bint has_weights(const Lists* lists) noexcept nogil:
    return lists.weight != NULL or lists.weight_panels != NULL


cdef inline Py_ssize_t rows_of_group(const Lists* lists) noexcept nogil:
    return GROUP if lists.panels != NULL or lists.weight_panels != NULL else 1


cdef inline Py_ssize_t groups_in(const Lists* lists, Py_ssize_t rows) noexcept nogil:
    return (rows + rows_of_group(lists) - 1) // rows_of_group(lists)


cdef inline size_t size_of_row(const Lists* lists, Py_ssize_t longest) noexcept nogil:
    cdef size_t size = longest * (sizeof(double) + sizeof(int32_t) + sizeof(float))
    if has_weights(lists):
        size += (lists.rows + 64) * sizeof(float)
    else:
        size += (2 if lists.panels != NULL else 1) * panels_of(lists) * PANEL_ROWS * sizeof(double)
    return (size + 191) // 64 * 64   # rows' own parts neither share a line nor start alike


cdef inline size_t size_of_pairs(const Lists* lists) noexcept nogil:
    if has_weights(lists) or lists.panels != NULL:
        return 0
    return (lists.rows + LIST_STEP) * 2 * sizeof(double)


cdef inline size_t size_before_rows(const Lists* lists) noexcept nogil:
    cdef size_t size = PAIRS_AT + size_of_pairs(lists)
    if size_of_pairs(lists):
        size += lists.features * sizeof(int32_t)
    return (size + 63) // 64 * 64


cdef size_t size_of_group(const Lists* lists, Py_ssize_t longest) noexcept nogil:
    return size_before_rows(lists) + rows_of_group(lists) * size_of_row(lists, longest)


cdef Group* group_in(char* memory, const Lists* lists, Py_ssize_t longest) noexcept nogil:
    """The group in `size_of_group` bytes, zeros at first."""
    cdef Group* g = <Group*> memory
    cdef Py_ssize_t r
    if g.sums[0] == NULL:
        g.pairs = <double*> (memory + PAIRS_AT)
        g.near = <int32_t*> (memory + PAIRS_AT + size_of_pairs(lists))
        memory += size_before_rows(lists)
        for r in range(rows_of_group(lists)):
            g.sums[r] = <double*> memory
            g.score[r] = <float*> memory
            g.row[r].value = <double*> (memory + size_of_row(lists, longest)) - longest
            g.row[r].feature = <int32_t*> g.row[r].value - longest
            g.weight[r] = <float*> g.row[r].feature - longest
            memory += size_of_row(lists, longest)
    return g


cdef void read_group(const Table* X, Py_ssize_t first, Py_ssize_t count, const Lists* lists,
                     Group* g) noexcept nogil:
    """Rows [first, first + count), of norm 1 too where the block is."""
    cdef Py_ssize_t r, k
    g.count = count
    for r in range(count):
        read_row(X, first + r, &g.row[r])
        if has_weights(lists):
            for k in range(g.row[r].count):
                g.weight[r][k] = <float> (g.row[r].value[k] * X.inverse[first + r])


cdef inline void add_list(const value_t* value, const int32_t* row, Py_ssize_t count, double x,
                          double* sums) noexcept nogil:
    # two at a time: a list names a row once, which no compiler knows
    cdef Py_ssize_t q = 0
    cdef double a, b
    while q + 2 <= count:
        a = sums[row[q]] + x * <double> value[q]
        b = sums[row[q + 1]] + x * <double> value[q + 1]
        sums[row[q]] = a
        sums[row[q + 1]] = b
        q += 2
    if q < count:
        sums[row[q]] += x * <double> value[q]


cdef void add_lists(const Lists* lists, const Table* Y, Py_ssize_t start, Group* g,
                    Py_ssize_t r) noexcept nogil:
    cdef const Entries* x = &g.row[r]
    cdef double* sums = g.sums[r]
    cdef Py_ssize_t k
    cdef int64_t first, stop
    if x.count > CHAIN:
        row_by_lists(lists.start, lists.row, lists.wide, lists.single, x.feature, x.value, x.count,
                     start, g.near, g.pairs, lists.rows, Y.is_long + lists.first, sums,
                     lists.vectors)
        return
    for k in range(x.count):
        first, stop = lists.start[x.feature[k]], lists.start[x.feature[k] + 1]
        if start > 0:
            first = place_near(lists.row, first, stop, start, g.near + x.feature[k])
        if lists.wide != NULL:
            add_list(lists.wide + first, lists.row + first, stop - first, x.value[k], sums)
        else:
            add_list(lists.single + first, lists.row + first, stop - first, x.value[k], sums)


cdef void add_panels(const Lists* lists, const Table* Y, Py_ssize_t start,
                     Group* g) noexcept nogil:
    cdef Py_ssize_t r, j, panel, padded = panels_of(lists) * PANEL_ROWS
    cdef const Entries* x
    cdef double* sums
    cdef double* errors
    cdef const double* values
    for panel in range(start // (2 * PANEL_ROWS) * 2, panels_of(lists)):
        for r in range(g.count):
            x, sums = &g.row[r], g.sums[r] + panel * PANEL_ROWS
            values = lists.panels + panel * PANEL_ROWS * lists.features
            if x.count > CHAIN:
                panel_dots_and_errors(values, x.feature, x.value, x.count, sums, sums + padded,
                                      lists.vectors)
            elif panel % 2 == 0:
                panel_dots(values, lists.features, x.feature, x.value, x.count, sums,
                           lists.vectors)
    for r in range(g.count):
        if g.row[r].count > CHAIN:
            sums, errors = g.sums[r], g.sums[r] + padded
            for j in range(start, lists.rows):
                sums[j] = sums[j] + errors[j] if Y.is_long[lists.first + j] else sums[j]


cdef void add_group(const Lists* lists, const Table* Y, Py_ssize_t start, Group* g) noexcept nogil:
    """sums[r][j] = row r · Y[j] for the block's rows j from `start` on, perhaps for others too.

    Where both rows are long the errors of the sum are added.
    """
    cdef Py_ssize_t r
    if lists.panels != NULL:
        add_panels(lists, Y, start, g)
        return
    for r in range(g.count):
        add_lists(lists, Y, start, g, r)


cdef void clear_sums(const Lists* lists, double* sums) noexcept nogil:
    """Zeros again, where they have to be."""
    if lists.panels == NULL:
        memset(sums, 0, lists.rows * sizeof(double))


cdef void score_panel(const Lists* lists, const Group* g, Py_ssize_t r, Py_ssize_t panel,
                      float* score) noexcept nogil:
    """Scores of row r with WEIGHT_ROWS rows of the block: any order is within the slack."""
    panel_scores(lists.weight_panels + panel * WEIGHT_ROWS * lists.features, g.row[r].feature,
                 g.weight[r], g.row[r].count, score, lists.vectors)


cdef void score_lists(const Lists* lists, const Entries* x, const float* weight, Py_ssize_t first,
                      float* score) noexcept nogil:
    """The same of the block's rows from `first` on, by lists; scores are zeros before."""
    cdef const float* value = lists.weight
    cdef const int32_t* row = lists.row
    cdef Py_ssize_t k
    cdef int64_t q, stop
    cdef float v, a, b
    for k in range(x.count):
        v = weight[k]
        q, stop = lists.start[x.feature[k]], lists.start[x.feature[k] + 1]
        if first > 0:
            q = place_of(row, q, stop, first)
        elif k + 1 < x.count:
            bring_near(row, NULL, value, lists.start[x.feature[k + 1]], 128)
        while q + 2 <= stop:         # two at a time, as in `add_list`
            a = score[row[q]] + v * value[q]
            b = score[row[q + 1]] + v * value[q + 1]
            score[row[q]] = a
            score[row[q + 1]] = b
            q += 2
        if q < stop:
            score[row[q]] += v * value[q]


cdef inline int64_t place_of(const int32_t* row, int64_t start, int64_t stop,
                             Py_ssize_t first) noexcept nogil:
    # of the first row from `first` on
    cdef int64_t middle
    while start < stop:
        middle = (start + stop) // 2
        if row[middle] < first:
            start = middle + 1
        else:
            stop = middle
    return start


cdef void score_group(const Lists* lists, Group* g) noexcept nogil:
    """Scores of all rows of the group with all of the block."""
    cdef Py_ssize_t r, panel
    if lists.weight_panels == NULL:
        for r in range(g.count):
            score_lists(lists, &g.row[r], g.weight[r], 0, g.score[r])
        return
    for panel in range((lists.rows + WEIGHT_ROWS - 1) // WEIGHT_ROWS):
        for r in range(g.count):
            score_panel(lists, g, r, panel, g.score[r] + panel * WEIGHT_ROWS)


cdef void clear_scores(const Lists* lists, float* score) noexcept nogil:
    """Zeros again, where they have to be."""
    if lists.weight_panels == NULL:
        memset(score, 0, lists.rows * sizeof(float))
