# The two reductions by what is kept of Y (prepared.pxi): of every row the panels are read, of those
# that are left the further lines of their heads, and of what is left then the row itself.
#
# takes: kernels.pyx, source.pxi, pack.pxi, top_k.pxi, pairs.pxi, plan.pxi, screen.pxi,
#        directions.pxi, heads.pxi, near.pxi, full.pxi, prepared.pxi, vectors.h, screen.h,
#        panels.h, bits.h, memory.h, openmp.h
# gives: search
#
# For top-k, the rows that are nearest by their panels, and of these by all lines, are settled
# first: their k-th best is a limit from the start, a low one at worst. Queries go in batches, whose
# parts of the panels stay in the cache. Where there is room, distances by panels are kept; else
# those of likely rows are, nearer than most in a sample. Queries whose limit lets pass more than
# these are left: they find distances once more.

cdef double MOST_NEAR = 0.2      # of the rows: where more are left, many queries do without

cdef enum:
    MANY_QUERIES = 256           # of a call
    MOST_QUERIES = 256           # of a batch
    NEAREST = 64                 # rows that are looked at first, beyond half as many again as k
    SETTLED_FIRST = 16           # and those that are settled, where there are more lines of heads
    TASK_BLOCKS = 32             # of NEAR_ROWS rows
    LISTED = 256                 # rows of a query that wait for the next lines
    DISTANCES = 32 << 20         # bytes of them that are kept
    GATHERED = 4                 # fewer than one row in so many is read one by one
    NOWHERE = 1 << 30            # the distance of rows that are not to be found
    LIKELY = 200                 # rows for each of k, at least 10 of k, that wait for their limit
    LIKELY_PART = 8              # no more than one row in so many
    LIKELY_AT_ONCE = 1 << 12     # that a thread takes room for
    FEWEST_LISTED = 32           # queries whose likely rows there is room for
    LISTED_WORDS = 1 << 14       # of a batch of these, for the cache beside a task's panels
    SAMPLED_BLOCKS = 16          # which tell how near those are
    SAMPLED_LIKELY = 128
    LIKELY_OF_TASK = TASK_BLOCKS * NEAR_ROWS + 24     # lists that do not begin alike in their pages

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


cdef void start_query(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The heads of one query of the batch, whose norm is known."""
    cdef const Kept* kept = s.kept
    cdef const Source* X = &s.job.X
    cdef real dots[DIRECTIONS]
    cdef Py_ssize_t features = X.features, lines = kept.directions.lines, b, k
    cdef real* row = <real*> (s.scratch + thread * s.scratch_size)
    cdef int32_t* words = s.every.words + q * kept.words
    cdef int32_t* square = s.every.square + q
    cdef int32_t start
    if lines > 0:
        for b in range(ceil_div(features, BLOCK)):
            convert(X, s.job.PX.first + q, b * BLOCK, block_length(features, b), row + b * BLOCK)
        for k in range(lines * HEAD):
            dots[k] = quick_dot(row, kept.directions.rows + k * features, features)
        round_head(&s.X, &kept.directions, dots, q, s.X.norm2[q] == 0, QUERY_STEP)
        memcpy(words, s.X.line + q * lines * HEAD, HEAD)
        square[0], s.error[q] = s.X.square[q * lines], s.X.error[q * (1 + lines) + 1]
    else:
        round_axes(X, s.job.PX.first + q, 0 if s.X.norm2[q] == 0 else s.X.inverse[q],
                   kept.directions.unit[0], kept.words, <int8_t*> words, square, &start,
                   s.error + q, QUERY_STEP)
    for k in range(kept.words):
        words[k] = query_word(words[k])
    s.every.query[q] = <int32_t> q


cdef int start_queries(const Search* s) noexcept nogil:
    cdef Job* job = s.job
    cdef Source part = job.X
    cdef Py_ssize_t p, q
    cdef int status = 0
    part.data += job.PX.first * part.row_stride
    part.rows = job.PX.count
    for p in range(ceil_div(part.rows, PANEL)):
        status |= measure_panel(&part, p * PANEL, &s.X)
    if status & CARE:
        return status
    for q in prange(job.PX.count, schedule="dynamic", chunksize=4,
                    num_threads=threads_in(job.process, job.threads if job.PX.count > 4 else 1)):
        start_query(s, q, omp_get_thread_num())
    return status


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


cdef void likely_bars(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """How near the likely rows are of queries from q on, by a sample."""
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef Py_ssize_t sampled = SAMPLED_BLOCKS * NEAR_ROWS, b
    cdef int queries = <int> at_most(NEAR_QUERIES, s.job.PX.count - q), i
    for b in range(SAMPLED_BLOCKS):
        find_distances(s, q, queries, b * s.blocks // SAMPLED_BLOCKS, own)
        for i in range(queries):
            memcpy(scratch + i * sampled + b * NEAR_ROWS, own + i * NEAR_ROWS,
                   NEAR_ROWS * sizeof(int32_t))
    for i in range(queries):
        s.bars[q + i] = at_most(nth_least(scratch + i * sampled, sampled,
                                          s.likely * sampled // s.places), NOWHERE - 1)


cdef void next_part(const Search* s, Py_ssize_t* used, Py_ssize_t rows) noexcept nogil:
    """More room for a thread's lists, for so many rows at least, while there is some."""
    cdef Py_ssize_t* all_used = s.used + s.job.threads * LINE
    lock(s.guard)
    used[0] = all_used[0]
    all_used[0] = used[1] = at_most(s.likely_room, used[0] + at_least(rows, LIKELY_AT_ONCE))
    unlock(s.guard)


cdef void likely_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    """Lists the likely rows of a task's blocks."""
    cdef Py_ssize_t* used = s.used + thread * LINE
    cdef Py_ssize_t all_of_them
    cdef Likely* to = <Likely*> (s.scratch + thread * s.scratch_size)
    cdef Likely* list
    cdef Likelies* listed
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef uint64_t near[NEAR_QUERIES]
    cdef Py_ssize_t counts[NEAR_QUERIES]
    cdef Py_ssize_t block, some, q, n
    cdef int with_some[NEAR_QUERIES]
    cdef uint64_t bits
    cdef int queries, i, a, r, found
    for some in range(ceil_div(s.job.PX.count, NEAR_QUERIES)):
        q = some * NEAR_QUERIES
        queries = <int> at_most(NEAR_QUERIES, s.job.PX.count - q)
        memset(counts, 0, sizeof(counts))
        for block in range(task * TASK_BLOCKS, at_most((task + 1) * TASK_BLOCKS, s.blocks)):
            find_near(s, s.every, q, queries, block, s.bars + q, own, near)
            found = 0                # most have none: no branch for these
            for i in range(queries):
                with_some[found] = i
                found += near[i] != 0
            for a in range(found):
                i = with_some[a]
                bits, n, list = near[i], counts[i], to + i * LIKELY_OF_TASK
                while bits:
                    r = first_bit(bits)
                    bits &= bits - 1
                    list[n].place = <int32_t> (block * NEAR_ROWS + r)
                    list[n].distance = distance_at(s, s.every, q, i, block, r, own)
                    n += 1
                counts[i] = n
        all_of_them = 0
        for i in range(queries):
            all_of_them += counts[i]
        if used[0] + all_of_them > used[1]:
            next_part(s, used, all_of_them)
        for i in range(queries):
            listed = s.listed + task * s.job.PX.count + q + i
            listed.of, listed.count = s.rows + used[0], counts[i]
            if used[0] + counts[i] > used[1]:
                listed.count = -1
                continue
            memcpy(<void*> listed.of, to + i * LIKELY_OF_TASK, counts[i] * sizeof(Likely))
            used[0] += counts[i]


cdef Py_ssize_t nearest_of(Likely* a, Py_ssize_t n, Py_ssize_t wanted,
                           int32_t* scratch) noexcept nogil:
    """Brings about so many of the nearest of a[:n] forward; how many these are."""
    cdef Py_ssize_t i, kept, guess
    cdef int32_t bar
    if n <= wanted:                  # none, too
        return n
    guess = wanted * SAMPLED_LIKELY // n + 3
    if guess < SAMPLED_LIKELY // 4:
        for i in range(SAMPLED_LIKELY):
            scratch[i] = a[i * n // SAMPLED_LIKELY].distance
        bar = nth_least(scratch, SAMPLED_LIKELY, guess)
        kept = nearer_first(a, n, bar)
        n = kept if kept >= wanted else n
    for i in range(n):
        scratch[i] = a[i].distance
    return nearer_first(a, n, nth_least(scratch, n, wanted - 1))


cdef Py_ssize_t nearer_first(Likely* a, Py_ssize_t n, int32_t bar) noexcept nogil:
    cdef Py_ssize_t i, kept = 0
    cdef Likely own
    for i in range(n):
        own = a[i]
        a[i] = a[kept]
        a[kept] = own
        kept += own.distance <= bar
    return kept


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


cdef void leave(const Search* s, Py_ssize_t q) noexcept nogil:
    """A query is left to meet all rows."""
    cdef Py_ssize_t words = s.kept.words
    cdef Scanned* left = s.left
    lock(s.guard)
    left.query[left.count], left.square[left.count] = <int32_t> q, s.every.square[q]
    memcpy(left.words + left.count * words, s.every.words + q * words, words * sizeof(int32_t))
    left.count += 1
    unlock(s.guard)


cdef void meet_likely(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The limit of a query by the nearest of its likely rows; if whoever is near enough then is
    among these, all of them are met."""
    cdef Best* best = s.job.best
    cdef const Likelies* listed
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef Likely* likely = <Likely*> scratch
    cdef Py_ssize_t room = s.scratch_size // 3, wanted = first_rows(s), task, i, nearest, n = 0
    cdef bint all_listed = True
    cdef int32_t bar
    cdef Listed list
    cdef Waiting waiting
    list.count = waiting.count = 0
    for task in range(ceil_div(s.blocks, TASK_BLOCKS)):
        listed = s.listed + task * s.job.PX.count + q
        all_listed = all_listed and 0 <= listed.count <= room - n
        i = at_most(at_least(listed.count, 0), room - n)
        memcpy(likely + n, listed.of, i * sizeof(Likely))
        n += i
    nearest = at_most(nearest_of(likely, n, wanted, scratch + 2 * room), 4 * wanted)
    settle_nearest(s, q, likely, nearest, scratch + 2 * room, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)
    if best.count[q] >= best.k:
        keep_best(best, q)
    forget(best, q, 0, s.job.Y.rows)     # they come once more
    bar = bar_of(s, q)
    if not all_listed or bar > s.bars[q]:
        leave(s, q)
        return
    for i in range(n):
        if likely[i].distance <= bar:
            list_place(s, q, likely[i].place, likely[i].distance, &list, &waiting, thread)
    meet_listed(s, q, &list, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)


cdef void first_limit(const Search* s, Py_ssize_t q, int thread) noexcept nogil:
    """The limit of a query by the rows that are nearest by their panels; all there is to be found
    of a zero row."""
    cdef Best* best = s.job.best
    cdef const int32_t* least = s.least + q * s.blocks
    cdef const int32_t* at
    cdef int32_t* scratch = s.scratch + thread * s.scratch_size
    cdef Likely* some = <Likely*> scratch
    cdef int32_t own[NEAR_ROWS]
    cdef Py_ssize_t wanted = first_rows(s), block, taken = 0, place
    cdef int32_t bar
    cdef uint64_t bits
    cdef int r
    cdef Waiting waiting
    waiting.count = 0
    if s.X.norm2[q] == 0:
        place = 0
        while taken < best.k and place < s.places:
            if s.allowed == NULL or s.allowed[place // NEAR_ROWS] >> (place % NEAR_ROWS) & 1:
                settle_row(s, q, place, &waiting, thread)
                taken += 1
            place += 1
        settle_waiting(s.job, &waiting, thread)
        return
    if s.likely > 0:
        meet_likely(s, q, thread)
        return
    if s.blocks < 4 * wanted:        # they are kept, then
        memcpy(scratch, s.distances + q * s.blocks * NEAR_ROWS,
               s.blocks * NEAR_ROWS * sizeof(int32_t))
        bar = nth_least(scratch, s.blocks * NEAR_ROWS, at_most(wanted, s.places) - 1)
    else:
        memcpy(scratch, least, s.blocks * sizeof(int32_t))
        bar = nth_least(scratch, s.blocks, wanted - 1)
    bar = bar if bar < NOWHERE else NOWHERE - 1
    for block in range(s.blocks):
        if least[block] > bar or taken >= 4 * wanted:
            continue
        if s.distances != NULL:
            at = s.distances + (q * s.blocks + block) * NEAR_ROWS
        else:
            find_distances(s, q, 1, block, own)
            at = own
        bits = near_bits(at, bar)
        while bits:
            r = first_bit(bits)
            bits &= bits - 1
            some[taken].place = <int32_t> (block * NEAR_ROWS + r)
            some[taken].distance = at[r]
            taken += 1
    settle_nearest(s, q, some, taken, scratch + 2 * taken, &waiting, thread)
    settle_waiting(s.job, &waiting, thread)
    if best.count[q] >= best.k:
        keep_best(best, q)
    forget(best, q, 0, s.job.Y.rows)     # they come once more


cdef void near_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    """Who of a task's blocks may belong to the result of those that are left is met."""
    cdef Py_ssize_t first = task * TASK_BLOCKS, block, some, j, q
    cdef Py_ssize_t stop = at_most(first + TASK_BLOCKS, s.blocks)
    cdef Listed lists[NEAR_QUERIES]
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef int32_t bars[NEAR_QUERIES]
    cdef const Scanned* left = s.left
    cdef const int32_t* at
    cdef int32_t distance
    cdef uint64_t bits
    cdef uint64_t near[NEAR_QUERIES]
    cdef Waiting waiting
    cdef int queries, i, r
    waiting.count = 0
    for some in range(ceil_div(left.count, NEAR_QUERIES)):
        j = some * NEAR_QUERIES
        queries = <int> at_most(NEAR_QUERIES, left.count - j)
        for i in range(queries):
            q = left.query[j + i]
            lists[i].count = 0
            # of a zero row all is found
            bars[i] = bar_of(s, q) if s.X.norm2[q] != 0 else -NOWHERE
        for block in range(first, stop):
            if s.distances == NULL:
                find_near(s, left, j, queries, block, bars, own, near)
            for i in range(queries):
                q = left.query[j + i]
                at = NULL
                if s.distances != NULL:
                    if s.least[q * s.blocks + block] > bars[i]:
                        continue
                    at = s.distances + (q * s.blocks + block) * NEAR_ROWS
                    near[i] = near_bits(at, bars[i])
                bits = near[i]
                while bits:
                    r = first_bit(bits)
                    bits &= bits - 1
                    distance = distance_at(s, left, j, i, block, r, own) if at == NULL else at[r]
                    list_place(s, q, block * NEAR_ROWS + r, distance, &lists[i], &waiting, thread)
        for i in range(queries):
            meet_listed(s, left.query[j + i], &lists[i], &waiting, thread)
    settle_waiting(s.job, &waiting, thread)


cdef double share_near(const Search* s) noexcept nogil:
    """What part of the rows panels leave to these queries, of which there are NEAR_QUERIES and
    more, by a sample, where limits are known."""
    cdef int32_t own[NEAR_QUERIES * NEAR_ROWS]
    cdef int32_t bars[NEAR_QUERIES]
    cdef uint64_t near[NEAR_QUERIES]
    cdef Py_ssize_t last = s.job.PX.count - NEAR_QUERIES, left = 0, b, q
    cdef int i
    for b in range(SAMPLED_BLOCKS):
        q = b * last // SAMPLED_BLOCKS
        for i in range(NEAR_QUERIES):
            bars[i] = bar_of(s, q + i)
        find_near(s, s.every, q, NEAR_QUERIES, b * s.blocks // SAMPLED_BLOCKS, bars, own, near)
        left += count_bits(near, NEAR_QUERIES, False)
    return <double> left / (SAMPLED_BLOCKS * NEAR_QUERIES * NEAR_ROWS)


cdef void run_task(const Search* s, Py_ssize_t task, int thread) noexcept nogil:
    cdef Pairs* pairs = s.job.pairs
    if pairs != NULL:
        start_run(&pairs.found[thread])
    near_task(s, task, thread)
    if pairs != NULL and end_run(&pairs.found[thread], pairs.task + task):
        s.job.status[thread * LINE] |= OUT_OF_MEMORY


cdef void search_batch(const Search* s) noexcept nogil:
    cdef Job* job = s.job
    cdef Py_ssize_t tasks = ceil_div(s.blocks, TASK_BLOCKS), t, q
    with parallel(num_threads=threads_in(job.process, job.threads)):
        if s.likely > 0:
            for q in prange(ceil_div(job.PX.count, NEAR_QUERIES), schedule="dynamic"):
                likely_bars(s, q * NEAR_QUERIES, omp_get_thread_num())
            wait_for_all()
            for t in prange(tasks, schedule="dynamic"):
                likely_task(s, t, omp_get_thread_num())
            wait_for_all()
        elif job.best != NULL:
            for t in prange(tasks, schedule="dynamic"):
                distances_task(s, t)
            wait_for_all()
        if job.best != NULL:
            for q in prange(job.PX.count, schedule="dynamic"):
                first_limit(s, q, omp_get_thread_num())
            wait_for_all()
        for t in prange(tasks, schedule="dynamic"):
            run_task(s, t, omp_get_thread_num())


cdef size_t carve_search(Search* s, Py_ssize_t batch, bint stored, char* memory) noexcept nogil:
    cdef char* start = memory
    cdef Job* job = s.job
    cdef Py_ssize_t lines = s.kept.directions.lines, rows = ceil_div(batch, PANEL) * PANEL
    cdef Py_ssize_t i
    cdef Heads* h = &s.X
    cdef Scanned* of
    h.line = <int8_t*> carve(&memory, rows * lines * HEAD)
    h.square = <int32_t*> carve(&memory, rows * lines * sizeof(int32_t))
    h.raised = <int32_t*> carve(&memory, rows * lines * sizeof(int32_t))
    h.error = <float*> carve(&memory, rows * (1 + lines) * sizeof(float))
    h.norm2 = <real*> carve(&memory, rows * sizeof(real))
    h.inverse = <real*> carve(&memory, rows * sizeof(real))
    h.rest = <real*> carve(&memory, rows * sizeof(real))
    for i in range(2 if s.likely > 0 else 1):
        of = s.left if i else s.every
        of.query = <int32_t*> carve(&memory, batch * sizeof(int32_t))
        of.words = <int32_t*> carve(&memory, batch * s.kept.words * sizeof(int32_t))
        of.square = <int32_t*> carve(&memory, batch * sizeof(int32_t))
    s.error = <float*> carve(&memory, batch * sizeof(float))
    s.distances = s.least = NULL
    if s.likely > 0:
        s.bars = <int32_t*> carve(&memory, batch * sizeof(int32_t))
        s.listed = <Likelies*> carve(&memory, ceil_div(s.blocks, TASK_BLOCKS) * batch
                                     * sizeof(Likelies))
        s.rows = <Likely*> carve(&memory, s.likely_room * sizeof(Likely))
        s.used = <Py_ssize_t*> carve(&memory, (job.threads + 1) * LINE * sizeof(Py_ssize_t))
    elif job.best != NULL:
        s.least = <int32_t*> carve(&memory, batch * s.blocks * sizeof(int32_t))
    if stored:
        s.distances = <int32_t*> carve(&memory, batch * s.blocks * NEAR_ROWS * sizeof(int32_t))
    if s.numbers != NULL and not s.gathered:
        s.allowed = <uint64_t*> carve(&memory, s.blocks * sizeof(uint64_t))
    s.scratch = <int32_t*> carve(&memory, job.threads * s.scratch_size * sizeof(int32_t))
    job.status = <int*> carve(&memory, LINE * sizeof(int) * job.threads)
    return memory - start


cdef int search(Job* job, const Kept* kept, const int64_t[::1] numbers, object watch) except -1:
    """The reduction of `job` by what is kept of Y's rows, or of those of these numbers. CARE: rows
    of X need it, or it would take longer so, and nothing has come of it."""
    cdef Search s
    cdef Scanned every, left
    cdef char guard = 0
    cdef Block* held
    cdef Block* lists = NULL
    cdef Py_ssize_t n = job.X.rows, batch, block_bytes, listed, i, first = 0
    cdef bint stored
    cdef int status = 0
    memset(&s, 0, sizeof(s))
    s.job, s.kept, s.places = job, kept, job.Y.rows
    s.every = s.left = &every
    s.guard = &guard
    if job.best != NULL:
        size_lists(job.best, job.Y.rows)
    if numbers is not None:
        s.numbers = &numbers[0]
        s.gathered = numbers.shape[0] < s.places // GATHERED
        if s.gathered:
            s.places = numbers.shape[0]
    s.blocks = ceil_div(s.places, NEAR_ROWS)
    s.scratch_size = at_least(s.blocks, ceil_div(job.X.features, LINE) * LINE
                              * <Py_ssize_t> (sizeof(real) // sizeof(int32_t)))
    block_bytes = s.blocks * NEAR_ROWS * sizeof(int32_t)
    batch = at_most(n, MOST_QUERIES)
    stored = job.best != NULL and batch * block_bytes <= DISTANCES
    if job.best != NULL:
        batch = at_most(batch, at_least(1, most_lists(job)))
        if s.blocks < 4 * first_rows(&s):
            batch = at_most(batch, at_least(1, DISTANCES // block_bytes))
            stored, s.scratch_size = True, at_least(s.scratch_size, s.blocks * NEAR_ROWS)
        else:
            batch = at_most(batch, at_least(1, DISTANCES // (block_bytes // NEAR_ROWS)))
            s.likely = LIKELY * at_least(10, job.best.k)
            # half as many again have room, and six numbers of each twice as many of one query
            listed = DISTANCES // (s.likely * 3 // 2 * <Py_ssize_t> sizeof(Likely)
                                   + ceil_div(s.blocks, TASK_BLOCKS)
                                   * <Py_ssize_t> sizeof(Likelies))
            if stored or s.likely * LIKELY_PART > s.places or listed < FEWEST_LISTED:
                s.likely = 0
            else:
                batch = at_most(n, at_least(MOST_QUERIES, LISTED_WORDS // kept.words))
                batch = at_most(batch, at_most(listed, at_least(1, most_lists(job))))
                s.likely_room = (batch * s.likely * 3 // 2
                                 + job.threads * (LIKELY_AT_ONCE + NEAR_QUERIES * LIKELY_OF_TASK))
                s.scratch_size = at_least(at_least(s.scratch_size, 6 * s.likely),
                                          2 * NEAR_QUERIES * LIKELY_OF_TASK)
    if s.likely > 0:
        s.left = &left
    if job.best != NULL:             # room for some rows: `settle_nearest`
        s.scratch_size = at_least(s.scratch_size, 4 * (4 * first_rows(&s) + NEAR_ROWS))
    held = allocate(carve_search(&s, batch, stored, NULL), FOR_HEADS)
    try:
        carve_search(&s, batch, stored, held.memory)
        if s.allowed != NULL:
            memset(s.allowed, 0, s.blocks * sizeof(uint64_t))
            for i in range(numbers.shape[0]):
                s.allowed[numbers[i] // NEAR_ROWS] |= <uint64_t> 1 << (numbers[i] % NEAR_ROWS)
        memset(job.status, 0, LINE * sizeof(int) * job.threads)
        if job.best != NULL:
            job.best.rows = batch
            lists = allocate(carve_lists(job.best, NULL), FOR_LISTS)
            carve_lists(job.best, lists.memory)
            job.best.shared = job.threads > 1
        job.PX.source, job.PY.source = &job.X, &job.Y
        job.PX.norm2, job.PX.inverse, job.PX.rest = s.X.norm2, s.X.inverse, s.X.rest
        job.PY.norm2, job.PY.inverse = kept.heads.norm2, kept.heads.inverse
        job.PY.rest, job.PY.count = kept.heads.rest, job.Y.rows
        while first < n:
            job.PX.first, job.PX.count = first, at_most(batch, n - first)
            with nogil:
                status |= start_queries(&s)
            if status & CARE or (status & ZERO_ROW and job.zero_inverse != 0):
                return status | CARE
            if (job.pairs != NULL and n >= MANY_QUERIES and first == 0
                    and share_near(&s) > MOST_NEAR):
                return status | CARE     # the screen takes less time
            start_rows(job)
            every.count, left.count = job.PX.count, 0
            if s.likely > 0:
                memset(s.used, 0, (job.threads + 1) * LINE * sizeof(Py_ssize_t))
            with nogil:
                search_batch(&s)
            status |= found(job)
            watch.found(status, count_pairs(job.pairs) if job.pairs != NULL else 0)
            if job.pairs != NULL:
                job.pairs.task += ceil_div(s.blocks, TASK_BLOCKS)
            finish_rows_of_X(job, watch)
            first += job.PX.count
            watch.did(job.PX.count * s.places, n * s.places, 0)
            PyErr_CheckSignals()
        return status
    finally:
        block_release(held)
        block_release(lists)
