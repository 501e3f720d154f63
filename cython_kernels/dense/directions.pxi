# Directions: a few in which most of the rows' energy lies, from a sample of the rows; and whether
# heads along them pay (heads.pxi), by what a sample of the work tells.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, screen.pxi, vectors.h, openmp.h
# gives: HEAD, HEAD_WORDS, MOST_LINES, DIRECTIONS, SAMPLED_ROWS, JUDGED_X, JUDGED_Y, Directions,
#        GRID, LINE_COST, QUICK_COST, PAYS, forced, unit_row, reach_of, lead_all, most_sampled,
#        batch_cost, project_all, set_units, limit_of, column_limit, outputs_of, room_to_find,
#        judged_rows, words_of_known, find_directions
#
# Any directions are right, as heads.pxi proves, as long as no singular value of theirs is above 1:
# that is measured. These are leading eigenvectors of the sample's second moments, more or less: two
# rounds of orthogonal iteration (Rutishauser 1969) with few rows, and where the work is long one
# more with many. Each 16 of them are then turned among themselves (Hadamard), so that no coordinate
# is much larger than others and 8 bits serve all well.

cdef enum:
    HEAD = 64                    # coordinates in a line of heads
    HEAD_WORDS = HEAD // QUAD
    MOST_LINES = 3
    DIRECTIONS = MOST_LINES * HEAD
    SAMPLED_ROWS = 256           # a line, at least; more of them the longer the work to come
    MOST_SAMPLED = 2048
    SAMPLED_ELEMENTS = 1 << 21   # of no more than so many rows
    ROUNDS = 2
    MET_ROWS = TILE_ROWS         # of a sample, by so many directions or features
    MET_VECS = 2
    MET_COLUMNS = MET_VECS * LANES
    TURNED = 16                  # directions, among themselves; all of a long batch
    LONG_BATCH = 2 * HEAD_WORDS
    GRID = 1 << 14               # of directions and unit rows, as integers of 16 bits: project.pxi
    JUDGED_X = 64                # rows whose heads are compared, to see what pays
    JUDGED_Y = 256
    CHECKS = 9

cdef struct Directions:
    Py_ssize_t features, lines
    int levels                   # of the integers
    real* rows                   # [lines * HEAD][features]
    float unit[MOST_LINES]       # what an integer stands for, in each line

# after so many coordinates shares are taken
cdef int[CHECKS] CHECKED = [16, 24, 32, 40, 48, 56, 64, 128, 192]

# costs, an output, in words of the batched steps: about 0.02 ns of one thread each
cdef double BATCH_COST = 10          # a batched step: bars, masks and lists
cdef double WORD_COST = 0.6          # of heads, which are compared in registers
cdef double LINE_COST = 200          # one line of a pair
cdef double QUICK_COST = 12          # a feature of a quick cosine, of rows that are far
cdef double PROJECTED_COST = 1.2     # a multiply-add of a row's heads
cdef double FOUND_COST = 150         # a feature, line and sampled row, to improve directions,
cdef double SOUGHT = 4               # so many times more to find them
cdef double FINDING = 0.25           # an output's share of that, from which on fewer are sampled
cdef double TO_GAIN = 0.8            # of the least cost: what cannot save more is not looked for
cdef double HOPELESS = 0.95          # what one line leaves where more lines leave too much
cdef double TRIED = 0.01             # of the screen's cost, for directions that may be for nothing
cdef double PAYS = 0.85              # of what the screen costs
cdef double CUT = 0.8                # of the largest coordinate in the sample, that have integers
cdef double GRID_PART = 1 - 1.0 / 512    # what rounding to integers adds to norms is less
cdef double SCREEN_ERROR = 0.02      # by how much the screen's bound is above a cosine

cdef struct Forced:              # by tests
    int lines, words             # 0: as it pays
    real* rows                   # directions to be used, or NULL
    Py_ssize_t features
    uint32_t headed              # superblocks that went by heads since; by any thread
    Py_ssize_t block             # rows of a block: blocks.pxi
    Py_ssize_t superblock        # rows of a superblock: plan.pxi

cdef Forced forced


cdef inline void add_times(real* to, const real* row, real factor,
                           Py_ssize_t features) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(features):
        to[k] += factor * row[k]


cdef void unit_row(const Source* s, Py_ssize_t row, real* to) noexcept nogil:
    """The row divided by its norm; zeros where that is out of the ordinary range."""
    cdef Py_ssize_t b, k
    cdef real norm2
    for b in range(ceil_div(s.features, BLOCK)):
        convert(s, row, b * BLOCK, block_length(s.features, b), to + b * BLOCK)
    norm2 = quick_dot(to, to, s.features)
    if not NORM2_LOW <= norm2 <= NORM2_HIGH:
        memset(to, 0, s.features * sizeof(real))
        return
    norm2 = <real> (1 / sqrt(<double> norm2))
    for k in range(s.features):
        to[k] *= norm2


cdef inline void products_of(const real* x, Py_ssize_t x_row, Py_ssize_t x_step, const real* y,
                             Py_ssize_t y_step, Py_ssize_t count, real* to,
                             Py_ssize_t to_row) noexcept nogil:
    """to[i, j] = the sum of x[i, k] y[k, j]: MET_ROWS rows of MET_COLUMNS."""
    cdef vec acc[MET_ROWS][MET_VECS]
    cdef vec own[MET_VECS]
    cdef vec factor
    cdef Py_ssize_t k
    cdef int i, j
    for i in range(MET_ROWS):
        for j in range(MET_VECS):
            acc[i][j] = splat(0)
    for k in range(count):
        for j in range(MET_VECS):
            own[j] = load(y + k * y_step + j * LANES)
        for i in range(MET_ROWS):
            factor = splat(x[i * x_row + k * x_step])
            for j in range(MET_VECS):
                acc[i][j] = madd(factor, own[j], acc[i][j])
    for i in range(MET_ROWS):
        for j in range(MET_VECS):
            store(to + i * to_row + j * LANES, acc[i][j])


cdef void across(const real* rows, Py_ssize_t features, real* to) noexcept nogil:
    """to[k, i] = rows[i, k] of HEAD rows."""
    cdef Py_ssize_t i, k
    for k in range(features):
        for i in range(HEAD):
            to[k * HEAD + i] = rows[i * features + k]


cdef void meet_line(const real* rows, Py_ssize_t features, const real* turned,
                    real* dots) noexcept nogil:
    """dots[i, j]: of MET_ROWS rows with the HEAD that lie `across`."""
    cdef Py_ssize_t j
    for j in range(HEAD // MET_COLUMNS):
        products_of(rows, features, 1, turned + j * MET_COLUMNS, HEAD, features,
                    dots + j * MET_COLUMNS, HEAD)


cdef void add_up(const real* sample, Py_ssize_t count, const real* dots, Py_ssize_t features,
                 Py_ssize_t at, real* to) noexcept nogil:
    """MET_COLUMNS features, from `at` on, of HEAD sums of the sample's rows times their dots."""
    cdef real own[MET_ROWS * MET_COLUMNS]
    # the last ones lie in the last whole vectors; none is written twice
    cdef Py_ssize_t first = at_most(at, features - MET_COLUMNS), more = at - first, d, i
    for d in range(HEAD // MET_ROWS):
        products_of(dots + d * MET_ROWS, 1, HEAD, sample + first, features, count, own,
                    MET_COLUMNS)
        for i in range(MET_ROWS):
            memcpy(to + (d * MET_ROWS + i) * features + at, own + i * MET_COLUMNS + more,
                   (MET_COLUMNS - more) * sizeof(real))


cdef void sketch(const real* sample, Py_ssize_t count, Py_ssize_t line, Py_ssize_t features,
                 real* to) noexcept nogil:
    """HEAD directions to begin with: of the sample's rows, added or subtracted by chance, each
    belongs to one (Clarkson and Woodruff 2013)."""
    cdef uint32_t chance = <uint32_t> line * <uint32_t> 747796405 + 1
    cdef Py_ssize_t s
    memset(to, 0, HEAD * features * sizeof(real))
    for s in range(count):
        chance = chance * <uint32_t> 1664525 + <uint32_t> 1013904223
        add_times(to + s % HEAD * features, sample + s * features, 1 if chance >> 31 else -1,
                  features)


cdef void iterate(const Job* job, const real* sample, Py_ssize_t count, Py_ssize_t features,
                  real* rows, real* room) noexcept nogil:
    """HEAD directions become the sample's second moments times them."""
    cdef real* dots = room + DIRECTIONS * features
    cdef Py_ssize_t i
    cdef int threads = threads_in(job.process, job.threads)
    across(rows, features, room)
    for i in prange(count // MET_ROWS, num_threads=threads, schedule="dynamic", chunksize=2):
        meet_line(sample + i * MET_ROWS * features, features, room, dots + i * MET_ROWS * HEAD)
    for i in prange(ceil_div(features, MET_COLUMNS), num_threads=threads, schedule="dynamic"):
        add_up(sample, count, dots, features, i * MET_COLUMNS, rows)


cdef void orthonormalize(real* rows, Py_ssize_t first, Py_ssize_t count, Py_ssize_t features,
                         int times) noexcept nogil:
    """Those from the first-th on: each less what lies along those before, of norm 1; zeros where
    nothing is left. Twice makes them so to the last digits."""
    cdef Py_ssize_t i, j, k
    cdef real before, norm2 = 0
    cdef int time
    for i in range(first, count):
        before = quick_dot(rows + i * features, rows + i * features, features)
        for time in range(times):
            for j in range(i):
                add_times(rows + i * features, rows + j * features,
                          -quick_dot(rows + i * features, rows + j * features, features), features)
        norm2 = quick_dot(rows + i * features, rows + i * features, features)
        norm2 = 1 / <real> sqrt(<double> norm2) if norm2 > before * <real> 1e-8 else 0
        for k in range(features):
            rows[i * features + k] = rows[i * features + k] * norm2 if norm2 != 0 else 0


cdef void turn(real* rows, Py_ssize_t features, Py_ssize_t count, Py_ssize_t step) noexcept nogil:
    # `count` rows times Hadamard's matrix, which is orthogonal; done already below `step`
    cdef Py_ssize_t i, k
    cdef real a, b
    while step < count:
        for i in range(count):
            if i & step == 0:
                for k in range(features):
                    a, b = rows[i * features + k], rows[(i + step) * features + k]
                    rows[i * features + k] = (a + b) * <real> 0.7071067811865476
                    rows[(i + step) * features + k] = (a - b) * <real> 0.7071067811865476
        step *= 2


cdef double square_bound(const real* rows, Py_ssize_t count, Py_ssize_t features) noexcept nogil:
    """No singular value of theirs, squared, is above it; infinite where it is not a number."""
    # ‖B‖² is no more than the largest sum of magnitudes in a row of BᵀB; each of these is off by
    # less than `off` of the norms' product
    cdef double sums[DIRECTIONS]
    cdef double most = 0, dot
    cdef double off = (features // (4 * LANES) + 2 * LANES + 8) * (1e-15 if IS_DOUBLE else 6e-8)
    cdef Py_ssize_t i, j
    memset(sums, 0, sizeof(sums))
    for i in range(count):
        for j in range(i + 1):
            dot = quick_dot(rows + i * features, rows + j * features, features)
            dot = dot if dot >= 0 else -dot
            sums[i] += dot
            sums[j] += dot if j < i else 0
    for i in range(count):
        most = sums[i] if not sums[i] <= most else most
    return most * (1 + count * off) if most <= <double> REAL_MAX else INFINITY


cdef bint contract(real* rows, Py_ssize_t count, Py_ssize_t features) noexcept nogil:
    """Scales directions so that none of their singular values is above 1; False where that cannot
    be: one is not a number, or too large."""
    cdef double most
    cdef Py_ssize_t k
    cdef real factor
    cdef int time
    for time in range(4):
        most = square_bound(rows, count, features)
        if most <= 1:
            return True
        if most == INFINITY:
            return False
        factor = <real> ((1 - (1 + time) * 1e-6) / sqrt(most))
        for k in range(count * features):
            rows[k] *= factor
    return False


cdef bint to_grid(real* rows, Py_ssize_t count, Py_ssize_t features) noexcept nogil:
    """Makes their elements multiples of 1 / GRID; True where no singular value is above 1 then."""
    cdef Py_ssize_t k
    cdef int time
    for time in range(8):
        for k in range(count * features):
            rows[k] = <real> (rint(<double> rows[k] * GRID_PART * GRID) / GRID)
        if square_bound(rows, count, features) <= 1:
            return True
    return False


cdef inline float reach_of(float limit) noexcept nogil:
    """How far apart unit rows may be whose cosine, as computed, is at least `limit`."""
    # a cosine's own error is less than 8e-6: what is left of ROUNDING is more than all that floats
    # lose from here to where distances are compared, ten roundings of 2^-24 of less than 2²
    cdef float squared = 2 * (<float> (1 + ROUNDING) - limit)
    return sqrtf(squared if squared > 0 else 0)


cdef void take_sample(const Job* job, Py_ssize_t count, real* sample) noexcept nogil:
    """Y's rows, evenly spaced ones."""
    cdef Py_ssize_t i
    for i in prange(count, num_threads=threads_in(job.process, job.threads), schedule="dynamic",
                    chunksize=16):
        unit_row(&job.Y, job.first_Y + i * rows_of_Y(job) // count, sample + i * job.X.features)


cdef void turn_batches(Directions* d) noexcept nogil:
    # and back, if they are
    cdef Py_ssize_t i
    for i in range(d.lines * HEAD // TURNED):
        turn(d.rows + i * TURNED * d.features, d.features, TURNED, 1)


cdef bint lead(Job* job, Directions* d, real* sample, real* room) noexcept nogil:
    """One line more of leading directions, from few rows; False where there are none."""
    cdef Py_ssize_t features = d.features, count, line = d.lines
    cdef real* own = d.rows + line * HEAD * features
    cdef int time
    if forced.rows != NULL and forced.features == features:
        d.lines += 1
        memcpy(d.rows, forced.rows, d.lines * HEAD * features * sizeof(real))
    else:
        turn_batches(d)              # as they were found, and of norm 1, which `contract` took
        orthonormalize(d.rows, 0, line * HEAD, features, 1)
        d.lines += 1
        count = whole_rows(at_most(d.lines * SAMPLED_ROWS, rows_of_Y(job)))
        take_sample(job, count, sample)
        sketch(sample, count, line, features, own)
        for time in range(ROUNDS):
            orthonormalize(d.rows, line * HEAD, d.lines * HEAD, features, 1)
            iterate(job, sample, count, features, own, room)
        orthonormalize(d.rows, line * HEAD, d.lines * HEAD, features, 2)
        turn_batches(d)
    return contract(d.rows, d.lines * HEAD, features)


cdef bint improve(Job* job, Directions* d, int rounds, real* sample, real* room) noexcept nogil:
    """The same lines from more rows, where the work is long; False where there are none."""
    cdef Py_ssize_t features = d.features, count = sampled_rows(job, d.lines), line
    cdef int time
    if forced.rows != NULL and forced.features == features:
        return True
    take_sample(job, count, sample)
    turn_batches(d)
    for time in range(rounds):
        for line in range(d.lines):
            iterate(job, sample, count, features, d.rows + line * HEAD * features, room)
        orthonormalize(d.rows, 0, d.lines * HEAD, features, 1 if time + 1 < rounds else 2)
    turn_batches(d)
    return contract(d.rows, d.lines * HEAD, features)


cdef bint lead_all(Job* job, Directions* d, Py_ssize_t lines, real* sample,
                   real* room) noexcept nogil:
    """So many lines at once; False where there are none."""
    d.lines = 0
    while d.lines < lines:
        if not lead(job, d, sample, room):
            return False
    return improve(job, d, ROUNDS, sample, room)


cdef inline Py_ssize_t whole_rows(Py_ssize_t count) noexcept nogil:
    # as `iterate` wants them; one row may be there twice
    return at_least(1, count // MET_ROWS) * MET_ROWS


cdef inline Py_ssize_t most_sampled(const Job* job) noexcept nogil:
    return at_least(MOST_LINES * SAMPLED_ROWS,
                    at_most(MOST_SAMPLED, SAMPLED_ELEMENTS // job.X.features))


cdef inline double finding_cost(const Job* job, Py_ssize_t lines) noexcept nogil:
    # an output's share for each sampled row; none where it is for many calls
    return 0 if job.lasting else FOUND_COST * lines * job.X.features / outputs_of(job)


cdef inline double projecting_cost(const Job* job, Py_ssize_t lines) noexcept nogil:
    return 0 if job.lasting else (PROJECTED_COST * lines * HEAD * job.X.features / outputs_of(job)
                                  * (job.Y.rows + (0 if job.same else job.X.rows)))


cdef Py_ssize_t sampled_rows(const Job* job, Py_ssize_t lines) noexcept nogil:
    cdef double count = min(FINDING / finding_cost(job, lines), most_sampled(job))
    return whole_rows(at_most(at_least(lines * SAMPLED_ROWS, <Py_ssize_t> count), rows_of_Y(job)))


cdef inline double batch_cost(Py_ssize_t words) noexcept nogil:
    return BATCH_COST + WORD_COST * words


cdef double cost_of(const double* share, int words, Py_ssize_t lines, double quick) noexcept nogil:
    """Of an output by heads of so many lines, their first `words` in batches: see the costs above.
    `share`: what part of the outputs is left after CHECKED coordinates."""
    cdef double cost = batch_cost(words), left = share[6 + lines - 1]
    cdef Py_ssize_t line
    if words < HEAD_WORDS:
        cost += share[words // 2 - 2] * LINE_COST
    for line in range(at_least(1, words // HEAD_WORDS), lines):
        cost += share[6 + line - 1] * LINE_COST
    return cost + left * quick


cdef double cheapest(const double* share, Py_ssize_t lines, double quick,
                     int* words) noexcept nogil:
    """The least of these costs, and its words in batches: of one line, or of two whole ones."""
    cdef double cost, least = INFINITY
    cdef int w
    for w in range(4, <int> at_most(LONG_BATCH, lines * HEAD_WORDS) + 1, 2):
        if w <= HEAD_WORDS or w == LONG_BATCH:
            cost = cost_of(share, w, lines, quick)
            if cost < least:
                least, words[0] = cost, w
    return least


cdef struct Judged:              # what take_shares compares
    const Job* job
    const Directions* d
    const Py_ssize_t* rows_X
    const Py_ssize_t* rows_Y
    const real* heads            # of Y [k, j], then of X [i, k]
    const real* cosines          # [j, i]
    int passed[JUDGED_X][CHECKS]
    int through[JUDGED_X]


cdef void judge_row(Judged* judged, Py_ssize_t i) noexcept nogil:
    cdef const Job* job = judged.job
    cdef const Directions* d = judged.d
    cdef float distance[JUDGED_Y]
    cdef float reaches[JUDGED_Y]
    cdef float difference, error, own
    cdef real h, limit = limit_of(job, judged.rows_X[i]), own_limit
    cdef double squared = 0
    cdef Py_ssize_t count = d.lines * HEAD, j, k
    cdef int check = 0, passed
    judged.through[i] = 0
    for j in range(JUDGED_Y):
        distance[j] = 0
        own_limit = limit
        if job.same and job.best != NULL:
            own_limit = column_limit(job, judged.rows_Y[j])
        own_limit = own_limit if own_limit < limit else limit
        reaches[j] = reach_of(<float> own_limit)
        if job.same and judged.rows_X[i] == judged.rows_Y[j]:
            reaches[j] = -8          # nothing is as near
        judged.through[i] += judged.cosines[j * HEAD + i] + <real> SCREEN_ERROR >= own_limit
    for k in range(count):
        h = judged.heads[JUDGED_Y * count + i * count + k]
        for j in range(JUDGED_Y):
            difference = <float> (judged.heads[k * JUDGED_Y + j] - h)
            distance[j] += difference * difference
        squared += d.unit[k // HEAD] * d.unit[k // HEAD] / 12     # of rounding, on average
        if k + 1 == CHECKED[check]:
            error = 2 * <float> sqrt(squared)
            passed = 0
            for j in range(JUDGED_Y):
                own = reaches[j] + error
                own = own if own > 0 else 0
                passed += distance[j] <= own * own
            judged.passed[i][check] = passed
            check += 1


cdef void take_shares(const Job* job, Directions* d, const real* X, const real* Y,
                      const Py_ssize_t* rows_X, const Py_ssize_t* rows_Y, real* heads,
                      double* share, double* present) noexcept nogil:
    """What part of the outputs of sampled rows is left after CHECKED coordinates; `present`: what
    the screen lets through, about."""
    cdef Judged judged
    cdef real* spare = heads + (JUDGED_X + JUDGED_Y) * DIRECTIONS
    cdef real* cosines = spare + DIRECTIONS * d.features
    cdef Py_ssize_t i
    cdef int check, threads = threads_in(job.process, job.threads)
    project_all(job, d, X, Y, heads)
    set_units(d, heads, 0)
    across(X, d.features, spare)     # JUDGED_X rows, which are as many as HEAD
    for i in prange(JUDGED_Y // MET_ROWS, schedule="dynamic", num_threads=threads):
        meet_line(Y + i * MET_ROWS * d.features, d.features, spare, cosines + i * MET_ROWS * HEAD)
    memset(&judged, 0, sizeof(judged))
    judged.job, judged.d, judged.rows_X, judged.rows_Y = job, d, rows_X, rows_Y
    judged.heads, judged.cosines = heads, cosines
    for i in prange(JUDGED_X, schedule="dynamic", chunksize=4, num_threads=threads):
        judge_row(&judged, i)
    memset(share, 0, CHECKS * sizeof(double))
    present[0] = 0
    for i in range(JUDGED_X):
        for check in range(CHECKS):
            share[check] += <double> judged.passed[i][check] / (JUDGED_X * JUDGED_Y)
        present[0] += <double> judged.through[i] / (JUDGED_X * JUDGED_Y)


cdef void project_all(const Job* job, const Directions* d, const real* X, const real* Y,
                      real* heads) noexcept nogil:
    """heads[k, j] of Y, then heads[i, k] of X."""
    cdef Py_ssize_t count = d.lines * HEAD, features = d.features, line, j
    cdef real* turned = heads + (JUDGED_X + JUDGED_Y) * DIRECTIONS
    cdef int threads = threads_in(job.process, job.threads)
    for line in range(d.lines):
        across(d.rows + line * HEAD * features, features, turned)
        for j in prange((JUDGED_Y + JUDGED_X) // MET_ROWS, schedule="dynamic", chunksize=2,
                        num_threads=threads):
            project_rows(d, X, Y, j * MET_ROWS, line, turned, heads)


cdef void project_rows(const Directions* d, const real* X, const real* Y, Py_ssize_t row,
                       Py_ssize_t line, const real* turned, real* heads) noexcept nogil:
    """One line of the heads of MET_ROWS rows, of Y, then of X."""
    cdef real dots[MET_ROWS * HEAD]
    cdef Py_ssize_t count = d.lines * HEAD, i, k
    if row >= JUDGED_Y:
        row -= JUDGED_Y
        meet_line(X + row * d.features, d.features, turned, dots)
        for i in range(MET_ROWS):
            memcpy(heads + JUDGED_Y * count + (row + i) * count + line * HEAD, dots + i * HEAD,
                   HEAD * sizeof(real))
        return
    meet_line(Y + row * d.features, d.features, turned, dots)
    for k in range(HEAD):
        for i in range(MET_ROWS):
            heads[(line * HEAD + k) * JUDGED_Y + row + i] = dots[i * HEAD + k]


cdef void set_units(Directions* d, const real* heads, int words) noexcept nogil:
    """What an integer stands for in each line. Coordinates that need more than there are, are few
    and cut off: that takes less from distances than larger units, and with them all errors, would.
    Any units are right (heads.pxi), so that no result, and no test of results, can tell them."""
    cdef Py_ssize_t line, k
    cdef real largest, h
    for line in range(d.lines):
        largest = <real> 1e-3
        for k in range(line * HEAD * JUDGED_Y, (line + 1) * HEAD * JUDGED_Y):
            h = heads[k] if heads[k] >= 0 else -heads[k]
            largest = h if h > largest else largest
        d.unit[line] = <float> (largest * CUT / d.levels)
    for line in range(words // HEAD_WORDS):
        # a batch adds up integers of several lines: what stands for more serves all of these
        for k in range(words // HEAD_WORDS):
            d.unit[line] = d.unit[k] if d.unit[k] > d.unit[line] else d.unit[line]


cdef inline real limit_of(const Job* job, Py_ssize_t row) noexcept nogil:
    if job.best == NULL:
        return load_acquire(&job.pairs.limit)      # which may rise, where only the best are kept
    return load_acquire(&job.best.limit[row - job.best.first])


cdef inline real column_limit(const Job* job, Py_ssize_t row) noexcept nogil:
    # where the columns are rows that have lists, too
    return load_acquire(&job.best.limit[row - job.best.second])


cdef double outputs_of(const Job* job) noexcept nogil:
    return <double> job.X.rows * rows_of_Y(job) / (2 if job.same and job.first_Y == 0 else 1)


cdef size_t room_to_find(const Job* job) noexcept nogil:
    """Bytes that `find_directions` needs, its result first."""
    return ((2 * DIRECTIONS + most_sampled(job) + JUDGED_X + JUDGED_Y + 1) * job.X.features
            + (JUDGED_X + JUDGED_Y) * DIRECTIONS + most_sampled(job) * HEAD) * sizeof(real)


cdef void judged_rows(const Job* job, Py_ssize_t* rows_X, Py_ssize_t* rows_Y, real* X,
                      real* Y) noexcept nogil:
    """The rows that tell what pays, as unit rows."""
    cdef Py_ssize_t features = job.X.features, m = job.stop_Y - job.from_Y, i
    cdef int threads = threads_in(job.process, job.threads)
    for i in range(JUDGED_X):
        rows_X[i] = job.PX.first + i * job.PX.count // JUDGED_X
    for i in range(JUDGED_Y):
        # others than those that the directions come from
        rows_Y[i] = at_most(job.from_Y + i * m // JUDGED_Y + m // JUDGED_Y // 3 + 1,
                            job.stop_Y - 1)
    for i in prange(JUDGED_X, schedule="dynamic", chunksize=16, num_threads=threads):
        unit_row(&job.X, rows_X[i], X + i * features)
    for i in prange(JUDGED_Y, schedule="dynamic", chunksize=16, num_threads=threads):
        unit_row(&job.Y, rows_Y[i], Y + i * features)


cdef int words_of_known(const Job* job, const Directions* d, real* room) noexcept nogil:
    """How many words of the heads that are there are compared in batches; 0: they do not pay."""
    cdef Py_ssize_t features = job.X.features
    cdef Py_ssize_t rows_X[JUDGED_X]
    cdef Py_ssize_t rows_Y[JUDGED_Y]
    cdef real* Y = room + JUDGED_X * features
    cdef double quick = QUICK_COST * features, share[CHECKS], present, cost, least
    cdef Directions own = d[0]
    cdef int words = 0, w
    if forced.lines > 0:
        return <int> at_most(forced.words, HEAD_WORDS)
    judged_rows(job, rows_X, rows_Y, room, Y)
    take_shares(job, &own, room, Y, rows_X, rows_Y, Y + JUDGED_Y * features, share, &present)
    least = PAYS * (words_of(&job.X) + present * quick)
    for w in range(4, LONG_BATCH + 1, 2):
        if w > HEAD_WORDS and (w < LONG_BATCH or d.lines == 1 or d.unit[0] != d.unit[1]):
            continue
        cost = cost_of(share, w, d.lines, quick)
        if cost < least:
            least, words = cost, w
    return words


cdef bint may_pay(const Job* job, const double* share, Py_ssize_t lines,
                  double least) noexcept nogil:
    """Whether heads of so many lines could cost much less than `least`, if the last one left
    nothing."""
    cdef double row = finding_cost(job, lines), sought = SOUGHT * row * lines * SAMPLED_ROWS, found
    cdef double own[CHECKS]
    cdef int words = 0
    # top-k without a threshold has no limits to begin with: nobody knows what heads will leave
    if (job.best != NULL and job.best.floors == NULL and job.best.least <= -2
            and sought > TRIED * words_of(&job.X)):
        return False
    memcpy(own, share, sizeof(own))
    own[6 + lines - 1] = 0
    found = sought + row * sampled_rows(job, lines) + projecting_cost(job, lines)
    return found + cheapest(own, lines, QUICK_COST * job.X.features, &words) < TO_GAIN * least


cdef int find_directions(Job* job, Directions* d, real* room) noexcept nogil:
    """Directions along which heads pay; returns how many words of them in batches; 0: none."""
    cdef Py_ssize_t features = job.X.features, chosen = 0, lines
    cdef Py_ssize_t rows_X[JUDGED_X]
    cdef Py_ssize_t rows_Y[JUDGED_Y]
    cdef real* sample = room + DIRECTIONS * features
    cdef real* X = sample + most_sampled(job) * features
    cdef real* Y = X + JUDGED_X * features
    cdef real* heads = Y + JUDGED_Y * features
    cdef real* spare = heads + (JUDGED_X + JUDGED_Y) * DIRECTIONS
    cdef double quick = QUICK_COST * features, share[CHECKS], present, cost, least
    cdef int words = 0, w = 0
    d.features, d.rows, d.levels, d.lines = features, room, levels(), 0
    memset(share, 0, sizeof(share))
    if forced.lines == 0 and not may_pay(job, share, 1, PAYS * words_of(&job.X)):
        return 0
    judged_rows(job, rows_X, rows_Y, X, Y)
    while True:
        if not lead(job, d, sample, spare):
            return 0
        if d.lines < forced.lines:
            continue
        take_shares(job, d, X, Y, rows_X, rows_Y, heads, share, &present)
        words, least = 0, PAYS * (words_of(&job.X) + present * quick)
        if forced.lines > 0:
            words, chosen = forced.words, d.lines
            break
        for lines in range(1, d.lines + 1):
            cost = cheapest(share, lines, quick, &w) + projecting_cost(job, lines)
            if cost < least:
                least, words, chosen = cost, w, lines
        if (d.lines == MOST_LINES or (d.lines + 1) * HEAD > features
                or share[6] > HOPELESS or not may_pay(job, share, d.lines + 1, least)):
            break
    if words == 0:
        return 0
    d.lines = chosen
    if forced.lines == 0 and sampled_rows(job, chosen) > chosen * SAMPLED_ROWS:
        if not improve(job, d, 1, sample, spare):
            return 0
        take_shares(job, d, X, Y, rows_X, rows_Y, heads, share, &present)
        cheapest(share, chosen, quick, &words)
    if words > HEAD_WORDS:           # one unit for all lines of the batch
        turn(d.rows, features, words * QUAD, TURNED)
        project_all(job, d, X, Y, heads)
        set_units(d, heads, words)
    return words if to_grid(d.rows, chosen * HEAD, features) else 0
