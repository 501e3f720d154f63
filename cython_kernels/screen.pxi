# The screen: where few pairs are wanted, most are ruled out by 7-bit integers, of which a vector
# holds four times as many as of float32. What may belong to the result is computed by `settle`, in
# the canonical order: the same bits, and nothing is missed.
#
# A unit row x is s q + e: q of integers from -LEVELS to LEVELS, s its scale, e what that leaves.
# By Cauchy and Schwarz |x.y - s t q.r| <= |e| + |f| + |e| |f| for y = t r + f, and the norms of e
# and f are known: where s t q.r with those added is less than the limit, so is the cosine.

cdef enum:
    LEVELS = 63
    RAISED = 64                      # added to the left side's integers: no sign, and 4 * 127 * 63
    #                                  still has room in 16 bits
    QUAD = 4                         # integers in a word
    SCREEN_STEP = 2 * QUAD           # features at a time
    SCREEN_COLUMNS = SCREEN_VECS * WORDS
    NEAR = 5 << 12                   # bytes of Y that are multiplied at a time
    LEAST_FEATURES = 64              # with less, or fewer rows, the screen costs more than it saves
    LEAST_ROWS = 96
    LEAST_COLUMNS = 512
    COLUMNS_EACH = 512               # for each of k neighbours, and of rows with few features
    PRODUCTS_EACH = 3 << 16          # so many that this is the features of as many columns
    MET_FIRST = 64                   # one column in so many is met without, for the first limits
    LATER = 4                        # so many times as far on the screen is tried once more
    ALLOWED = 4096                   # what the screen may let through before it is judged, a thread
    TOO_CLOSE = 8                    # a status: the screen lets too much through
    LET_THROUGH = 12                 # that is more than one in so many; who has to be settled
    TO_SETTLE = 3                    # counts so many times more
    SCREENED = 1                     # beside a thread's status: how many outputs it has met,
    LET = 2                          # and how many of them, so counted, it let through

cdef double ROUNDING = 2e-5          # the kernels' own rounding errors, and more than those


cdef bint can_screen(const Job* job) noexcept nogil:
    """Whether the screen may pay; whether it does is seen as the work goes on.

    Rows that have to be converted would be so for each cosine that is computed alone.
    """
    cdef Py_ssize_t n = job.X.rows, m = job.Y.rows, features = job.X.features
    return (SCREEN and job.X.native and job.Y.native
            and features >= LEAST_FEATURES and features <= SEGMENT * BLOCK
            and n >= LEAST_ROWS and m >= LEAST_COLUMNS
            and (job.best == NULL
                 or job.best.k <= m // at_least(COLUMNS_EACH, PRODUCTS_EACH // features)))


cdef Py_ssize_t screened_rows(const Job* job, Py_ssize_t rows_X, Py_ssize_t rows_Y) noexcept nogil:
    """How many rows of Y a superblock has: rows_Y without the screen."""
    cdef Py_ssize_t row_bytes = words_of(&job.X) * sizeof(int32_t), rows
    if job.screened and not job.same:
        rows = packed_bytes(job) // row_bytes * job.threads - rows_X
        rows = at_most(at_most(rows, LONGEST), patient_outputs(job) // rows_X)
        rows_Y = rounded(at_least(rows, 1))
    elif job.best != NULL and job.screen_from > job.PY.first and not job.same:
        rows_Y = at_most(rows_Y, job.screen_from - job.PY.first)
    return rows_Y


cdef int turn_screen(Job* job) except -1:
    """Whether the superblock at hand is screened; called where rows of X and Y begin."""
    cdef Py_ssize_t row, met = job.PX.first if job.same else job.PY.first
    cdef bint screened = job.screen_from >= 0 and not job.careful
    cdef int thread
    if job.best == NULL and job.pairs == NULL:
        return 0
    if job.best != NULL:
        # rows of both sides have lists where X is Y: those after X's first have met its rows
        screened = screened and (met >= job.screen_from or (job.same and met > 0))
        if screened and not job.screened:
            for row in range(job.best.rows):
                job.best.known[row] = job.best.count[row]
        if job.screened and not screened:
            for row in prange(job.best.rows, nogil=True, schedule="static",
                              num_threads=threads_in(job.process, job.threads)):
                settle_list(job.best, row)
    if job.pairs != NULL:
        for thread in range(job.threads):
            job.pairs.found[thread].matches_before = job.pairs.found[thread].matches.used
            job.pairs.found[thread].runs_before = job.pairs.found[thread].runs.used
    if screened != job.screened:
        job.screened, job.X_packed = screened, False
    return 0


cdef int undo_screened(Job* job) except -1:
    """The superblock at hand will be computed once more, without the screen."""
    cdef Py_ssize_t row
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef int thread
    if job.best != NULL:
        for row in prange(X.count, nogil=True, schedule="static",
                          num_threads=threads_in(job.process, job.threads)):
            forget(job.best, X.first - job.best.first + row, Y.first, Y.first + Y.count)
        if job.same and not job.diagonal:
            for row in prange(Y.count, nogil=True, schedule="static",
                              num_threads=threads_in(job.process, job.threads)):
                forget(job.best, Y.first - job.best.first + row, X.first, X.first + X.count)
        job.screen_from = -1 if job.same else LATER * at_least(Y.first, 1)
    else:
        for thread in range(job.threads):
            job.pairs.found[thread].matches.used = job.pairs.found[thread].matches_before
            job.pairs.found[thread].runs.used = job.pairs.found[thread].runs_before
        job.screen_from = -1
    return 0


cdef inline Py_ssize_t words_of(const Source* s) noexcept nogil:
    return ceil_div(s.features, SCREEN_STEP) * (SCREEN_STEP // QUAD)


cdef void quantize(const Pack* p, Py_ssize_t row, const real* room, Py_ssize_t panels,
                   Py_ssize_t panel) noexcept nogil:
    """The integers of the PANEL rows from `row` on: room's panel-th of `panels` side by side."""
    cdef vec t[QUAD]
    cdef vec r[QUAD]
    cdef vec largest = splat(0), sums = splat(0), squares = splat(0), factor
    cdef real lanes[3][PANEL]
    cdef Py_ssize_t features = p.source.features, words = words_of(p.source), k, w
    cdef int32_t* left = NULL
    cdef int32_t* right = NULL
    cdef double unit, error
    cdef int i
    for k in range(features):
        t[0] = load(at_feature(room, panels, panel, k))
        largest = vmax(largest, vmax(t[0], -t[0]))
    store(lanes[0], largest)
    for i in range(PANEL):
        lanes[1][i] = LEVELS / lanes[0][i] if lanes[0][i] > 0 else 0
    factor = load(lanes[1])
    if p.left != NULL:
        left = p.left + row * words
    if p.right != NULL:
        # a vector of words holds the rows of one panel, or of several
        right = p.right + row // WORDS * WORDS * words + row % WORDS
    for w in range(words):
        for i in range(QUAD):
            k = w * QUAD + i
            t[i] = splat(0)
            if k < features:
                t[i] = load(at_feature(room, panels, panel, k)) * factor
            r[i] = nearest(t[i])
            sums = sums + r[i]
            squares = madd(t[i] - r[i], t[i] - r[i], squares)
        if right != NULL:
            pack_words(right + w * WORDS, r[0], r[1], r[2], r[3])
        if left != NULL:
            for i in range(QUAD):
                r[i] = r[i] + splat(RAISED)
            pack_words(left + w * PANEL, r[0], r[1], r[2], r[3])
    store(lanes[1], sums)
    store(lanes[2], squares)
    for i in range(PANEL):
        unit = <double> lanes[0][i] * p.inverse[row + i] / LEVELS if row + i < p.count else 0
        error = unit * sqrt(<double> lanes[2][i]) * 1.001
        p.unit[row + i] = <float> unit
        p.error[row + i] = <float> (error + error * error / 2 + ROUNDING / 2)
        p.raised[row + i] = -RAISED * <int32_t> lanes[1][i]


cdef inline const real* at_feature(const real* room, Py_ssize_t panels, Py_ssize_t panel,
                                   Py_ssize_t k) noexcept nogil:
    return room + ((k // BLOCK * panels + panel) * BLOCK + k % BLOCK) * PANEL


cdef int screen_group(const Job* job, const Pack* p, Py_ssize_t group, int thread) noexcept nogil:
    """Norms and integers of one group of SCREEN_COLUMNS rows."""
    cdef real* room = <real*> (job.scratch + thread * job.scratch_bytes)
    cdef Py_ssize_t panels = SCREEN_COLUMNS // PANEL, first = group * SCREEN_COLUMNS, row, q, block
    cdef int status = 0
    for block in range(p.blocks):
        for q in range(panels):
            row = first + q * PANEL
            status |= pack_panel(p.source, p.first + row,
                                 at_least(0, at_most(PANEL, p.count - row)), block, NULL,
                                 room + (block * panels + q) * BLOCK * PANEL, block == 0,
                                 p.norm2 + row)
    status |= invert_norms(p, first, SCREEN_COLUMNS, job.zero_inverse)
    if not status & CARE:
        for q in range(panels):
            quantize(p, first + q * PANEL, room, panels, q)
    return status


cdef inline void screen_tile(const int32_t* x, const int32_t* y, Py_ssize_t stride,
                             Py_ssize_t count, const int32_t* start, Py_ssize_t start_stride,
                             int32_t* sums) noexcept nogil:
    """sums[i, j] = start[i, j] + the dot products of SCREEN_ROWS rows by SCREEN_COLUMNS."""
    cdef ivec acc[SCREEN_ROWS][SCREEN_VECS]
    cdef ivec a, b
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(SCREEN_ROWS):
        for j in range(SCREEN_VECS):
            acc[i][j] = load_words(start + i * start_stride + j * WORDS)
    # one index, as in tile.pxi
    x += count * PANEL
    y += count * WORDS
    k = -count
    while True:
        for i in range(SCREEN_ROWS):
            a = splat_word(x[k * PANEL + i])
            b = splat_word(x[(k + 1) * PANEL + i])
            for j in range(SCREEN_VECS):
                acc[i][j] = add_halves(
                    acc[i][j], dot_bytes(a, load_words(y + (j * stride + k) * WORDS)),
                    dot_bytes(b, load_words(y + (j * stride + k + 1) * WORDS)))
        k += SCREEN_STEP // QUAD
        if k == 0:
            break
    for i in range(SCREEN_ROWS):
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


cdef void screen(Job* job, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t group,
                 int thread) noexcept nogil:
    """`multiply`, for what the screen lets through."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef int* status = job.status + thread * LINE
    cdef int32_t sums[PANEL * SCREEN_COLUMNS]
    cdef int32_t* at
    cdef const int32_t* left
    cdef const int32_t* right
    cdef Py_ssize_t j = group * SCREEN_COLUMNS, columns = at_most(SCREEN_COLUMNS, Y.count - j)
    cdef Py_ssize_t words = words_of(X.source), p, sub, rows, k, some
    # so many words at a time that those of Y stay in the first-level cache
    cdef Py_ssize_t most = ceil_div(words, ceil_div(words * SCREEN_COLUMNS * QUAD, NEAR))
    cdef bint on_diagonal
    if status[LET] > status[SCREENED] // LET_THROUGH + ALLOWED:
        status[0] |= TOO_CLOSE
    if status[0] & (TOO_CLOSE | OUT_OF_MEMORY):
        return
    if job.diagonal:
        # the lower triangle is that of the upper one
        stop = at_most(stop, (group + 1) * (SCREEN_COLUMNS // PANEL))
    most += most % 2
    right = Y.right + j * words
    for p in range(first, stop):
        on_diagonal = job.diagonal and p * PANEL // SCREEN_COLUMNS == group
        rows = at_most(PANEL, X.count - p * PANEL)
        left = X.left + p * PANEL * words
        k = 0
        while k < words:
            some = at_most(most, words - k)
            for sub in range(PANEL // SCREEN_ROWS):
                at = sums + sub * SCREEN_ROWS * SCREEN_COLUMNS
                screen_tile(left + k * PANEL + sub * SCREEN_ROWS, right + k * WORDS, words, some,
                            Y.raised + j if k == 0 else at, 0 if k == 0 else SCREEN_COLUMNS, at)
            k += some
        status[SCREENED] += <int> (rows * columns)
        if job.best != NULL:
            status[LET] += offer(job.best, sums, rows, columns, X, p * PANEL, Y, j,
                                 job.same and not on_diagonal)
        else:
            status[LET] += note(job.pairs, &job.pairs.found[thread], sums, rows, columns, X,
                                p * PANEL, Y, j, on_diagonal, status)


cdef real nearly_cosine(const Sources* s, const Pack* X, Py_ssize_t i, const Pack* Y,
                        Py_ssize_t j) noexcept nogil:
    """The cosine of two rows to within ROUNDING, by sums in the quickest order."""
    cdef real stage[2][BLOCK]
    cdef real lanes[LANES]
    cdef const real* x
    cdef const real* y
    cdef vec acc[4]
    cdef Py_ssize_t block, length, padded, v
    cdef real dot = 0
    cdef int q
    for q in range(4):
        acc[q] = splat(0)
    for block in range(ceil_div(s.X.features, BLOCK)):
        length = block_length(s.X.features, block)
        padded = ceil_div(length, LANES) * LANES
        x = lane_of(s.X, X.first + i, block, length, padded, NULL, stage[0])
        y = lane_of(s.Y, Y.first + j, block, length, padded, NULL, stage[1])
        for v in range(padded // (4 * LANES)):
            for q in range(4):
                acc[q] = madd(load(x + (4 * v + q) * LANES), load(y + (4 * v + q) * LANES), acc[q])
        for v in range(padded // (4 * LANES) * 4, padded // LANES):
            acc[0] = madd(load(x + v * LANES), load(y + v * LANES), acc[0])
    store(lanes, (acc[0] + acc[1]) + (acc[2] + acc[3]))
    for q in range(LANES):
        dot += lanes[q]
    return dot * (X.inverse[i] * Y.inverse[j])


cdef inline bint is_done(const Best* best, Py_ssize_t row, const Pack* X, Py_ssize_t i,
                         int64_t index) noexcept nogil:
    # of a zero row all cosines are 0, or NaN: where one does not count, none after it does
    return X.norm2[i] == 0 and (best.sources.zero_inverse != 0 or not counts(best, row, 0, index))


cdef int offer(Best* best, const int32_t* sums, Py_ssize_t rows, Py_ssize_t columns,
               const Pack* X, Py_ssize_t i, const Pack* Y, Py_ssize_t j, bint both) noexcept nogil:
    """`select_panel`, for what may belong to the lists; how much that is, as LET counts."""
    cdef uint64_t bits, column_bits, either
    cdef const real* column_limits = NULL
    cdef Py_ssize_t r, row, column
    cdef real nearly
    cdef int c, count = 0
    if both:
        column_limits = best.limit + Y.first - best.first + j
    for r in range(rows):
        row = X.first - best.first + i + r
        bits = reaching(sums + r * SCREEN_COLUMNS, columns, X, i + r, Y, j,
                        load_acquire(&best.limit[row]), column_limits, &column_bits)
        if bits and is_done(best, row, X, i + r, Y.first + j):
            bits = 0
        either = bits | column_bits
        while either:
            c = first_bit(either)
            either &= either - 1
            column = Y.first - best.first + j + c
            nearly = nearly_cosine(&best.sources, X, i + r, Y, j + c) + <real> ROUNDING
            count += 1
            # no NaN, the cosine of a zero row for some users, is at least a limit
            if (bits >> c & 1 and nearly >= load_acquire(&best.limit[row])
                    and not (best.exclude_self and X.first + i + r == Y.first + j + c)):
                add_pending(best, row, Y.first + j + c)
                count += TO_SETTLE
            if column_bits >> c & 1 and nearly >= load_acquire(&best.limit[column]):
                add_pending(best, column, X.first + i + r)
                count += TO_SETTLE
    return count


cdef int note(const Pairs* pairs, Found* found, const int32_t* sums, Py_ssize_t rows,
              Py_ssize_t columns, const Pack* X, Py_ssize_t i, const Pack* Y, Py_ssize_t j,
              bint diagonal, int* status) noexcept nogil:
    """`collect_panel`, for what may be a pair; how much that is, as LET counts."""
    cdef uint64_t bits, unused
    cdef Py_ssize_t r
    cdef int c, count = 0
    for r in range(rows):
        bits = reaching(sums + r * SCREEN_COLUMNS, columns, X, i + r, Y, j, pairs.limit, NULL,
                        &unused)
        if diagonal:
            bits &= after_diagonal(i + r - j, columns)
        if bits == 0:
            continue
        if not reserve(&found.matches, SCREEN_COLUMNS * sizeof(Match)):
            status[0] |= OUT_OF_MEMORY
            return count
        while bits:
            c = first_bit(bits)
            bits &= bits - 1
            count += 1
            if nearly_cosine(&pairs.sources, X, i + r, Y, j + c) + <real> ROUNDING >= pairs.limit:
                add_match(found, 0, i + r, Y.first + j + c)
                count += TO_SETTLE
    return count


cdef void settle(const Sources* s, const int64_t* rows, const int64_t* columns, Py_ssize_t count,
                 real* cosines) noexcept nogil:
    """cosines[i] = cosine(X[rows[i]], Y[columns[i]]), i < count: a pair in every lane.

    `cosines`: room for a vector more.
    """
    cdef real stage[2][LANES * BLOCK]
    cdef const real* lane[2][LANES]
    cdef const char* after[2][LANES]
    cdef vec sum[3]
    cdef vec total[3]
    cdef real norms[6][LANES]        # squared, inverse and rest of X, of Y
    cdef Py_ssize_t batch, first, pair, block, length, padded
    cdef int i, q
    for q in range(3):
        total[q] = splat(0)
    for batch in range(ceil_div(count, LANES)):
        first = batch * LANES
        for block in range(ceil_div(s.X.features, BLOCK)):
            length = block_length(s.X.features, block)
            padded = ceil_div(length, LANES) * LANES
            for i in range(LANES):
                # a pair too many is computed once more
                pair = at_most(first + i, count - 1)
                lane[0][i] = lane_of(s.X, rows[pair], block, length, padded, NULL,
                                     stage[0] + i * BLOCK)
                lane[1][i] = lane_of(s.Y, columns[pair], block, length, padded, NULL,
                                     stage[1] + i * BLOCK)
                after[0][i] = <const char*> lane[0][i]
                after[1][i] = block_after(s.Y, columns[pair], block, 0)
                if (block + 1) * BLOCK >= s.X.features:
                    pair = at_most(pair + LANES, count - 1)
                    after[1][i] = block_after(s.Y, columns[pair], -1, 0)
            sum_block(lane[0], lane[1], after[0], after[1], padded, sum, NULL)
            for q in range(3):
                total[q] = sum[q] if block == 0 else total[q] + sum[q]
        for q in range(2):
            store(norms[3 * q], total[1 + q])
            for i in range(LANES):
                invert_norm(norms[3 * q][i], False, s.zero_inverse, &norms[3 * q + 1][i],
                            &norms[3 * q + 2][i])
        total[0] = cosine(total[0], load(norms[1]), load(norms[2]), load(norms[4]),
                          load(norms[5]), False)
        store(cosines + first, to_single(total[0]) if s.single else total[0])
