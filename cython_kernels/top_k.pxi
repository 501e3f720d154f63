# Top-k: for every row of X the best columns so far, in a list with room for more than k. What
# passes the row's limit is added; a full list is cut down to its best k, and the limit rises to
# just above the worst of them. Columns reach a list in ascending order, so an equal one that
# comes later has lost its tie.

cdef enum:
    SPARE = 32                   # the least room beyond k
    SHORT = 16                   # entries that are sorted by insertion
    LISTS = 6 << 20              # bytes of lists, a thread

cdef struct Entry:
    real similarity
    int64_t index

cdef struct Best:
    Py_ssize_t k, room
    Py_ssize_t owners, rows      # lists: [owner][row][room]
    Entry* entries
    Py_ssize_t* count
    real* limit
    bint single                  # similarities are rounded to float32 before they are compared
    bint exclude_self            # X is Y, and no row is its own neighbour
    Output similarities          # the results
    int64_t* indices


cdef inline bint better(const Entry* a, const Entry* b) noexcept nogil:
    return a.similarity > b.similarity or (a.similarity == b.similarity and a.index < b.index)


cdef inline void swap(Entry* a, Entry* b) noexcept nogil:
    cdef Entry t = a[0]
    a[0] = b[0]
    b[0] = t


cdef void sift(Entry* e, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    # the worst of a heap is at its root
    cdef Py_ssize_t child = 2 * i + 1
    while child < n:
        if child + 1 < n and better(&e[child], &e[child + 1]):
            child += 1
        if not better(&e[i], &e[child]):
            return
        swap(&e[i], &e[child])
        i, child = child, 2 * child + 1


cdef void heap_sort(Entry* e, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // 2 - 1, -1, -1):
        sift(e, i, n)
    for i in range(n - 1, 0, -1):
        swap(&e[0], &e[i])
        sift(e, 0, i)


cdef Py_ssize_t partition(Entry* e, Py_ssize_t n) noexcept nogil:
    """p, 0 < p < n, so that no entry of e[:p] is worse than one of e[p:] (Hoare)."""
    cdef Py_ssize_t i = -1, j = n
    cdef Entry pivot
    # the median of three, and not in the last place
    if better(&e[n // 2], &e[0]):
        swap(&e[n // 2], &e[0])
    if better(&e[n - 1], &e[n // 2]):
        swap(&e[n - 1], &e[n // 2])
        if better(&e[n // 2], &e[0]):
            swap(&e[n // 2], &e[0])
    pivot = e[n // 2]
    while True:
        i += 1
        while better(&e[i], &pivot):
            i += 1
        j -= 1
        while better(&pivot, &e[j]):
            j -= 1
        if i >= j:
            return j + 1
        swap(&e[i], &e[j])


cdef void bring_forward(Entry* e, Py_ssize_t n, Py_ssize_t k, bint in_order,
                        int depth) noexcept nogil:
    """e[:k] = the best k of e[:n]; in order, or just with the worst of them last (introsort)."""
    cdef Py_ssize_t i, p
    while n > SHORT:
        if depth == 0:
            heap_sort(e, n)
            return
        depth -= 1
        p = partition(e, n)
        if k <= p:
            n = p
        else:
            if in_order:
                bring_forward(e, p, p, True, depth)
            e, n, k = e + p, n - p, k - p
    for p in range(1, n):
        i = p
        while i > 0 and better(&e[i], &e[i - 1]):
            swap(&e[i], &e[i - 1])
            i -= 1


cdef inline int depth_for(Py_ssize_t n) noexcept nogil:
    cdef int depth = 2
    while n > 1:
        n //= 2
        depth += 2
    return depth


cdef inline void keep_best(Best* best, Py_ssize_t place) noexcept nogil:
    cdef Entry* e = best.entries + place * best.room
    bring_forward(e, best.count[place], best.k, False, depth_for(best.room))
    best.count[place] = best.k
    best.limit[place] = REAL_NEXT(e[best.k - 1].similarity, <real> 2)


cdef void add_entries(Best* best, Py_ssize_t place, uint64_t bits, const real* line,
                      int64_t first, int64_t own) noexcept nogil:
    """Columns first + (a place of a bit) of one row, with their similarities, but not `own`."""
    cdef Entry* e
    cdef int c
    while bits:
        c = first_bit(bits)
        bits &= bits - 1
        if line[c] < best.limit[place] or first + c == own:
            continue
        e = best.entries + place * best.room + best.count[place]
        e.similarity, e.index = line[c], first + c
        best.count[place] += 1
        if best.count[place] == best.room:
            keep_best(best, place)


cdef void select_panel(Best* best, int owner, const vec* totals, Py_ssize_t rows,
                       Py_ssize_t columns, const Pack* X, Py_ssize_t i, const Pack* Y,
                       Py_ssize_t j) noexcept nogil:
    """Offers rows x columns dot products to the lists of their rows."""
    cdef real line[GROUP]
    cdef Py_ssize_t r, place
    cdef uint64_t bits
    for r in range(rows):
        place = owner * best.rows + i + r
        bits = passing(totals + r * TILE_PANELS * VECS, columns, X, i + r, Y, j, best.single,
                       best.limit[place], line)
        if bits:
            add_entries(best, place, bits, line, Y.first + j,
                        X.first + i + r if best.exclude_self else -1)


cdef void fill_with_nan(Entry* e, Py_ssize_t n, Py_ssize_t k, int64_t own) noexcept nogil:
    # e[:n], in order of index, are all columns that are numbers: the first others follow
    cdef int64_t index = 0
    cdef Py_ssize_t known = 0, at = n
    while at < k:
        if known < n and e[known].index == index:
            known += 1
        elif index != own:
            e[at].similarity, e[at].index = <real> NAN, index
            at += 1
        index += 1


cdef void sort_by_index(Entry* e, Py_ssize_t n) noexcept nogil:
    # by way of the order that there is: equal similarities go by index
    cdef Py_ssize_t i
    for i in range(n):
        e[i].similarity = 0
    bring_forward(e, n, n, True, depth_for(n))


cdef void finish_row(Best* best, Py_ssize_t row, Py_ssize_t first) noexcept nogil:
    """The lists of all owners, merged, to the results."""
    cdef Entry* e = best.entries + row * best.room
    cdef Py_ssize_t owner, i, n, k = best.k, place
    cdef real line[BLOCK]
    cdef const Entry* other
    cdef int64_t* indices = best.indices + (first + row) * k
    cdef int64_t own = first + row if best.exclude_self else -1
    for owner in range(1, best.owners):
        place = owner * best.rows + row
        other = best.entries + place * best.room
        for i in range(best.count[place]):
            e[best.count[row]] = other[i]
            best.count[row] += 1
            if best.count[row] == best.room:
                keep_best(best, row)
    n = at_most(best.count[row], k)
    bring_forward(e, best.count[row], n, True, depth_for(best.room))
    for i in range(n):
        put(&best.similarities, first + row, i, 1, &e[i].similarity)
        indices[i] = e[i].index
    if n < k:
        sort_by_index(e, n)
        fill_with_nan(e, n, k, own)
        line[0] = <real> NAN
        for i in range(n, k):
            put(&best.similarities, first + row, i, 1, line)
            indices[i] = e[i].index


cdef void reset_lists(Best* best) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(best.owners * best.rows):
        best.count[i] = 0
        best.limit[i] = -2       # below every similarity


cdef inline size_t bytes_of_list(const Best* best) noexcept nogil:
    return best.room * sizeof(Entry) + sizeof(Py_ssize_t) + sizeof(real)


cdef size_t carve_lists(Best* best, char* memory) noexcept nogil:
    cdef char* start = memory
    cdef size_t lists = best.owners * best.rows
    best.entries = <Entry*> carve(&memory, lists * best.room * sizeof(Entry))
    best.count = <Py_ssize_t*> carve(&memory, lists * sizeof(Py_ssize_t))
    best.limit = <real*> carve(&memory, lists * sizeof(real))
    return memory - start
