# Near: which rows' heads are near enough for their cosine to count (heads.pxi). WORDS rows of X, in
# one panel or (float64) two, meet a few groups of Y by the first words, in batches; who is near
# enough then is compared pair by pair, line after line. What is left is met by quick sums over all
# features, and settled, as what the screen lets through.
#
# takes: source.pxi, pack.pxi, pairs.pxi, plan.pxi, screen.pxi, directions.pxi, heads.pxi,
#        vectors.h, screen.h, bits.h, openmp.h
# gives: heads_task, bring_row, meet

cdef enum:
    HEADS_ALLOWED = 1 << 17      # outputs that let too much through, before the cascade is judged
    ANY = -(1 << 30)             # a bar that everything reaches
    NEAR_GROUPS = 8              # groups of Y that a panel of X meets in a row
    ROW_CODE = 512               # no fewer than their columns
    BROUGHT = 2048               # bytes of a row that are brought near; the rest comes by itself


cdef inline void heads_tile(const int32_t* x, const int32_t* y, Py_ssize_t count,
                            const int32_t* start, const int32_t* bars, const int32_t* halves,
                            const int32_t* column_bars, uint64_t* masks, int rows,
                            bint by_vnni) noexcept nogil:
    """masks[i]: a bit for each column whose start + dot product reaches the row's bar, or the row's
    half + the column's bar, where columns have some."""
    cdef ivec acc[VNNI_ROWS][SCREEN_VECS]
    cdef ivec a, b, c, d, bar
    cdef uint64_t bits
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(rows):
        for j in range(SCREEN_VECS):
            acc[i][j] = load_words(start + j * WORDS)
    x += count * PANEL
    y += count * WORDS
    k = -count
    while k < 0:
        for i in range(rows):
            a = splat_word(x[k * PANEL + i])
            b = splat_word(x[(k + 1) * PANEL + i])
            for j in range(SCREEN_VECS):
                c = load_words(y + (j * count + k) * WORDS)
                d = load_words(y + (j * count + k + 1) * WORDS)
                if by_vnni:
                    acc[i][j] = add_vnni_dots(acc[i][j], a, c, b, d)
                else:
                    acc[i][j] = add_dots(acc[i][j], a, c, b, d)
        k += SCREEN_STEP // QUAD
    for i in range(rows):
        bits = 0
        bar = splat_word(bars[i])
        for j in range(SCREEN_VECS):
            if column_bars != NULL:
                bar = min_words(splat_word(bars[i]), add_words(
                    splat_word(halves[i]), load_words(column_bars + j * WORDS)))
            bits |= <uint64_t> at_least_words(acc[i][j], bar) << (j * WORDS)
        masks[i] = bits


cdef inline void compare_heads(const int32_t* left, const int32_t* right, Py_ssize_t words,
                               const int32_t* start, const int32_t* bars, const int32_t* halves,
                               const int32_t* column_bars, Py_ssize_t count, uint64_t* masks,
                               int rows, bint by_vnni) noexcept nogil:
    cdef Py_ssize_t r = 0
    cdef const int32_t* x
    while r < count:
        x = left + r // PANEL * PANEL * words + r % PANEL
        if column_bars == NULL:
            heads_tile(x, right, words, start, bars + r, halves + r, NULL, masks + r, rows,
                       by_vnni)
        else:
            heads_tile(x, right, words, start, bars + r, halves + r, column_bars, masks + r, rows,
                       by_vnni)
        r += rows


cdef void heads_panel "heads_panel" (
        const int32_t* left, const int32_t* right, Py_ssize_t words, const int32_t* start,
        const int32_t* bars, const int32_t* halves, const int32_t* column_bars,
        Py_ssize_t count, uint64_t* masks) noexcept nogil:
    compare_heads(left, right, words, start, bars, halves, column_bars, count, masks, SCREEN_ROWS,
                  False)


cdef void vnni_heads_panel "vnni_heads_panel" (
        const int32_t* left, const int32_t* right, Py_ssize_t words, const int32_t* start,
        const int32_t* bars, const int32_t* halves, const int32_t* column_bars,
        Py_ssize_t count, uint64_t* masks) noexcept nogil:
    compare_heads(left, right, words, start, bars, halves, column_bars, count, masks, VNNI_ROWS,
                  True)


cdef struct Bars:                # of WORDS rows of X and NEAR_GROUPS groups of Y
    int32_t row[WORDS]           # what start + dot product must reach
    int32_t half[WORDS]
    int32_t line[WORDS]          # what |q - t|² of the first line must not exceed
    float reach[WORDS]           # how far apart rows may be
    int32_t column[NEAR_GROUPS * SCREEN_COLUMNS]
    int32_t column_line[NEAR_GROUPS * SCREEN_COLUMNS]
    float column_reach[NEAR_GROUPS * SCREEN_COLUMNS]


cdef struct Widest:              # errors of rows, over the first words and over the first line
    float first, line


cdef inline float steps_of(float reach, float per_unit) noexcept nogil:
    """The square of a distance in integers."""
    reach *= per_unit
    reach = reach if reach < 16384 else 16384          # which is more than any
    return reach * reach


cdef inline void set_bars(const float* reach, const float* errors, const Widest* widest,
                          float line_error, float per_unit, int count, int32_t* bar,
                          int32_t* line) noexcept nogil:
    # bar = -|q - t|² / 2 that may be; `line` the same for the whole first line, not halved. What is
    # compared are integers: none lies between a number and its integer part; halves of squares are
    # rounded down on their side, too
    cdef int r
    for r in range(count):
        bar[r] = -<int32_t> (<float> 0.5 * steps_of(reach[r] + errors[r] + widest.first, per_unit))
        line[r] = <int32_t> steps_of(reach[r] + line_error + widest.line, per_unit)


cdef void set_row_bars(const Job* job, Py_ssize_t i, Py_ssize_t count, Py_ssize_t j,
                       const Widest* widest, float line_error, Bars* bars) noexcept nogil:
    cdef const int32_t* half = job.PX.half + i
    cdef float limits[WORDS]
    cdef float limit = 1, reach
    cdef int r, padded = <int> count, rows = <int> at_most(count, job.PX.count - i)
    if job.best == NULL:
        limit = <float> load_acquire(&job.pairs.limit)
    reach = reach_of(limit)
    for r in range(padded):
        limits[r], bars.reach[r] = limit, reach
    if job.best != NULL:
        for r in range(rows):
            limits[r] = <float> limit_of(job, job.PX.first + i + r)
            bars.reach[r] = reach_of(limits[r])
    set_bars(bars.reach, job.PX.error + i, widest, line_error,
             1 / job.cascade.directions.unit[0], padded, bars.row, bars.line)
    for r in range(padded):          # zero rows have a cosine of 0 with all
        bars.half[r] = half[r] >> 1
        bars.row[r] = bars.row[r] + bars.half[r] if limits[r] > 0 else ANY
    for r in range(rows if job.best != NULL else 0):
        if is_done(job, i + r, j):   # of a zero row: none of its zeros from column j on
            bars.row[r] = -ANY


cdef void set_column_bars(const Job* job, Py_ssize_t j, Py_ssize_t columns, const Widest* widest,
                          float line_error, Bars* bars) noexcept nogil:
    cdef float limits[NEAR_GROUPS * SCREEN_COLUMNS]
    cdef int c
    for c in range(<int> columns):
        limits[c] = 1
    for c in range(<int> at_most(columns, job.PY.count - j)):
        limits[c] = <float> column_limit(job, job.PY.first + j + c)
    for c in range(<int> columns):
        bars.column_reach[c] = reach_of(limits[c])
    set_bars(bars.column_reach, job.PY.error + j, widest, line_error,
             1 / job.cascade.directions.unit[0], <int> columns, bars.column, bars.column_line)
    for c in range(<int> columns):
        bars.column[c] = bars.column[c] if limits[c] > 0 else ANY


cdef inline Widest widest_of(const Pack* p, Py_ssize_t group, Py_ssize_t stop) noexcept nogil:
    cdef Widest widest
    cdef Py_ssize_t g
    widest.first = widest.line = 0
    for g in range(group, stop):
        widest.first = p.widest[2 * g] if p.widest[2 * g] > widest.first else widest.first
        widest.line = p.widest[2 * g + 1] if p.widest[2 * g + 1] > widest.line else widest.line
    return widest


cdef inline uint64_t bits_from(Py_ssize_t place) noexcept nogil:
    # those from `place` on
    return 0 if place >= 64 else ~<uint64_t> 0 << at_least(place, 0)


cdef inline Py_ssize_t list_bits(const uint64_t* masks, Py_ssize_t rows, uint16_t column,
                                 uint16_t* list, Py_ssize_t n) noexcept nogil:
    """(row, column + place) of every bit, as row * ROW_CODE + that, behind the first n."""
    cdef Py_ssize_t r
    cdef uint64_t bits, some = 0, none = <uint64_t> 1 << 63
    cdef uint16_t code
    for r in range(rows):
        some |= <uint64_t> (masks[r] != 0) << r
    while some:
        r = first_bit(some)
        some &= some - 1
        bits = masks[r]
        code = <uint16_t> (r * ROW_CODE + column)
        # most rows have no more than two: no branch for these
        list[n] = code + <uint16_t> first_bit(bits)
        n += 1
        bits &= bits - 1
        list[n] = code + <uint16_t> first_bit(bits | none)
        n += bits != 0
        bits &= bits - 1
        while bits:
            list[n] = code + <uint16_t> first_bit(bits)
            bits &= bits - 1
            n += 1
    return n


cdef inline uint64_t first_lines_reach(const int8_t** x, const int8_t** y,
                                       const int32_t* least) noexcept nogil:
    # branches once, not for each product
    if HAS_DOTS and vnni:
        return heads_reach(x, y, VNNI_LEVELS + 1, True, least)
    return heads_reach(x, y, LEVELS + 1, False, least)


cdef Py_ssize_t keep_near "keep_near" (
        const int8_t* left, const int32_t* square, const int8_t* right,
        const int32_t* raised_square, Py_ssize_t lines, const int32_t* bars,
        const int32_t* column_bars, uint16_t* list, Py_ssize_t n) noexcept nogil:
    """Those of the list whose first lines are near enough; how many these are."""
    cdef const int8_t* x[HEADS_AT_ONCE]
    cdef const int8_t* y[HEADS_AT_ONCE]
    cdef int32_t least[HEADS_AT_ONCE]
    cdef Py_ssize_t kept = 0, q = 0, r, k
    cdef size_t at
    cdef int32_t bar
    cdef uint64_t near
    cdef int a
    if n > 0:
        for a in range(HEADS_AT_ONCE):
            list[n + a] = list[n - 1]
    while q < n:
        for a in range(HEADS_AT_ONCE):
            at = <size_t> alone(list[q + a])     # of no sign: shifts
            r, k = at // ROW_CODE, at % ROW_CODE
            bar = bars[r]
            if column_bars != NULL:
                bar = column_bars[k] if column_bars[k] > bar else bar
            x[a] = left + r * lines * HEAD
            y[a] = right + k * lines * HEAD
            # |q - t|² <= bar where q.t is no less than this
            bar = (square[r * lines] + raised_square[k * lines] - bar + 1) >> 1
            least[a] = <int32_t> alone(bar)
        near = first_lines_reach(x, y, least) & ~bits_from(n - q)
        while near:
            list[kept] = list[q + first_bit(near)]
            near &= near - 1
            kept += 1
        q += HEADS_AT_ONCE
    return kept


cdef Py_ssize_t keep_nearer(const Job* job, Py_ssize_t i, Py_ssize_t j, const Bars* bars,
                            bint both, Py_ssize_t lines, uint16_t* list,
                            Py_ssize_t n) noexcept nogil:
    """Those of the list whose heads of so many lines are near enough; how many these are."""
    cdef const Cascade* c = job.cascade
    cdef Py_ssize_t all_lines = c.directions.lines, kept = 0, q, row, column, line
    cdef float distance, reach
    cdef int r, k
    for q in range(n):
        r, k = list[q] // ROW_CODE, list[q] % ROW_CODE
        row, column = job.PX.first + i + r, job.PY.first + j + k
        reach = bars.reach[r]
        if both and bars.column_reach[k] > reach:
            reach = bars.column_reach[k]
        distance = 0
        for line in range(lines):
            distance += c.directions.unit[line] * c.directions.unit[line] * <float> (
                c.X.square[row * all_lines + line] + c.Y.raised[column * all_lines + line]
                - 2 * head_dot(c.X.line + (row * all_lines + line) * HEAD,
                               c.Y.line + (column * all_lines + line) * HEAD, raised(), vnni))
        reach += (c.X.error[row * (1 + all_lines) + lines]
                  + c.Y.error[column * (1 + all_lines) + lines])
        list[kept] = list[q]
        kept += distance <= reach * reach
    return kept


cdef Py_ssize_t list_near(const Job* job, Py_ssize_t p, Py_ssize_t count, Py_ssize_t group,
                          Py_ssize_t some, Bars* bars, bint both, uint16_t* list) noexcept nogil:
    """Who of `count` rows, from panel p on, by so many groups is near by the first words; how many
    these are."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef const int32_t* left = X.left + p * PANEL * job.cascade.words
    cdef const int32_t* right
    cdef const int32_t* column_bars
    cdef uint64_t masks[WORDS]
    cdef Py_ssize_t words = job.cascade.words, n = 0, g, q, r, columns
    cdef Py_ssize_t rows = at_most(count, X.count - p * PANEL)
    cdef bint twice
    for q in range(some):
        g = group + q
        columns = at_most(SCREEN_COLUMNS, Y.count - g * SCREEN_COLUMNS)
        if job.diagonal and p >= (g + 1) * (SCREEN_COLUMNS // PANEL):
            continue                 # the lower triangle is that of the upper one
        right = Y.right + g * SCREEN_COLUMNS * words
        twice = on_diagonal(job, p * PANEL, g * SCREEN_COLUMNS)
        column_bars = bars.column + q * SCREEN_COLUMNS if both and not twice else NULL
        if HAS_DOTS and vnni:
            vnni_heads_panel(left, right, words, Y.raised + g * SCREEN_COLUMNS, bars.row,
                             bars.half, column_bars, count, masks)
        else:
            heads_panel(left, right, words, Y.raised + g * SCREEN_COLUMNS, bars.row,
                        bars.half, column_bars, count, masks)
        if columns < SCREEN_COLUMNS:
            for r in range(rows):
                masks[r] &= ~bits_from(columns)
        if job.pairs != NULL and twice:
            for r in range(rows):
                masks[r] &= bits_from(p * PANEL + r + 1 - g * SCREEN_COLUMNS)
        n = list_bits(masks, rows, <uint16_t> (q * SCREEN_COLUMNS), list, n)
    return n


cdef void heads_task(Job* job, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t group,
                     Py_ssize_t group_stop, int thread) noexcept nogil:
    """The outputs of panels [first, stop) of X by groups of Y."""
    cdef const Pack* X = &job.PX
    cdef const Pack* Y = &job.PY
    cdef const Cascade* cascade = job.cascade
    cdef int* status = job.status + thread * LINE
    cdef uint16_t list[WORDS * NEAR_GROUPS * SCREEN_COLUMNS + HEADS_AT_ONCE]
    cdef Bars bars
    cdef Widest widest, own
    cdef Waiting near, waiting
    cdef Py_ssize_t lines = cascade.directions.lines, g, p, some, i, j, n, line, q, count
    cdef Py_ssize_t step = WORDS // PANEL
    cdef Py_ssize_t row, column
    cdef int64_t quick = <int64_t> (QUICK_COST * X.source.features)
    cdef int64_t all_words = words_of(X.source), words = cascade.words, spent = 0, met = 0
    cdef bint both = job.best != NULL and job.same
    cdef int hits
    near.count = waiting.count = 0
    own = widest_of(X, first * PANEL // SCREEN_COLUMNS,
                    ceil_div(at_most(stop * PANEL, X.count), SCREEN_COLUMNS))
    g = group
    while g < group_stop:
        if status[0] & (TOO_CLOSE | OUT_OF_MEMORY):
            return
        some = at_most(NEAR_GROUPS, group_stop - g)
        j = g * SCREEN_COLUMNS
        widest = widest_of(Y, g, g + some)
        if both:
            set_column_bars(job, j, some * SCREEN_COLUMNS, &own, widest.line, &bars)
        p = first
        while p < stop and not (job.diagonal and p >= (g + some) * (SCREEN_COLUMNS // PANEL)):
            # no more than up to where a group ends: rows are on the diagonal together
            count = (at_most(stop, (p // step + 1) * step) - p) * PANEL
            i = p * PANEL
            p += count // PANEL
            set_row_bars(job, i, count, j, &widest, own.line, &bars)
            n = list_near(job, i // PANEL, count, g, some, &bars, both, list)
            met += count * some * SCREEN_COLUMNS
            if words < HEAD_WORDS:
                spent += n * <int64_t> LINE_COST
                row, column = (X.first + i) * lines, (Y.first + j) * lines
                n = keep_near(cascade.X.line + row * HEAD, cascade.X.square + row,
                              cascade.Y.line + column * HEAD, cascade.Y.raised + column, lines,
                              bars.line, bars.column_line if both else NULL, list, n)
            for line in range(at_least(2, words // HEAD_WORDS + 1), lines + 1):
                spent += n * <int64_t> LINE_COST
                n = keep_nearer(job, i, j, &bars, both, line, list, n)
            spent += n * quick
            for q in range(n):
                near.rows[near.count] = <int32_t> (i + list[q] // ROW_CODE)
                near.columns[near.count] = <int32_t> (j + list[q] % ROW_CODE)
                bring_row(X.source, X.first + near.rows[near.count])
                bring_row(Y.source, Y.first + near.columns[near.count])
                near.count += 1
                if near.count == AT_A_TIME:
                    hits = meet_all(job, &near, both, &waiting, thread)
                    spent -= hits * quick
                    status[SETTLED] += hits
        status[SCREENED] += <int> (met // all_words)
        status[LET] += <int> (spent // all_words)
        met, spent = met % all_words, spent % all_words
        if (status[LET] > <int64_t> (all_words - batch_cost(words)) * status[SCREENED]
                + HEADS_ALLOWED
                or too_many(X.source, status[SCREENED] * all_words,
                            (1 + TO_SETTLE) * <int64_t> status[SETTLED])):
            status[0] |= TOO_CLOSE
        g += some
    meet_all(job, &near, both, &waiting, thread)
    settle_waiting(job, &waiting, thread)


cdef inline void bring_row(const Source* s, Py_ssize_t row) noexcept nogil:
    # what is read next, of a row's first pages, before it is met
    cdef const char* data = s.data + row * s.row_stride
    cdef Py_ssize_t k
    for k in range(at_most(s.features * s.itemsize, BROUGHT) // CACHE_LINE):
        prefetch_second(data + k * CACHE_LINE)


cdef int meet_all(Job* job, Waiting* near, bint both, Waiting* waiting, int thread) noexcept nogil:
    """Quick sums of those that are near: who may belong to the result is settled; how many these
    are."""
    cdef Py_ssize_t q, row, column
    cdef int hits = 0
    for q in range(near.count):
        row, column = near.rows[q], near.columns[q]
        hits += meet(job, row, column, both and not on_diagonal(job, row, column), waiting, thread)
    near.count = 0
    return hits


cdef inline bint meet(Job* job, Py_ssize_t i, Py_ssize_t j, bint both, Waiting* waiting,
                      int thread) noexcept nogil:
    cdef real nearly = nearly_cosine(job, i, j) + <real> ROUNDING
    cdef bint passes
    # no NaN, the cosine of a zero row for some users, is at least a limit
    passes = nearly >= limit_of(job, job.PX.first + i)
    if both:
        passes |= nearly >= column_limit(job, job.PY.first + j)
    waiting.rows[waiting.count] = <int32_t> i
    waiting.columns[waiting.count] = <int32_t> j
    waiting.count += passes
    if waiting.count == AT_A_TIME:
        settle_waiting(job, waiting, thread)
    return passes
