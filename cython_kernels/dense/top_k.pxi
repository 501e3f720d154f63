# Top-k: for every row the best columns so far, in a list with room for more than k. What passes the
# row's limit is added, under a lock; a full list is cut down to its best k, the worst of which is
# the new limit. Where Y is X and there is room for the lists of all rows, half of the products is
# enough: each is offered to the lists of both rows.
#
# takes: pack.pxi, tile.pxi, reduce.pxi, plan.pxi, screen.pxi, sample.pxi, vectors.h, bits.h,
#        openmp.h
# gives: LISTS, Pair, Best, bring_forward, depth_for, forget, keep_best, counts, offer,
#        select_panel, least_of_row, result_row, result_at, finish_row, reset_lists,
#        room_for, bytes_of_list, carve_lists, rest_list, wake_list

cdef enum:
    SPARE = 16                   # the least room beyond k
    SHORT = 16                   # entries that are sorted by insertion
    SAMPLE = 128                 # entries that tell of a list
    LISTS = 6 << 20              # bytes of lists, a thread

cdef struct Entry:
    real similarity
    uint32_t index               # Y has no more rows than that: checked by the caller

cdef struct Pair:                # most.pxi
    real similarity
    int64_t row, column

ctypedef fused entry_t:          # what is ordered: the best first
    Entry
    Pair

cdef struct Best:
    Py_ssize_t places            # columns of the results
    Py_ssize_t k, room           # of these, as many as there may be; and room of a list
    Py_ssize_t rows              # that have lists: those from `first` on, and where Y is X, too,
    Py_ssize_t first, split      # list `split` and those behind it are of the rows that stand
    Py_ssize_t second            # `second` further on
    int64_t columns              # of which there are so many
    int64_t first_Y              # as the job's
    Entry* entries               # [row][room]
    uint32_t* count
    real* limit                  # what is less does not count; equal ones only before `worst`
    uint32_t* worst
    char* locks
    bint shared                  # several threads may add to a list at a time
    int threads
    Entry* spare                 # [thread][room]
    real least                   # what is less never counts: a threshold; -2: all numbers count
    bint single                  # similarities are rounded to float32 before they are compared
    bint exclude_self            # X is Y, and no row is its own neighbour
    bint expected                # the rows' limits to begin with are known: sample.pxi
    const double* floors         # [row]: what is less than its own does not count; or NULL
    Output similarities          # the results
    int64_t* indices
    const int64_t* row_numbers   # in the results; NULL: as they are
    const int64_t* column_numbers


cdef inline bint better(entry_t a, entry_t b) noexcept nogil:
    cdef bint first
    if entry_t is Entry:
        first = a.index < b.index
    else:
        first = (a.row < b.row) | ((a.row == b.row) & (a.column < b.column))
    return (a.similarity > b.similarity) | ((a.similarity == b.similarity) & first)


cdef inline void swap(entry_t* a, entry_t* b) noexcept nogil:
    cdef entry_t t = a[0]
    a[0] = b[0]
    b[0] = t


cdef void sift(entry_t* e, Py_ssize_t i, Py_ssize_t n) noexcept nogil:
    # the worst of a heap is at its root
    cdef Py_ssize_t child = 2 * i + 1
    while child < n:
        if child + 1 < n and better(e[child], e[child + 1]):
            child += 1
        if not better(e[i], e[child]):
            return
        swap(&e[i], &e[child])
        i, child = child, 2 * child + 1


cdef void heap_sort(entry_t* e, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n // 2 - 1, -1, -1):
        sift(e, i, n)
    for i in range(n - 1, 0, -1):
        swap(&e[0], &e[i])
        sift(e, 0, i)


cdef inline void median_to_end(entry_t* e, Py_ssize_t n) noexcept nogil:
    # of three
    if better(e[n // 2], e[0]):
        swap(&e[n // 2], &e[0])
    if better(e[n - 1], e[0]):
        swap(&e[n - 1], &e[0])
    if better(e[n // 2], e[n - 1]):
        swap(&e[n // 2], &e[n - 1])


cdef Py_ssize_t partition(entry_t* e, Py_ssize_t n, entry_t* spare) noexcept nogil:
    """p: every entry of e[:p] is better than e[p], the last one until now, and that is better than
    those of e[p + 1:]."""
    cdef Py_ssize_t i, p = 0
    cdef entry_t pivot = e[n - 1]
    cdef bint is_better
    for i in range(n - 1):
        # to both sides: a branch would be guessed wrong every other time
        is_better = better(e[i], pivot)
        memcpy(spare + i - p, e + i, sizeof(entry_t))
        memcpy(e + p, spare + i - p, sizeof(entry_t))
        p += is_better
    e[p] = pivot
    memcpy(e + p + 1, spare, (n - 1 - p) * sizeof(entry_t))
    return p


cdef void bring_forward(entry_t* e, Py_ssize_t n, Py_ssize_t k, bint in_order, int depth,
                        entry_t* spare) noexcept nogil:
    """e[:k] = the best k of e[:n]; in order, or just with the worst of them last (introsort).

    `spare`: room for n entries.
    """
    cdef Py_ssize_t i, p
    while n > SHORT:
        if depth == 0:
            heap_sort(e, n)
            return
        depth -= 1
        median_to_end(e, n)
        p = partition(e, n, spare)
        if k <= p:
            n = p
        else:
            if in_order:
                bring_forward(e, p, p, True, depth, spare)
            e, n, k = e + p + 1, n - p - 1, k - p - 1
            if k == 0:
                return
    for p in range(1, n):
        i = p
        while i > 0 and better(e[i], e[i - 1]):
            swap(&e[i], &e[i - 1])
            i -= 1


cdef inline int depth_for(Py_ssize_t n) noexcept nogil:
    cdef int depth = 2
    while n > 1:
        n //= 2
        depth += 2
    return depth


cdef Py_ssize_t cut(Entry* e, Py_ssize_t n, Py_ssize_t k, Py_ssize_t most,
                    Entry* spare) noexcept nogil:
    """How many of e[:n] are kept, k to `most`: the best, the worst of them last."""
    cdef Py_ssize_t i, p, wanted, step = n // SAMPLE
    if step >= 4:
        # about the k-th, from a sample, and one pass; after Floyd and Rivest (1975)
        wanted = k * SAMPLE // n + SAMPLE // 20
        if wanted < SAMPLE:
            for i in range(SAMPLE):
                # those that stand first in `e` are the best of an earlier time
                spare[i] = e[i * step]
                spare[i].index = <uint32_t> (i * step)
            bring_forward(spare, SAMPLE, wanted, False, depth_for(SAMPLE), spare + SAMPLE)
            swap(e + spare[wanted - 1].index, e + n - 1)
            p = partition(e, n, spare)
            if p + 1 < k:
                bring_forward(e + p + 1, n - p - 1, k - p - 1, False, depth_for(n), spare)
                return k
            n = p + 1
            if n <= most:
                return n
    bring_forward(e, n, k, False, depth_for(n), spare)
    return k


cdef inline Entry* spare_of(const Best* best) noexcept nogil:
    return best.spare + omp_get_thread_num() * best.room


cdef inline Py_ssize_t row_of_list(const Best* best, Py_ssize_t list) noexcept nogil:
    return list + (best.first if list < best.split else best.second)


cdef inline real least_of_row(const Best* best, Py_ssize_t list) noexcept nogil:
    # a floor may be NaN: there is none
    cdef double own
    cdef real least
    if best.floors == NULL or not best.floors[row_of_list(best, list)] > best.least:
        return best.least
    own = best.floors[row_of_list(best, list)]
    least = <real> own
    return least if least >= own else REAL_NEXT(least, 3)


cdef void forget(Best* best, Py_ssize_t row, int64_t first, int64_t stop) noexcept nogil:
    """Out of the list with columns [first, stop), which will come once more."""
    cdef Entry* e = best.entries + row * best.room
    cdef Py_ssize_t i, n = 0
    for i in range(best.count[row]):
        if not first <= e[i].index < stop:
            e[n] = e[i]
            n += 1
    best.count[row] = <uint32_t> n
    # the limit may be the similarity of one of them
    best.limit[row] = max(least_of_row(best, row), REAL_NEXT(best.limit[row], -3))
    best.worst[row] = ~<uint32_t> 0


cdef inline void keep_best(Best* best, Py_ssize_t row) noexcept nogil:
    cdef Entry* e = best.entries + row * best.room
    cdef Py_ssize_t n = cut(e, best.count[row], best.k, best.k + (best.room - best.k) // 4,
                            spare_of(best))
    best.count[row] = <uint32_t> n
    # who reads the new limit without the lock must not see the worst of an earlier one
    store_relaxed(&best.worst[row], e[n - 1].index)
    store_release(&best.limit[row], e[n - 1].similarity)


cdef inline bint counts(const Best* best, Py_ssize_t row, real similarity,
                        int64_t index) noexcept nogil:
    cdef real limit = load_acquire(&best.limit[row])
    return similarity > limit or (similarity == limit and index < load_relaxed(&best.worst[row]))


cdef inline void offer(Best* best, Py_ssize_t row, real similarity, int64_t index) noexcept nogil:
    cdef Entry* e
    if not counts(best, row, similarity, index):
        return
    if best.shared:
        lock(&best.locks[row])
    e = best.entries + row * best.room + best.count[row]
    e.similarity, e.index = similarity, <uint32_t> index
    best.count[row] += 1
    if best.count[row] == best.room:
        keep_best(best, row)
    if best.shared:
        unlock(&best.locks[row])


cdef void add_entries(Best* best, Py_ssize_t row, uint64_t bits, const real* line,
                      int64_t first, int64_t own) noexcept nogil:
    """Columns first + (the place of a bit), with their similarities, but not `own`."""
    cdef Entry* e = best.entries + row * best.room
    cdef real limit
    cdef uint32_t worst, n
    cdef int64_t index
    cdef int c
    if best.shared:
        lock(&best.locks[row])
    n, limit, worst = best.count[row], best.limit[row], best.worst[row]
    while bits:
        c = first_bit(bits)
        bits &= bits - 1
        index = first + c
        e[n].similarity, e[n].index = line[c], <uint32_t> index
        n += ((line[c] > limit) | ((line[c] == limit) & (index < worst))) & (index != own)
        if n == best.room:
            best.count[row] = n
            keep_best(best, row)
            n, limit, worst = best.count[row], best.limit[row], best.worst[row]
    best.count[row] = n
    if best.shared:
        unlock(&best.locks[row])


cdef void select_panel(Best* best, const vec* totals, Py_ssize_t rows, Py_ssize_t columns,
                       const Pack* X, Py_ssize_t i, const Pack* Y, Py_ssize_t j,
                       bint both) noexcept nogil:
    """Offers rows x columns similarities to the lists of their rows, or of `both` sides."""
    cdef real line[GROUP]
    cdef Py_ssize_t r, row
    cdef uint64_t bits, column_bits
    cdef const real* column_limits = NULL
    cdef int c
    if both:
        column_limits = best.limit + Y.first - best.second + j
    for r in range(rows):
        row = X.first - best.first + i + r
        bits = passing(totals + r * TILE_PANELS * VECS, columns, X, i + r, Y, j, best.single,
                       load_acquire(&best.limit[row]), column_limits, &column_bits, line)
        if bits:
            # those that only equal the limit are many where rows are alike, and seldom count
            c = first_bit(bits)
            if bits & (bits - 1) or counts(best, row, line[c], Y.first + j + c):
                add_entries(best, row, bits, line, Y.first + j,
                            X.first + i + r if best.exclude_self else -1)
        while column_bits:
            c = first_bit(column_bits)
            column_bits &= column_bits - 1
            offer(best, Y.first - best.second + j + c, line[c], X.first + i + r)


cdef Py_ssize_t fill_with_nan(Entry* e, Py_ssize_t n, Py_ssize_t k, int64_t index, int64_t columns,
                              int64_t own) noexcept nogil:
    # e[:n], in order of index, are all columns that are numbers: the first others follow
    cdef Py_ssize_t known = 0, at = n
    while at < k and index < columns:
        if known < n and e[known].index == index:
            known += 1
        elif index != own:
            e[at].similarity, e[at].index = <real> NAN, <uint32_t> index
            at += 1
        index += 1
    return at


cdef inline Py_ssize_t result_row(const Best* best, Py_ssize_t list) noexcept nogil:
    cdef Py_ssize_t row = row_of_list(best, list)
    return row if best.row_numbers == NULL else best.row_numbers[row]


cdef inline real result_at(const Best* best, Py_ssize_t row, Py_ssize_t place) noexcept nogil:
    """A similarity of the results."""
    cdef const char* at = (best.similarities.data + row * best.similarities.row_stride
                           + place * best.similarities.column_stride)
    if best.similarities.itemsize == sizeof(float):
        return (<const float*> at)[0]
    return <real> (<const double*> at)[0]


cdef void rest_list(Best* best, Py_ssize_t list) noexcept nogil:
    """The best k to the results, where they wait for columns to come; the worst is the last."""
    cdef Entry* e = best.entries + list * best.room
    cdef Py_ssize_t i, n = at_most(best.count[list], best.k), to = result_row(best, list)
    cdef int64_t* indices = best.indices + to * best.places
    bring_forward(e, best.count[list], n, False, depth_for(best.room), spare_of(best))
    for i in range(n):
        put(&best.similarities, to, i, 1, &e[i].similarity)
        indices[i] = e[i].index
    if n < best.k:
        indices[n] = -1


cdef void wake_list(Best* best, Py_ssize_t list) noexcept nogil:
    """They come back."""
    cdef Entry* e = best.entries + list * best.room
    cdef Py_ssize_t n = 0, at = result_row(best, list)
    cdef const int64_t* indices = best.indices + at * best.places
    while n < best.k and indices[n] >= 0:
        e[n].similarity, e[n].index = result_at(best, at, n), <uint32_t> indices[n]
        n += 1
    reset_list(best, list)
    best.count[list] = <uint32_t> n
    if n == best.k:
        best.limit[list], best.worst[list] = e[n - 1].similarity, e[n - 1].index


cdef void finish_row(Best* best, Py_ssize_t row) noexcept nogil:
    """The list of a row to the results."""
    cdef Entry* e = best.entries + row * best.room
    cdef Py_ssize_t i, k = best.k, count = best.count[row], n = at_most(count, k), filled = n
    cdef Py_ssize_t to = result_row(best, row)
    cdef real nan = <real> NAN
    cdef int64_t* indices = best.indices + to * best.places
    # of two parts, rows of either are the columns of the other
    cdef bint of_X = best.first_Y == 0 or row < best.first_Y
    cdef int64_t first_Y = best.first_Y if of_X else 0
    bring_forward(e, count, n, True, depth_for(best.room), spare_of(best))
    for i in range(n):
        put(&best.similarities, to, i, 1, &e[i].similarity)
        indices[i] = e[i].index - first_Y
    if n < k and least_of_row(best, row) == -2:
        for i in range(n):
            e[i].similarity = 0      # so that they go by index
        bring_forward(e, n, n, True, depth_for(best.room), spare_of(best))
        filled = fill_with_nan(e, n, k, first_Y, best.columns if of_X else best.first_Y,
                               row_of_list(best, row) if best.exclude_self else -1)
    for i in range(n, best.places):  # NaN similarities, and then places left over
        put(&best.similarities, to, i, 1, &nan)
        indices[i] = <int64_t> e[i].index - first_Y if i < filled else -1
    if best.column_numbers != NULL:
        for i in range(filled):
            indices[i] = best.column_numbers[indices[i]]


cdef inline void reset_list(Best* best, Py_ssize_t list) noexcept nogil:
    best.count[list], best.locks[list] = 0, 0
    best.limit[list] = least_of_row(best, list)
    best.worst[list] = ~<uint32_t> 0         # who equals it counts


cdef inline Py_ssize_t rows_beyond() noexcept nogil:
    """Limits are read in whole vectors, up to a group beyond the last row."""
    return at_least(GROUP, SCREEN_COLUMNS)


cdef void reset_lists(Best* best, Py_ssize_t rows) noexcept nogil:
    cdef Py_ssize_t row
    for row in range(rows):
        reset_list(best, row)
        if best.expected:
            best.limit[row] = max(best.least, expected_limit(best, row))
    for row in range(rows, rows + rows_beyond()):
        best.limit[row] = 2          # nobody is found there


cdef inline Py_ssize_t room_for(Py_ssize_t k) noexcept nogil:
    return k + k // 2 + SPARE


cdef inline size_t bytes_of_list(const Best* best) noexcept nogil:
    return best.room * sizeof(Entry) + sizeof(real) + 2 * sizeof(uint32_t) + 1


cdef size_t carve_lists(Best* best, char* memory) noexcept nogil:
    cdef char* start = memory
    best.entries = <Entry*> carve(&memory, best.rows * best.room * sizeof(Entry))
    best.count = <uint32_t*> carve(&memory, best.rows * sizeof(uint32_t))
    best.limit = <real*> carve(&memory, (best.rows + rows_beyond()) * sizeof(real))
    best.worst = <uint32_t*> carve(&memory, best.rows * sizeof(uint32_t))
    best.locks = carve(&memory, best.rows)
    best.spare = <Entry*> carve(&memory, best.threads * best.room * sizeof(Entry))
    return memory - start
