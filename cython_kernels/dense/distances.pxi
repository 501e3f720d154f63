# Distances of queries to rows by what is kept of these (prepared.pxi): to every row by the panels,
# to those that are near then by the further lines of their heads, too. Who is near by all is met.
#
# takes: pack.pxi, plan.pxi, screen.pxi, directions.pxi, heads.pxi, near.pxi, prepared.pxi,
#        vectors.h, screen.h, panels.h
# gives: TASK_BLOCKS, NOWHERE, Likely, Likelies, Scanned, Search, Listed, first_rows,
#        find_distances, find_near, distance_at, distances_task, nth_least, bar_of, settle_row,
#        settle_nearest, meet_listed, list_place

cdef enum:
    NEAREST = 64                 # rows that are looked at first, beyond half as many again as k
    SETTLED_FIRST = 16           # and those that are settled, where there are more lines of heads
    TASK_BLOCKS = 32             # of NEAR_ROWS rows
    LISTED = 256                 # rows of a query that wait for the next lines
    NOWHERE = 1 << 30            # the distance of rows that are not to be found

cdef struct Likely:              # a row that may belong to the result
    int32_t place, distance

cdef struct Likelies:            # of a query, among a task's rows
    const Likely* of
    Py_ssize_t count             # -1: there was no room for them

cdef struct Scanned:             # queries that meet all rows
    Py_ssize_t count
    int32_t* query
    int32_t* words               # [query][word]: what meets panels (`query_word`)
    int32_t* square              # [query]: |q|² of that

cdef struct Search:
    Job* job
    const Kept* kept
    Py_ssize_t places, blocks    # rows that may be found, and blocks of NEAR_ROWS of these
    const int64_t* numbers       # which rows, ascending; NULL: all
    bint gathered                # places are those of `numbers`; otherwise rows
    uint64_t* allowed            # [block]: which rows; or NULL
    Heads X                      # of the batch, as of Y
    Scanned* every               # all of the batch
    Scanned* left                # those of whom it is not known yet who may belong to the result
    char* guard                  # of these
    float* error
    int32_t* distances           # [query][block][NEAR_ROWS]; or NULL
    int32_t* least               # [query][block]
    Py_ssize_t likely            # about so many rows of a query are listed; 0: none
    int32_t* bars                # [query]: those that are no further away
    Likelies* listed             # [task][query]
    Likely* rows                 # [likely_room]
    Py_ssize_t likely_room
    Py_ssize_t* used             # [thread][LINE]: from where on, and up to where, of that; and
    # behind all threads, how much has been given to them
    int32_t* scratch             # [thread][scratch_size]
    Py_ssize_t scratch_size

cdef struct Listed:
    Py_ssize_t count
    int64_t place[LISTED]
    int32_t distance[LISTED]


cdef inline Py_ssize_t first_rows(const Search* s) noexcept nogil:
    return s.job.best.k + s.job.best.k // 2 + NEAREST


cdef inline Py_ssize_t row_at(const Search* s, Py_ssize_t place) noexcept nogil:
    return s.numbers[place] if s.gathered else place


cdef inline void bring_block(const Search* s, Py_ssize_t block) noexcept nogil:
    """The heads of a block's rows, which lie here and there."""
    cdef const Kept* kept = s.kept
    cdef Py_ssize_t place = block * NEAR_ROWS
    cdef Py_ssize_t stop = at_most(place + NEAR_ROWS, s.places)
    while place < stop:
        prefetch_second(kept.heads.line + s.numbers[place] * kept.directions.lines * HEAD)
        if not (HAS_VNNI and vnni):
            prefetch_second(<const char*> (kept.starts + s.numbers[place]))
        place += 1


cdef void gather_distances(const Search* s, Py_ssize_t q, Py_ssize_t block,
                           int32_t* to) noexcept nogil:
    cdef const Kept* kept = s.kept
    cdef Py_ssize_t lines = kept.directions.lines, place = block * NEAR_ROWS
    cdef Py_ssize_t stop = at_most(place + NEAR_ROWS, s.places)
    cdef const int64_t* row
    cdef const int8_t* line[PANEL_ROWS]
    cdef int32_t dots[PANEL_ROWS]
    cdef bint by_line = HAS_VNNI and vnni    # nothing else is read of a row, then
    cdef int rows, r
    if lines == 0:                   # rows along the axes are met as they are
        memset(to, 0, (stop - place) * sizeof(int32_t))
        return
    if block % TASK_BLOCKS == 0:
        bring_block(s, block)
    bring_block(s, block + 1)
    while place < stop:
        row, rows = s.numbers + place, <int> at_most(PANEL_ROWS, stop - place)
        for r in range(rows):
            line[r] = kept.heads.line + row[r] * lines * HEAD
        if by_line and rows == PANEL_ROWS:
            line_distances(s.X.line + q * lines * HEAD, s.every.square[q], line, to)
        else:
            raised_dots(s.X.line + q * lines * HEAD, line, rows, vnni, dots)
            for r in range(rows):
                to[r] = s.every.square[q] + kept.starts[row[r]] - 2 * dots[r]
        to += rows
        place += rows


cdef inline uint64_t allowed_of(const Search* s, Py_ssize_t block) noexcept nogil:
    """Which rows of a block are to be found."""
    cdef uint64_t allowed = ~<uint64_t> 0 if s.allowed == NULL else s.allowed[block]
    cdef Py_ssize_t rows = s.places - block * NEAR_ROWS
    return allowed if rows >= NEAR_ROWS else allowed & ((<uint64_t> 1 << rows) - 1)


cdef inline const int32_t* lay_block(const Search* s, Py_ssize_t block, const int32_t** panel,
                                     int32_t* some) noexcept nogil:
    """A block's panels; its starts, if need be in `some`."""
    cdef const Kept* kept = s.kept
    cdef Py_ssize_t last = (s.places - 1) // PANEL_ROWS, p
    cdef Py_ssize_t first = block * NEAR_ROWS, rows = s.places - first
    for p in range(NEAR_PANELS):
        panel[p] = (kept.panels + at_most(block * NEAR_PANELS + p, last)
                    * kept.words * PANEL_ROWS)
    if rows >= NEAR_ROWS:
        return kept.starts + first
    memset(some, 0, NEAR_ROWS * sizeof(int32_t))
    memcpy(some, kept.starts + first, rows * sizeof(int32_t))
    return some


cdef void find_distances(const Search* s, Py_ssize_t q, int queries, Py_ssize_t block,
                         int32_t* to) noexcept nogil:
    """to[q, r]: of the rows of a block, by their panels."""
    cdef const int32_t* panel[NEAR_PANELS]
    cdef int32_t some[NEAR_ROWS]
    cdef uint64_t allowed = allowed_of(s, block)
    cdef int i, r
    if s.gathered:
        for i in range(queries):
            gather_distances(s, q + i, block, to + i * NEAR_ROWS)
    else:
        near_block(panel, s.kept.words, s.every.words + q * s.kept.words, queries,
                   s.every.square + q, lay_block(s, block, panel, some), vnni, to)
    if ~allowed:
        for i in range(queries):
            for r in range(NEAR_ROWS):
                if not allowed >> r & 1:
                    to[i * NEAR_ROWS + r] = NOWHERE


cdef inline void find_near(const Search* s, const Scanned* of, Py_ssize_t q, int queries,
                           Py_ssize_t block, const int32_t* bars, int32_t* to,
                           uint64_t* bits) noexcept nogil:
    """bits[i]: which rows of a block are no further away than bars[i]; `to`: for `distance_at`."""
    cdef const int32_t* panel[NEAR_PANELS]
    cdef int32_t some[NEAR_ROWS]
    cdef int i
    if s.gathered:
        for i in range(queries):
            gather_distances(s, of.query[q + i], block, to + i * NEAR_ROWS)
            bits[i] = near_bits(to + i * NEAR_ROWS, bars[i])
    else:
        near_rows(panel, s.kept.words, of.words + q * s.kept.words, queries, of.square + q,
                  lay_block(s, block, panel, some), bars, vnni, to, bits)
    for i in range(queries):
        bits[i] &= allowed_of(s, block)


cdef inline int32_t distance_at(const Search* s, const Scanned* of, Py_ssize_t q, int i,
                                Py_ssize_t block, int r, const int32_t* found) noexcept nogil:
    """How far the row is from the query of[q + i], by what `find_near` found."""
    if s.gathered:
        return found[i * NEAR_ROWS + r]
    return distance_of(found, i, r, of.square + q, s.kept.starts + block * NEAR_ROWS)


cdef void distances_task(const Search* s, Py_ssize_t task) noexcept nogil:
    """The distances of a task's blocks, kept where there is room, and the least of each block."""
    cdef Py_ssize_t block, some, q
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef int queries, i
    for some in range(ceil_div(s.job.PX.count, NEAR_QUERIES)):
        q = some * NEAR_QUERIES
        queries = <int> at_most(NEAR_QUERIES, s.job.PX.count - q)
        for block in range(task * TASK_BLOCKS, at_most((task + 1) * TASK_BLOCKS, s.blocks)):
            find_distances(s, q, queries, block, own)
            for i in range(queries):
                s.least[(q + i) * s.blocks + block] = least_of(own + i * NEAR_ROWS)
                if s.distances != NULL:
                    memcpy(s.distances + ((q + i) * s.blocks + block) * NEAR_ROWS,
                           own + i * NEAR_ROWS, NEAR_ROWS * sizeof(int32_t))


cdef int32_t nth_least(int32_t* a, Py_ssize_t n, Py_ssize_t nth) noexcept nogil:
    """The nth least of a[:n], which is put in another order (Hoare's quickselect)."""
    cdef Py_ssize_t low = 0, high = n - 1, i, j
    cdef int32_t pivot, t
    while low < high:
        pivot = a[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while a[i] < pivot:
                i += 1
            while a[j] > pivot:
                j -= 1
            if i <= j:
                t = a[i]
                a[i] = a[j]
                a[j] = t
                i += 1
                j -= 1
        if nth <= j:
            high = j
        elif nth >= i:
            low = i
        else:
            break
    return a[nth]


cdef inline int32_t bar_of(const Search* s, Py_ssize_t q) noexcept nogil:
    """What a distance by panels must not exceed."""
    cdef float limit = <float> limit_of(s.job, s.job.PX.first + q)
    cdef double reach = <double> reach_of(limit) + s.error[q] + s.kept.widest[0]
    reach /= s.kept.directions.unit[0]
    reach *= reach
    return <int32_t> reach if reach < NOWHERE - 1 else NOWHERE - 1


cdef void settle_row(const Search* s, Py_ssize_t q, Py_ssize_t place, Waiting* waiting,
                     int thread) noexcept nogil:
    waiting.rows[waiting.count] = <int32_t> q
    waiting.columns[waiting.count] = <int32_t> row_at(s, place)
    bring_row(&s.job.Y, waiting.columns[waiting.count])
    waiting.count += 1
    if waiting.count == AT_A_TIME:
        settle_waiting(s.job, waiting, thread)


cdef inline void bring_lines(const Search* s, Py_ssize_t row, Py_ssize_t stop) noexcept nogil:
    """The further lines of a head before `stop`."""
    cdef Py_ssize_t lines = s.kept.directions.lines, line
    for line in range(1, stop):
        prefetch_second(s.kept.heads.line + (row * lines + line) * HEAD)
    prefetch_second(<const char*> (s.kept.heads.raised + row * lines))
    prefetch_second(<const char*> (s.kept.heads.error + row * (1 + lines)))


cdef inline void add_line(const Search* s, Py_ssize_t q, const int64_t* row, int rows,
                          Py_ssize_t line, float* distance) noexcept nogil:
    """distance[r]: how much further away row[r] is along a line of directions."""
    cdef const Directions* d = &s.kept.directions
    cdef const Heads* Y = &s.kept.heads
    cdef const int8_t* own[PANEL_ROWS]
    cdef int32_t dots[PANEL_ROWS]
    cdef Py_ssize_t lines = d.lines
    cdef int32_t square = s.X.square[q * lines + line]
    cdef int r
    for r in range(rows):
        own[r] = Y.line + (row[r] * lines + line) * HEAD
    raised_dots(s.X.line + (q * lines + line) * HEAD, own, rows, vnni, dots)
    for r in range(rows):
        distance[r] += (d.unit[line] * d.unit[line]
                        * <float> (square + Y.raised[row[r] * lines + line] - 2 * dots[r]))


cdef void settle_nearest(const Search* s, Py_ssize_t q, const Likely* some, Py_ssize_t n,
                         int32_t* scratch, Waiting* waiting, int thread) noexcept nogil:
    """Settles the nearest of some rows by all lines of their heads, of which the first is known.

    `scratch`: room for 2 n.
    """
    cdef const Directions* d = &s.kept.directions
    cdef Py_ssize_t lines = d.lines, wanted = s.job.best.k + s.job.best.k // 2 + SETTLED_FIRST
    cdef Py_ssize_t i, part, line
    cdef int64_t row[PANEL_ROWS]
    cdef float further[PANEL_ROWS]
    cdef int32_t bar = NOWHERE
    cdef int rows, r
    if lines > 1 and n > wanted:
        for i in range(n):
            bring_lines(s, row_at(s, some[i].place), lines)
        for part in range(ceil_div(n, PANEL_ROWS)):
            i = part * PANEL_ROWS
            rows = <int> at_most(PANEL_ROWS, n - i)
            for r in range(rows):
                row[r], further[r] = row_at(s, some[i + r].place), 0
            for line in range(1, lines):
                add_line(s, q, row, rows, line, further)
            for r in range(rows):
                further[r] = min(further[r] / (d.unit[0] * d.unit[0]), <float> NOWHERE)
                scratch[i + r] = some[i + r].distance + <int32_t> further[r]
        memcpy(scratch + n, scratch, n * sizeof(int32_t))
        bar = nth_least(scratch + n, n, wanted - 1)
    for i in range(n):
        if bar == NOWHERE or scratch[i] <= bar:
            settle_row(s, q, some[i].place, waiting, thread)


cdef void meet_listed(const Search* s, Py_ssize_t q, Listed* list, Waiting* waiting,
                      int thread) noexcept nogil:
    """Those whose further lines are near enough are met."""
    cdef const Directions* d = &s.kept.directions
    cdef const Heads* Y = &s.kept.heads
    cdef Py_ssize_t lines = d.lines, left = 0, part, i, line
    cdef float reach = reach_of(<float> limit_of(s.job, s.job.PX.first + q)), bar
    cdef int64_t row[PANEL_ROWS]
    cdef float distance[PANEL_ROWS]
    cdef bint near
    cdef int rows, r
    for part in range(ceil_div(list.count, PANEL_ROWS)):
        i = part * PANEL_ROWS
        rows = <int> at_most(PANEL_ROWS, list.count - i)
        for r in range(rows):
            row[r] = row_at(s, list.place[i + r])
            distance[r] = d.unit[0] * d.unit[0] * <float> list.distance[i + r]
        if lines > 1:
            add_line(s, q, row, rows, 1, distance)
        for r in range(rows):
            near = True
            for line in range(1, lines):
                if line > 1:
                    add_line(s, q, row + r, 1, line, distance + r)
                bar = (reach + s.X.error[q * (1 + lines) + 1 + line]
                       + Y.error[row[r] * (1 + lines) + 1 + line])
                if distance[r] > bar * bar:
                    near = False
                    break
            if near:                 # all of these are brought near before the first is met
                bring_row(&s.job.Y, row[r])
                list.place[left] = row[r]
                left += 1
    for i in range(left):
        meet(s.job, q, list.place[i], False, waiting, thread)
    list.count = 0


cdef inline void list_place(const Search* s, Py_ssize_t q, Py_ssize_t place, int32_t distance,
                            Listed* list, Waiting* waiting, int thread) noexcept nogil:
    if s.kept.directions.lines > 1:
        bring_lines(s, row_at(s, place), 2)
    list.place[list.count], list.distance[list.count] = place, distance
    list.count += 1
    if list.count == LISTED:
        meet_listed(s, q, list, waiting, thread)
