# A block of rows of Y by feature: for every feature, the rows of the block that have it, ascending.
#
# takes: sparse.pyx, rows.pxi, sparse.h
# gives: HEAVIEST, Lists, Index, length_of, raise_top, set_bit, panels_of, blocks_of

cdef enum:
    INDEX_ROWS = 1 << 15             # rows of a block: their sums stay in the second-level cache
    INDEX_ENTRIES = 1 << 24          # and entries of a block, where rows are long
    # so many rows where errors are summed beside: these sums stay in the first-level cache; or
    # more, for lists of so many on average
    PAIR_ROWS = 1 << 10
    PAIR_LIST = 64
    BITMAP_WORDS = 1 << 20           # of bitmaps: 8 MiB, or 4 bytes an entry where that is more
    LONG_LIST = 512                  # rows of a list whose heaviest entries are kept aside,
    HEAVIEST = 64                    # as many of them
    # full rows: of dense panels as many elements at a time, of rows whose sums stay near
    PANEL_ELEMENTS = 1 << 20
    LEAST_PANELS = 8
    MOST_PANELS = 256
    MOST_FEATURES = 1 << 13
    LEAST_ELEMENTS = 1 << 16

cdef struct Lists:
    Py_ssize_t first, rows           # the block
    int64_t* start                   # of every feature, and the end
    int32_t* row                     # less `first`
    float* single                    # values: those of the rows as they are read, ...
    double* wide
    float* weight                    # ... or of rows of norm 1
    double* panels                   # ... or, of full rows, each PANEL_ROWS of them by feature,
    float* weight_panels             # ... or WEIGHT_ROWS, of rows of norm 1
    void* panel_memory               # where panels are, from a line's beginning on
    Py_ssize_t features
    int vectors                      # the bits of those that may be used, 0, 256 or 512
    # bitmaps of rows: of those whose results are NaN, and of long lists
    Py_ssize_t words
    uint64_t* nan_rows
    int32_t* bitmap_of               # feature -> number of its bitmap, or -1
    uint64_t* bitmaps
    # the largest weights of long lists, signs left out, descending
    int32_t* heaviest_of             # feature -> where its own begin, or -1
    int32_t* heavy_row
    float* heavy_weight


cdef class Index:
    """Rows [first, first + rows) of Y by feature."""

    cdef Lists lists
    cdef readonly bint wide
    cdef readonly Py_ssize_t first, stop
    cdef readonly Py_ssize_t nbytes      # of lists of weights

    def __dealloc__(self):
        cdef Lists* lists = &self.lists
        free(lists.start)
        free(lists.row)
        free(lists.single)
        free(lists.wide)
        free(lists.weight)
        free(lists.panel_memory)
        free(lists.nan_rows)
        free(lists.bitmap_of)
        free(lists.bitmaps)
        free(lists.heaviest_of)
        free(lists.heavy_row)
        free(lists.heavy_weight)

    def __init__(self, Rows Y, Py_ssize_t first, Py_ssize_t rows, bint weights, bint wide,
                 int vectors=-1):
        """`weights`: of rows of norm 1, for bounds; otherwise the values, and bitmaps. Of full rows
        panels, unless `vectors` is negative."""
        cdef Lists* lists = &self.lists
        cdef const Table* t = &Y.table
        cdef Team team
        cdef bint full = vectors >= 0 and is_full(Y, vectors, weights)
        self.first, self.stop, self.wide = first, first + rows, wide
        lists.first, lists.rows, lists.words = first, rows, (rows + 63) // 64
        lists.start = <int64_t*> allocate((t.features + 2) * sizeof(int64_t))
        lists.features, lists.vectors = t.features, vectors
        self.nbytes = (t.features + 2) * sizeof(int64_t)
        begin(&team, t.longest, 0, 0, 1)
        try:
            with nogil:
                count_features(t, lists, &team.of[0].x)
            lists.row = <int32_t*> allocate(lists.start[t.features + 1] * sizeof(int32_t))
            if weights and full:
                lists.weight_panels = <float*> self.room_for_panels(
                    (rows + WEIGHT_ROWS - 1) // WEIGHT_ROWS * WEIGHT_ROWS * sizeof(float))
            elif weights:
                lists.weight = <float*> allocate(lists.start[t.features + 1] * sizeof(float))
            elif full:
                lists.panels = <double*> self.room_for_panels(
                    panels_of(lists) * PANEL_ROWS * sizeof(double))
            elif wide:
                lists.wide = <double*> allocate(lists.start[t.features + 1] * sizeof(double))
            else:
                lists.single = <float*> allocate(lists.start[t.features + 1] * sizeof(float))
            with nogil:
                fill_lists(t, lists, &team.of[0].x)
            if not weights:
                self.add_bitmaps(t)
            elif not full:
                self.nbytes += 8 * lists.start[t.features]
                self.add_heaviest(t.features)
        finally:
            end(&team)

    cdef void* room_for_panels(self, size_t of_a_feature) except NULL:
        self.lists.panel_memory = allocate(of_a_feature * self.lists.features + 64)
        return <void*> ((<size_t> self.lists.panel_memory + 63) // 64 * 64)

    def products(self, Rows X):
        """Entries in the lists of every entry of X."""
        cdef Lists* lists = &self.lists
        cdef Entries row
        cdef Py_ssize_t i, k
        cdef int64_t total = 0
        cdef Team team
        begin(&team, X.table.longest, 0, 0, 1)
        row = team.of[0].x
        with nogil:
            for i in range(X.table.rows):
                read_row(&X.table, i, &row)
                for k in range(row.count):
                    total += length_of(lists, row.feature[k])
        end(&team)
        return total

    cdef add_bitmaps(self, const Table* t):
        # or-ing a bitmap in pays for lists of about half as many rows as it has words; but many
        # bitmaps of lists that short would take far more memory than the lists
        cdef Lists* lists = &self.lists
        cdef Py_ssize_t f, q, count, longest = lists.words // 2
        while longest < 2 * lists.words:
            count = 0
            for f in range(t.features):
                count += lists.start[f + 1] - lists.start[f] > longest
            if count * lists.words <= BITMAP_WORDS:
                break
            longest = 2 * longest + 1
        count = 0
        lists.bitmap_of = <int32_t*> allocate(t.features * sizeof(int32_t))
        lists.nan_rows = <uint64_t*> allocate(lists.words * sizeof(uint64_t))
        for f in range(t.features):
            lists.bitmap_of[f] = -1
            if lists.start[f + 1] - lists.start[f] > longest:
                lists.bitmap_of[f] = count
                count += 1
        lists.bitmaps = <uint64_t*> allocate(count * lists.words * sizeof(uint64_t))
        for f in range(t.features):
            if lists.bitmap_of[f] >= 0:
                for q in range(lists.start[f], lists.start[f + 1]):
                    set_bit(lists.bitmaps + lists.bitmap_of[f] * lists.words, lists.row[q])
        for q in range(lists.rows):
            if t.norm2[lists.first + q] != t.norm2[lists.first + q]:
                set_bit(lists.nan_rows, q)

    cdef add_heaviest(self, Py_ssize_t features):
        cdef Lists* lists = &self.lists
        cdef Py_ssize_t f, count = 0
        lists.heaviest_of = <int32_t*> allocate(features * sizeof(int32_t))
        for f in range(features):
            lists.heaviest_of[f] = -1
            if lists.start[f + 1] - lists.start[f] >= LONG_LIST:
                lists.heaviest_of[f] = count
                count += HEAVIEST
        lists.heavy_row = <int32_t*> allocate(count * sizeof(int32_t))
        lists.heavy_weight = <float*> allocate(count * sizeof(float))
        for f in range(features):
            if lists.heaviest_of[f] >= 0:
                keep_heaviest(lists, f, lists.heavy_row + lists.heaviest_of[f],
                              lists.heavy_weight + lists.heaviest_of[f])


cdef inline int64_t length_of(const Lists* lists, Py_ssize_t feature) noexcept nogil:
    return lists.start[feature + 1] - lists.start[feature]


cdef void raise_top(float* top, int32_t* row, Py_ssize_t k, float s, int32_t j) noexcept nogil:
    # replace the smallest of a heap of k scores
    cdef Py_ssize_t at = 0, child = 1
    while child < k:
        if child + 1 < k and top[child + 1] < top[child]:
            child += 1
        if not top[child] < s:
            break
        top[at], row[at] = top[child], row[child]
        at, child = child, 2 * child + 1
    top[at], row[at] = s, j


cdef void keep_heaviest(const Lists* lists, Py_ssize_t f, int32_t* row,
                        float* weight) noexcept nogil:
    cdef int64_t q
    cdef Py_ssize_t k
    cdef float smallest
    cdef int32_t its_row
    for q in range(lists.start[f], lists.start[f + 1]):
        if abs(lists.weight[q]) > weight[0]:
            raise_top(weight, row, HEAVIEST, abs(lists.weight[q]), lists.row[q])
    # from a heap to descending order
    for k in range(HEAVIEST - 1, 0, -1):
        smallest, its_row = weight[0], row[0]
        raise_top(weight, row, k, weight[k], row[k])
        weight[k], row[k] = smallest, its_row


cdef inline void set_bit(uint64_t* words, Py_ssize_t place) noexcept nogil:
    words[place >> 6] |= <uint64_t> 1 << (place & 63)


cdef void count_features(const Table* t, Lists* lists, Entries* row) noexcept nogil:
    """start[f + 1] = where the list of f begins, which filling moves to its end."""
    cdef Py_ssize_t i, k, f
    for i in range(lists.first, lists.first + lists.rows):
        read_row(t, i, row)
        for k in range(row.count):
            lists.start[row.feature[k] + 2] += 1
    for f in range(t.features):
        lists.start[f + 2] += lists.start[f + 1]


cdef void fill_lists(const Table* t, Lists* lists, Entries* row) noexcept nogil:
    cdef Py_ssize_t i, k, f, j
    cdef int64_t at, stop = lists.start[t.features + 1]
    for i in range(lists.first, lists.first + lists.rows):
        read_row(t, i, row)
        for k in range(row.count):
            at = lists.start[row.feature[k] + 1]
            if at == stop:
                break                # written to by another thread since the count
            lists.start[row.feature[k] + 1] += 1
            lists.row[at] = <int32_t> (i - lists.first)
            j = i - lists.first
            if lists.weight != NULL:
                lists.weight[at] = <float> (row.value[k] * t.inverse[i])
            elif lists.weight_panels != NULL:
                lists.weight_panels[(j // WEIGHT_ROWS * t.features + row.feature[k]) * WEIGHT_ROWS
                                    + j % WEIGHT_ROWS] = <float> (row.value[k] * t.inverse[i])
            elif lists.panels != NULL:
                lists.panels[(j // PANEL_ROWS * t.features + row.feature[k]) * PANEL_ROWS
                             + j % PANEL_ROWS] = row.value[k]
            elif lists.wide != NULL:
                lists.wide[at] = row.value[k]
            else:
                lists.single[at] = <float> row.value[k]
    for f in range(t.features):      # as it is, unless a row was written to
        lists.start[f + 1] = max(lists.start[f], lists.start[f + 1])


cdef inline Py_ssize_t panels_of(const Lists* lists) noexcept nogil:
    # an even number
    return (lists.rows + 2 * PANEL_ROWS - 1) // (2 * PANEL_ROWS) * 2


cpdef bint is_full(Rows Y, int vectors, bint weights=True):
    """Whether dense panels cost less than lists: an element of theirs takes a fraction of the time
    of a list's entry."""
    cdef Py_ssize_t least = 12 if vectors else 4, elements = Y.table.rows * Y.table.features
    if Y.entries > Y.table.rows * CHAIN:
        # the errors of long rows' sums are summed beside: by as many operations of each element;
        # lists, whose entries wait for memory rather, have code for vectors of 256 bits, too
        least = 3 if vectors == 256 and not weights else least // 2
    return (Y.table.features <= MOST_FEATURES and elements >= LEAST_ELEMENTS
            and Y.entries * least >= elements)


def blocks_of(Rows Y, int vectors=-1, bint weights=True, bint every=False):
    """(first, rows) of the blocks that Y is indexed by; panels, where `vectors` is not negative;
    `every`: lists of weights are read for all rows of X."""
    cdef Py_ssize_t mean = Y.entries // max(1, Y.table.rows) + 1
    cdef Py_ssize_t rows = max(1, min(<Py_ssize_t> INDEX_ROWS, <Py_ssize_t> INDEX_ENTRIES // mean))
    if vectors >= 0 and is_full(Y, vectors, weights):
        rows = PANEL_ELEMENTS // (Y.table.features * PANEL_ROWS)
        rows = max(<Py_ssize_t> LEAST_PANELS, min(<Py_ssize_t> MOST_PANELS, rows)) * PANEL_ROWS
    elif every or (not weights and mean > CHAIN):
        rows = min(rows, max(<Py_ssize_t> PAIR_ROWS, PAIR_LIST * Y.table.features // mean))
    return [(i, min(rows, Y.table.rows - i)) for i in range(0, Y.table.rows, rows)]
