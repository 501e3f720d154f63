# The screen: where few pairs are wanted, most are ruled out by 7- or 8-bit integers: a vector
# holds four times as many as of float32. What may belong to the result is computed by `settle`, in
# the canonical order: the same bits, and nothing is missed.
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, reduce.pxi, top_k.pxi, pairs.pxi, most.pxi,
#        plan.pxi, paired.pxi, cascade.pxi, sample.pxi, integers.pxi, vectors.h, screen.h, bits.h,
#        openmp.h
# gives: LEVELS, QUAD, SCREEN_STEP, SCREEN_COLUMNS, AT_A_TIME, LATER, TOO_CLOSE,
#        TO_SETTLE, SCREENED, LET, SETTLED, Waiting, ROUNDING, vnni, levels, raised, screen_start,
#        columns_each, screened_rows, turn_screen, undo_screened, words_of, at_feature,
#        pack_columns, screen_group, too_many, screen_task, is_near, quick_dot, nearly_cosine,
#        on_diagonal, is_done, settle_waiting
#
# A unit row x is s q + e: q of integers of at most `levels`, s its scale, e what that leaves.
# By Cauchy and Schwarz |x.y - s t q.r| <= |e| + |f| + |e| |f| for y = t r + f, and the norms of e
# and f are known: where s t q.r with those added is less than the limit, so is the cosine.

cdef enum:
    LEVELS = 63                      # 4 * 127 * 63, as the left side is raised, has room in 16 bits
    QUAD = 4                         # integers in a word
    SCREEN_STEP = 2 * QUAD           # features at a time
    SCREEN_COLUMNS = SCREEN_VECS * WORDS
    NEAR = 5 << 12                   # bytes of Y that are multiplied at a time
    AT_A_TIME = 64                   # pairs that are settled
    LEAST_FEATURES = 64              # with less, or fewer rows, the screen costs more than it saves
    LEAST_ROWS = 96
    LEAST_COLUMNS = 512
    MET_FIRST = 64                   # one column in so many is met without, for the first limits,
    MET_EACH = 32                    # at least so many for each of k neighbours, and more where
    NARROW = 3 << 10                 # features are few
    PROBED = 4096                    # columns of the first superblock, where that is the very first
    LATER = 4                        # so many times as far on the screen is tried once more
    ALLOWED = 4096                   # what the screen may let through before it is judged, a thread
    TOO_CLOSE = 8                    # a status: the screen lets too much through
    LET_THROUGH = 6                  # that is more than one in so many, and in so many more where
    OVERHEAD = 1 << 10               # features are few; who has to be settled
    TO_SETTLE = 2                    # counts so many times more
    SCREENED = 1                     # beside a thread's status: how many outputs it has met,
    LET = 2                          # and how many of them, so counted, it let through
    SETTLED = 3                      # of which heads alone count how many were settled

cdef struct Waiting:             # pairs that may belong to the result
    Py_ssize_t count
    int32_t rows[AT_A_TIME]      # of the superblock
    int32_t columns[AT_A_TIME]

cdef double NEAR_ONE = 0.99            # limits above it need no better ones for the screen
cdef double ROUNDING = 2e-5          # the kernels' own rounding errors, and more than those
cdef bint vnni = False               # set once, after import


cdef inline int levels() noexcept nogil:
    return VNNI_LEVELS if vnni else LEVELS


cdef inline int raised() noexcept nogil:
    # added to the left side's integers, so that they have no sign
    return levels() + 1


cdef Py_ssize_t screen_start(const Job* job) noexcept nogil:
    """How many columns are met before the screen is used; -1: it would not pay.

    Whether it does pay is seen as the work goes on. Rows that have to be converted are so for each
    cosine that is computed alone: with care, if they are not plain.
    """
    cdef Py_ssize_t features = job.X.features
    if (not SCREEN or not is_near(&job.X) or not is_near(&job.Y) or job.X.rows < LEAST_ROWS
            or job.Y.rows < LEAST_COLUMNS or not LEAST_FEATURES <= features <= SEGMENT * BLOCK):
        return -1
    if job.best != NULL and are_bytes(job.integers):
        return -1                    # with VNNI the products themselves take as little time
    if job.best == NULL or can_expect(job) or job.best.least > -2:
        return 0                     # there are limits from the start
    return columns_before(job)


cdef Py_ssize_t columns_before(const Job* job) noexcept nogil:
    """How many columns give the rows limits of their own; -1: too many."""
    cdef Py_ssize_t m = job.Y.rows, start = job.best.k * columns_each(job)
    if start > m // 4:
        return -1                    # what it saves of the rest is less than it may cost
    start = at_least(start, at_least(LEAST_COLUMNS, m // MET_FIRST))
    return start if start <= m // 2 else -1


cdef inline Py_ssize_t columns_each(const Job* job) noexcept nogil:
    return MET_EACH + NARROW // job.X.features


cdef Py_ssize_t screened_rows(const Job* job, Py_ssize_t rows_X, Py_ssize_t rows_Y) noexcept nogil:
    """How many rows of Y a superblock has: rows_Y without the screen."""
    cdef Py_ssize_t row_bytes = words_of(&job.X) * sizeof(int32_t), rows
    if job.headed:
        row_bytes = (job.cascade.words + LINE) * sizeof(int32_t)
    if job.screened and not job.same:
        rows = packed_bytes(job) // row_bytes * job.threads - rows_X
        rows = at_most(at_most(rows, longest()), patient_outputs(job) // rows_X)
        rows_Y = rounded(at_least(rows, 1))
        if job.best != NULL and job.PY.first == 0:
            rows_Y = at_most(rows_Y, PROBED)
    elif job.best != NULL and job.screen_from > job.PY.first and not job.same:
        rows_Y = at_most(rows_Y, job.screen_from - job.PY.first)
    return rows_Y


cdef int turn_screen(Job* job, object watch) except -1:
    """Whether the superblock at hand is screened; called where rows of X and Y begin."""
    cdef bint screened = job.screen_from >= 0 and not job.careful
    cdef bint met
    cdef int thread
    if writes_matrix(job):
        return 0
    if job.best != NULL:
        # rows of both sides have lists where X is Y: those after X's first have met its rows
        met = job.limited or job.PX.first > job.from_X if job.same else False
        screened = screened and (met or job.screen_from <= (0 if job.same else job.PY.first))
    if job.pairs != NULL:
        if job.pairs.most:
            keep_all_most(job.pairs, watch)
            if job.screen_from < 0 and job.pairs.limit >= job.pairs.retry:
                job.screen_from, job.pairs.retry = 0, 2
                screened = not job.careful
        for thread in range(job.threads):
            job.pairs.found[thread].matches_before = job.pairs.found[thread].matches.used
            job.pairs.found[thread].runs_before = job.pairs.found[thread].runs.used
    if screened != job.screened:
        job.screened, job.X_packed = screened, False
    return 0


cdef Py_ssize_t screen_again(const Job* job) noexcept nogil:
    """From which column on limits may be better, where they let too much through; -1: never."""
    if job.best.expected:
        return -1
    if (job.PX.first if job.same else job.PY.first) == 0 and not job.limited:
        return columns_before(job)   # there was nothing but a threshold
    return -1 if job.same else LATER * job.PY.first


cdef int undo_screened(Job* job) except -1:
    """The superblock at hand will be computed once more, without the screen."""
    cdef Py_ssize_t row
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef int thread
    cdef bint headed = job.headed
    if headed and job.best != NULL:  # the screen is next; later limits may be better
        job.headed, job.heads_from, job.heads_pay = False, job.PY.first + job.PY.count, -1
        job.X_packed = False
    elif headed:
        drop_heads(job)
    if job.best != NULL:
        for row in prange(X.count, nogil=True, schedule="guided", chunksize=64,
                          num_threads=threads_in(job.process, job.threads)):
            forget(job.best, X.first - job.best.first + row, Y.first, Y.first + Y.count)
        if job.same and not job.diagonal:
            for row in prange(Y.count, nogil=True, schedule="guided", chunksize=64,
                              num_threads=threads_in(job.process, job.threads)):
                forget(job.best, Y.first - job.best.second + row, X.first, X.first + X.count)
        if not headed:
            job.screen_from = screen_again(job)
    else:
        for thread in range(job.threads):
            job.pairs.found[thread].matches.used = job.pairs.found[thread].matches_before
            job.pairs.found[thread].runs.used = job.pairs.found[thread].runs_before
        if not headed:
            job.screen_from = -1
        if job.pairs.most:
            forget_most(job.pairs, X.first, X.first + X.count, Y.first, Y.first + Y.count)
            if not headed and job.pairs.limit < NEAR_ONE:     # a quarter nearer to 1
                job.pairs.retry = job.pairs.limit + (1 - job.pairs.limit) / 4
    return 0


cdef inline Py_ssize_t words_of(const Source* s) noexcept nogil:
    return ceil_div(s.features, SCREEN_STEP) * (SCREEN_STEP // QUAD)


cdef void quantize(const Pack* p, Py_ssize_t row, const real* room, Py_ssize_t panels,
                   Py_ssize_t panel, int lane) noexcept nogil:
    """The integers of LANES rows from `row` on, which are those from a lane on of room's panel-th
    panel, of `panels` side by side."""
    cdef vec t[QUAD]
    cdef vec r[QUAD]
    cdef vec largest = splat(0), sums = splat(0), squares = splat(0), factor
    cdef real lanes[3][LANES]
    cdef Py_ssize_t features = p.source.features, words = words_of(p.source), k, w
    cdef int32_t* left = NULL
    cdef int32_t* right = NULL
    cdef double unit, error
    cdef int i
    for k in range(features):
        t[0] = load(at_feature(room, panels, panel, k) + lane)
        largest = vmax(largest, vmax(t[0], -t[0]))
    store(lanes[0], largest)
    for i in range(LANES):
        lanes[1][i] = levels() / lanes[0][i] if lanes[0][i] > 0 else 0
    factor = load(lanes[1])
    if p.left != NULL:
        left = p.left + (row - lane) * words + lane
    if p.right != NULL:
        # a vector of words holds the rows of one panel, or of several
        right = p.right + row // WORDS * WORDS * words + row % WORDS
    for w in range(words):
        for i in range(QUAD):
            k = w * QUAD + i
            t[i] = splat(0)
            if k < features:
                t[i] = load(at_feature(room, panels, panel, k) + lane) * factor
            r[i] = nearest(t[i])
            sums = sums + r[i]
            squares = madd(t[i] - r[i], t[i] - r[i], squares)
        if right != NULL:
            pack_words(right + w * WORDS, r[0], r[1], r[2], r[3])
        if left != NULL:
            for i in range(QUAD):
                r[i] = r[i] + splat(raised())
            pack_words(left + w * PANEL, r[0], r[1], r[2], r[3])
    store(lanes[1], sums)
    store(lanes[2], squares)
    for i in range(LANES):
        unit = <double> lanes[0][i] * p.inverse[row + i] / levels() if row + i < p.count else 0
        error = unit * sqrt(<double> lanes[2][i]) * 1.001
        p.unit[row + i] = <float> unit
        p.error[row + i] = <float> (error + error * error / 2 + ROUNDING / 2)
        p.raised[row + i] = -raised() * <int32_t> lanes[1][i]


cdef inline const real* at_feature(const real* room, Py_ssize_t panels, Py_ssize_t panel,
                                   Py_ssize_t k) noexcept nogil:
    return room + ((k // BLOCK * panels + panel) * BLOCK + k % BLOCK) * PANEL


cdef int pack_columns(const Source* s, Py_ssize_t first, Py_ssize_t rows, real* room,
                      real* norm2) noexcept nogil:
    """The panels of SCREEN_COLUMNS rows, side by side, of which there are `rows`, and norms."""
    cdef Py_ssize_t panels = SCREEN_COLUMNS // PANEL, block, q
    cdef int status = 0
    for block in range(ceil_div(s.features, BLOCK)):
        for q in range(panels):
            status |= pack_panel(s, first + q * PANEL,
                                 at_least(0, at_most(PANEL, rows - q * PANEL)), block, NULL,
                                 room + (block * panels + q) * BLOCK * PANEL, block == 0,
                                 norm2 + q * PANEL)
    return status


cdef int screen_group(const Job* job, const Pack* p, Py_ssize_t group, int thread) noexcept nogil:
    """Norms and integers of one group of SCREEN_COLUMNS rows."""
    cdef real* room = <real*> (job.scratch + thread * job.scratch_bytes)
    cdef Py_ssize_t panels = SCREEN_COLUMNS // PANEL, first = group * SCREEN_COLUMNS, q
    cdef int v
    cdef int status = pack_columns(p.source, p.first + first, p.count - first, room,
                                   p.norm2 + first)
    status |= invert_norms(p, first, SCREEN_COLUMNS, job.zero_inverse)
    if not status & CARE:
        for q in range(panels):
            for v in range(VECS):
                quantize(p, first + q * PANEL + v * LANES, room, panels, q, v * LANES)
    return status


cdef inline void screen_tile(const int32_t* x, const int32_t* y, Py_ssize_t stride,
                             Py_ssize_t count, const int32_t* start, Py_ssize_t start_stride,
                             int32_t* sums, int rows, bint by_vnni) noexcept nogil:
    """sums[i, j] = start[i, j] + the dot products of `rows` rows by SCREEN_COLUMNS."""
    cdef ivec acc[VNNI_ROWS][SCREEN_VECS]    # no fewer than SCREEN_ROWS
    cdef ivec a, b, c, d
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(rows):
        for j in range(SCREEN_VECS):
            acc[i][j] = load_words(start + i * start_stride + j * WORDS)
    # one index, as in tile.pxi
    x += count * PANEL
    y += count * WORDS
    k = -count
    while k < 0:
        for i in range(rows):
            a = splat_word(x[k * PANEL + i])
            b = splat_word(x[(k + 1) * PANEL + i])
            for j in range(SCREEN_VECS):
                c = load_words(y + (j * stride + k) * WORDS)
                d = load_words(y + (j * stride + k + 1) * WORDS)
                if by_vnni:
                    acc[i][j] = add_vnni_dots(acc[i][j], a, c, b, d)
                else:
                    acc[i][j] = add_dots(acc[i][j], a, c, b, d)
        k += SCREEN_STEP // QUAD
    for i in range(rows):
        for j in range(SCREEN_VECS):
            store_words(sums + i * SCREEN_COLUMNS + j * WORDS, acc[i][j])


cdef inline uint64_t reaching(const int32_t* sums, Py_ssize_t columns, const Pack* X,
                              Py_ssize_t i, const Pack* Y, Py_ssize_t j, real limit,
                              const real* column_limits, uint64_t* column_bits) noexcept nogil:
    """`passing`, for cosines that may be at least `limit`."""
    cdef uint64_t bits = 0, own = 0, all_columns = ~<uint64_t> 0 >> (64 - columns)
    cdef fvec unit = splat_single(X.unit[i]), error = splat_single(X.error[i]), bound
    cdef fvec bar = splat_single(<float> limit)
    cdef int v
    for v in range(SCREEN_VECS):
        bound = (singles_of(load_words(sums + v * WORDS)) * load_singles(Y.unit + j + v * WORDS)
                 * unit + (load_singles(Y.error + j + v * WORDS) + error))
        bits |= <uint64_t> reach_bits(bound, bar) << (v * WORDS)
        if column_limits != NULL:
            own |= (<uint64_t> reach_bits(bound, load_limits(column_limits + v * WORDS))
                    << (v * WORDS))
    column_bits[0] = own & all_columns
    return bits & all_columns


cdef inline void multiply_words(const int32_t* left, const int32_t* right, Py_ssize_t words,
                                const int32_t* start, int32_t* sums, int rows,
                                bint by_vnni) noexcept nogil:
    """sums[i, j] = start[j] + the dot products of PANEL rows by SCREEN_COLUMNS."""
    # so many words at a time that those of Y stay in the first-level cache
    cdef Py_ssize_t most = ceil_div(words, ceil_div(words * SCREEN_COLUMNS * QUAD, NEAR))
    cdef Py_ssize_t k = 0, some, sub
    cdef int32_t* at
    most += most % 2
    while k < words:
        some = at_most(most, words - k)
        for sub in range(PANEL // rows):
            at = sums + sub * rows * SCREEN_COLUMNS
            screen_tile(left + k * PANEL + sub * rows, right + k * WORDS, words, some,
                        start if k == 0 else at, 0 if k == 0 else SCREEN_COLUMNS, at, rows,
                        by_vnni)
        k += some


cdef void screen_panel "screen_panel" (const int32_t* left, const int32_t* right,
                                       Py_ssize_t words, const int32_t* start,
                                       int32_t* sums) noexcept nogil:
    multiply_words(left, right, words, start, sums, SCREEN_ROWS, False)


cdef void vnni_panel "vnni_panel" (const int32_t* left, const int32_t* right,
                                   Py_ssize_t words, const int32_t* start,
                                   int32_t* sums) noexcept nogil:
    multiply_words(left, right, words, start, sums, VNNI_ROWS, True)


cdef inline bint too_many(const Source* s, int64_t met, int64_t let) noexcept nogil:
    return let > met // (LET_THROUGH + OVERHEAD // s.features) + ALLOWED


cdef void screen_task(Job* job, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t group,
                      Py_ssize_t group_stop, int thread) noexcept nogil:
    """The outputs of panels [first, stop) of X by groups of Y."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef int* status = job.status + thread * LINE
    cdef int32_t sums[PANEL * SCREEN_COLUMNS]
    cdef const int32_t* left
    cdef const int32_t* right
    cdef Waiting waiting
    cdef Py_ssize_t words = words_of(X.source), g, p, panels
    waiting.count = 0
    for g in range(group, group_stop):
        if too_many(X.source, status[SCREENED], status[LET]):
            status[0] |= TOO_CLOSE
        if status[0] & (TOO_CLOSE | OUT_OF_MEMORY):
            return
        panels = stop
        if job.diagonal:
            # the lower triangle is that of the upper one
            panels = at_most(stop, (g + 1) * (SCREEN_COLUMNS // PANEL))
        right = Y.right + g * SCREEN_COLUMNS * words
        for p in range(first, panels):
            left = X.left + p * PANEL * words
            if HAS_DOTS and vnni:
                vnni_panel(left, right, words, Y.raised + g * SCREEN_COLUMNS, sums)
            else:
                screen_panel(left, right, words, Y.raised + g * SCREEN_COLUMNS, sums)
            let_through(job, sums, p * PANEL, g * SCREEN_COLUMNS, &waiting, thread)
    settle_waiting(job, &waiting, thread)


cdef inline bint is_near(const Source* s) noexcept nogil:
    # rows are read in place, or converted in little time
    return s.native or (s.plain and (s.kind == FLOAT16 or s.kind == BFLOAT16 or s.itemsize == 1))


cdef inline const real* row_of(const Source* s, Py_ssize_t row) noexcept nogil:
    # of a source that is read in place
    return <const real*> (s.data + row * s.row_stride)


cdef inline real quick_dot(const real* x, const real* y, Py_ssize_t features) noexcept nogil:
    """The sum in the quickest order."""
    cdef vec acc[4]
    cdef Py_ssize_t k = 0
    cdef real dot
    cdef int q
    for q in range(4):
        acc[q] = splat(0)
    while k + 4 * LANES <= features:
        for q in range(4):
            acc[q] = madd(load(x + k + q * LANES), load(y + k + q * LANES), acc[q])
        k += 4 * LANES
    while k + LANES <= features:
        acc[0] = madd(load(x + k), load(y + k), acc[0])
        k += LANES
    dot = sum_of_lanes((acc[0] + acc[1]) + (acc[2] + acc[3]))
    while k < features:
        dot += load_one(x + k) * load_one(y + k)
        k += 1
    return dot


cdef real converted_dot(const Source* X, Py_ssize_t i, const Source* Y,
                        Py_ssize_t j) noexcept nogil:
    cdef real stage[2][BLOCK]
    cdef real dot = 0
    cdef Py_ssize_t block, count
    for block in range(ceil_div(X.features, BLOCK)):
        count = block_length(X.features, block)
        dot += quick_dot(lane_of(X, i, block, count, count, NULL, stage[0]),
                         lane_of(Y, j, block, count, count, NULL, stage[1]), count)
    return dot


cdef real nearly_cosine(const Job* job, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """The cosine of two rows to within ROUNDING, by sums in the quickest order."""
    cdef real dot
    if job.X.native and job.Y.native:
        dot = quick_dot(row_of(&job.X, job.PX.first + i), row_of(&job.Y, job.PY.first + j),
                        job.X.features)
    else:
        dot = converted_dot(&job.X, job.PX.first + i, &job.Y, job.PY.first + j)
    return dot * (job.PX.inverse[i] * job.PY.inverse[j])


cdef inline bint on_diagonal(const Job* job, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    # where (i, j) and (j, i) are both met
    return job.diagonal and i // SCREEN_COLUMNS == j // SCREEN_COLUMNS


cdef inline bint is_done(const Job* job, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    # of a zero row all cosines are 0, or NaN: where one does not count, none after it does
    return job.PX.norm2[i] == 0 and (
        job.zero_inverse != 0
        or not counts(job.best, job.PX.first - job.best.first + i, 0, job.PY.first + j))


cdef void let_through(Job* job, const int32_t* sums, Py_ssize_t i, Py_ssize_t j,
                      Waiting* waiting, int thread) noexcept nogil:
    """Who may belong to the result, of a panel of X from row i on by a group of Y from j on."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef const Best* best = job.best
    cdef int* status = job.status + thread * LINE
    cdef Py_ssize_t rows = at_most(PANEL, X.count - i), r
    cdef Py_ssize_t columns = at_most(SCREEN_COLUMNS, Y.count - j)
    cdef bint twice = on_diagonal(job, i, j)
    cdef uint64_t bits, column_bits, either
    cdef const real* limits = NULL
    cdef const real* column_limits = NULL
    cdef real limit, nearly
    cdef uint64_t passes
    cdef int c, count = 0, settled = 0
    if best != NULL:
        limits = best.limit + X.first - best.first + i
        if job.same and not twice:
            column_limits = best.limit + Y.first - best.second + j
    for r in range(rows):
        limit = load_acquire(&limits[r] if best != NULL else &job.pairs.limit)
        if column_limits == NULL:    # known beforehand, without a branch for each vector
            bits = reaching(sums + r * SCREEN_COLUMNS, columns, X, i + r, Y, j, limit, NULL,
                            &column_bits)
        else:
            bits = reaching(sums + r * SCREEN_COLUMNS, columns, X, i + r, Y, j, limit,
                            column_limits, &column_bits)
        if bits == 0 and column_bits == 0:
            continue
        if best == NULL and twice:
            bits &= after_diagonal(i + r - j, columns)
        elif best != NULL and is_done(job, i + r, j):
            bits = 0
        either = bits | column_bits
        while either:
            c = first_bit(either)
            either &= either - 1
            count += 1
            nearly = nearly_cosine(job, i + r, j + c) + <real> ROUNDING
            # no NaN, the cosine of a zero row for some users, is at least a limit
            passes = (bits >> c & 1) & (nearly >= limit)
            if column_limits != NULL:
                passes |= (column_bits >> c & 1) & (nearly >= load_acquire(&column_limits[c]))
            # without a branch, which would be guessed wrong every third time
            waiting.rows[waiting.count] = <int32_t> (i + r)
            waiting.columns[waiting.count] = <int32_t> (j + c)
            waiting.count += <Py_ssize_t> passes
            settled += <int> passes
            if waiting.count == AT_A_TIME:
                settle_waiting(job, waiting, thread)
    status[SCREENED] += <int> (rows * columns)
    status[LET] += count + TO_SETTLE * settled


cdef void settle(const Job* job, const Waiting* waiting, Py_ssize_t first,
                 real* cosines) noexcept nogil:
    """The cosines of LANES pairs from the first-th on: one in every lane."""
    cdef real stage[2][LANES * BLOCK]
    cdef const real* lane[2][LANES]
    cdef real lanes[4][LANES]        # inverse and rest of X, of Y
    cdef vec sum, total = splat(0)
    cdef Py_ssize_t block, length, padded, pair, row, column
    cdef bint single
    cdef int i
    for block in range(ceil_div(job.X.features, BLOCK)):
        length = block_length(job.X.features, block)
        padded = ceil_div(length, LANES) * LANES
        for i in range(LANES):
            pair = at_most(first + i, waiting.count - 1)     # one too many is computed once more
            lane[0][i] = lane_of(&job.X, job.PX.first + waiting.rows[pair], block, length, padded,
                                 NULL, stage[0] + i * BLOCK)
            lane[1][i] = lane_of(&job.Y, job.PY.first + waiting.columns[pair], block, length,
                                 padded, NULL, stage[1] + i * BLOCK)
        sum_block(True, lane[0], lane[1], NULL, NULL, padded, &sum, NULL)
        total = sum if block == 0 else total + sum
    for i in range(LANES):
        pair = at_most(first + i, waiting.count - 1)
        row, column = waiting.rows[pair], waiting.columns[pair]
        lanes[0][i], lanes[1][i] = job.PX.inverse[row], job.PX.rest[row]
        lanes[2][i], lanes[3][i] = job.PY.inverse[column], job.PY.rest[column]
    total = cosine(total, load(lanes[0]), load(lanes[1]), load(lanes[2]), load(lanes[3]), False)
    single = job.best.single if job.best != NULL else job.pairs.single
    store(cosines, to_single(total) if single else total)


cdef void settle_waiting(Job* job, Waiting* waiting, int thread) noexcept nogil:
    """To the lists or the pairs with those that belong there."""
    cdef real cosines[AT_A_TIME]
    cdef Found* found = NULL
    cdef Py_ssize_t q, row, column
    cdef bint both
    if waiting.count == 0:
        return
    for q in range(ceil_div(waiting.count, LANES)):
        settle(job, waiting, q * LANES, cosines + q * LANES)
    if job.pairs != NULL:
        found = &job.pairs.found[thread]
        if not reserve(&found.matches, AT_A_TIME * sizeof(Match)):
            job.status[thread * LINE] |= OUT_OF_MEMORY
            waiting.count = 0
            return
    for q in range(waiting.count):
        row, column = waiting.rows[q], waiting.columns[q]
        if job.pairs != NULL:
            if cosines[q] >= load_acquire(&job.pairs.limit):
                add_match(found, cosines[q], row, job.PY.first + column)
            continue
        both = job.same and not on_diagonal(job, row, column)
        row += job.PX.first
        column += job.PY.first
        if not (job.best.exclude_self and row == column):
            offer(job.best, row - job.best.first, cosines[q], column)
        if both:
            offer(job.best, column - job.best.second, cosines[q], row)
    waiting.count = 0
    if job.pairs != NULL and job.pairs.most and found.matches.used >= MATCHES * sizeof(Match):
        job.status[thread * LINE] |= keep_most(job.pairs, found)
