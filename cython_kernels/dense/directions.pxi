# Directions: a few in which most of the rows' energy lies, from a sample of the rows; and whether
# heads along them pay (heads.pxi), by what a sample of the work tells.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, screen.pxi, vectors.h, openmp.h
# gives: HEAD, HEAD_WORDS, MOST_LINES, DIRECTIONS, SAMPLED_ROWS, JUDGED_X, JUDGED_Y, Directions,
#        GRID, LINE_COST, QUICK_COST, PAYS, forced, unit_row, reach_of, lead, most_sampled,
#        batch_cost, project_all, set_units, limit_of, column_limit, outputs_of, room_to_find,
#        judged_rows, words_of_known, find_directions
#
# Any directions are right, as heads.pxi proves, as long as no singular value of theirs is above 1:
# that is measured. These are leading eigenvectors of the sample's second moments, more or less: a
# few rounds of orthogonal iteration (Rutishauser 1969), each 16 of them then turned among
# themselves (Hadamard), so that no coordinate is much larger than others and 8 bits serve all well.

cdef enum:
    HEAD = 64                    # coordinates in a line of heads
    HEAD_WORDS = HEAD // QUAD
    MOST_LINES = 3
    DIRECTIONS = MOST_LINES * HEAD
    SAMPLED_ROWS = 256           # a line, at least; more of them the longer the work to come
    MOST_SAMPLED = 2048
    SAMPLED_ELEMENTS = 1 << 21   # of no more than so many rows
    ROUNDS = 3
    ITERATED = 4                 # directions, together
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
cdef double FOUND_COST = 750         # a feature, line and sampled row, to find directions
cdef double FINDING = 0.5            # an output's share of that, from which on fewer are sampled
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


cdef inline void add_four_times(const vec* factors, const real* row, Py_ssize_t features,
                                real* to) noexcept nogil:
    """to[i] += factors[i] * row, of four that lie one after the other."""
    cdef Py_ssize_t k = 0
    cdef vec own
    cdef int i
    while k + LANES <= features:
        own = load(row + k)
        for i in range(ITERATED):
            store(to + i * features + k, madd(factors[i], own, load(to + i * features + k)))
        k += LANES
    while k < features:
        for i in range(ITERATED):
            to[i * features + k] += (<const real*> (factors + i))[0] * row[k]
        k += 1


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
    norm2 = <real> (1 / sqrt(<double> norm2)) if NORM2_LOW <= norm2 <= NORM2_HIGH else 0
    for k in range(s.features):
        to[k] = to[k] * norm2 if norm2 != 0 else 0


cdef void iterate(const real* sample, Py_ssize_t count, const real* directions, uint32_t seed,
                  Py_ssize_t features, real* to) noexcept nogil:
    """to = the sample's second moments times ITERATED directions; without any, its rows added or
    subtracted by turns of chance."""
    cdef Py_ssize_t s
    cdef uint32_t chance[ITERATED]
    cdef vec factors[ITERATED]
    cdef int i
    for i in range(ITERATED):
        chance[i] = (seed + i) * <uint32_t> 747796405 + 1
    memset(to, 0, ITERATED * features * sizeof(real))
    for s in range(count):
        for i in range(ITERATED):
            if directions == NULL:
                chance[i] = chance[i] * <uint32_t> 1664525 + <uint32_t> 1013904223
                factors[i] = splat(1 if chance[i] >> 31 else -1)
            else:
                factors[i] = splat(quick_dot(sample + s * features, directions + i * features,
                                             features))
        add_four_times(factors, sample + s * features, features, to)


cdef void orthonormalize(real* rows, Py_ssize_t count, Py_ssize_t features) noexcept nogil:
    """Each less what lies along those before, of norm 1; zeros where nothing is left."""
    cdef Py_ssize_t i, j, k
    cdef real before, norm2 = 0
    cdef int time
    for i in range(count):
        before = quick_dot(rows + i * features, rows + i * features, features)
        for time in range(2):
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
    cdef double most = 0, row, dot
    cdef double off = (features // (4 * LANES) + 2 * LANES + 8) * (1e-15 if IS_DOUBLE else 6e-8)
    cdef Py_ssize_t i, j
    for i in range(count):
        row = 0
        for j in range(count):
            dot = quick_dot(rows + i * features, rows + j * features, features)
            row += dot if dot >= 0 else -dot
        most = row if not row <= most else most
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


cdef int lead(Job* job, Directions* d, Py_ssize_t lines, real* sample, real* room) noexcept nogil:
    """Leading directions of Y's rows, evenly spaced ones; False where there are none."""
    cdef Py_ssize_t count = sampled_rows(job, lines), features = d.features
    cdef Py_ssize_t wanted = lines * HEAD, i
    cdef int time, threads = threads_in(job.process, job.threads)
    d.lines = lines
    if forced.rows != NULL and forced.features == features:
        memcpy(d.rows, forced.rows, wanted * features * sizeof(real))
    else:
        for i in prange(count, num_threads=threads, schedule="dynamic", chunksize=16):
            unit_row(&job.Y, job.first_Y + i * rows_of_Y(job) // count, sample + i * features)
        for time in range(1 + ROUNDS):
            for i in prange(wanted // ITERATED, num_threads=threads, schedule="dynamic"):
                iterate(sample, count, NULL if time == 0 else d.rows + i * ITERATED * features,
                        <uint32_t> (i * ITERATED), features, room + i * ITERATED * features)
            memcpy(d.rows, room, wanted * features * sizeof(real))
            orthonormalize(d.rows, wanted, features)
        for i in range(wanted // TURNED):
            turn(d.rows + i * TURNED * features, features, TURNED, 1)
    return contract(d.rows, wanted, features)


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
    return at_most(at_least(lines * SAMPLED_ROWS, <Py_ssize_t> count), rows_of_Y(job))


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


cdef void take_shares(const Job* job, Directions* d, const real* X, const real* Y,
                      const Py_ssize_t* rows_X, const Py_ssize_t* rows_Y, real* heads,
                      double* share, double* present) noexcept nogil:
    """What part of the outputs of sampled rows is left after CHECKED coordinates; `present`: what
    the screen lets through, about."""
    cdef float own, error
    cdef float distance[JUDGED_Y]
    cdef float reaches[JUDGED_Y]
    cdef float difference
    cdef real h, limit, own_limit
    cdef double squared
    cdef Py_ssize_t count = d.lines * HEAD, i, j, k
    cdef int check, passed[CHECKS]
    cdef int through = 0
    project_all(job, d, X, Y, heads)
    set_units(d, heads, 0)
    memset(passed, 0, sizeof(passed))
    for i in range(JUDGED_X):
        limit = limit_of(job, rows_X[i])
        for j in range(JUDGED_Y):
            distance[j] = 0
            own_limit = column_limit(job, rows_Y[j]) if job.same and job.best != NULL else limit
            own_limit = own_limit if own_limit < limit else limit
            reaches[j] = reach_of(<float> own_limit)
            if job.same and rows_X[i] == rows_Y[j]:
                reaches[j] = -1
            h = quick_dot(X + i * d.features, Y + j * d.features, d.features)
            through += h + <real> SCREEN_ERROR >= own_limit
        check = 0
        squared = 0
        for k in range(count):
            h = heads[JUDGED_Y * count + i * count + k]
            for j in range(JUDGED_Y):
                difference = <float> (heads[k * JUDGED_Y + j] - h)
                distance[j] += difference * difference
            squared += d.unit[k // HEAD] * d.unit[k // HEAD] / 12     # of rounding, on average
            if k + 1 == CHECKED[check]:
                error = 2 * <float> sqrt(squared)
                for j in range(JUDGED_Y):
                    own = reaches[j] + error
                    passed[check] += reaches[j] >= 0 and distance[j] <= own * own
                check += 1
    for check in range(CHECKS):
        share[check] = <double> passed[check] / (JUDGED_X * JUDGED_Y)
    present[0] = <double> through / (JUDGED_X * JUDGED_Y)


cdef void project_all(const Job* job, const Directions* d, const real* X, const real* Y,
                      real* heads) noexcept nogil:
    """heads[k, j] of Y, then heads[i, k] of X."""
    cdef Py_ssize_t count = d.lines * HEAD, j
    for j in prange(JUDGED_Y + JUDGED_X, schedule="dynamic", chunksize=16,
                    num_threads=threads_in(job.process, job.threads)):
        project(d, X + (j - JUDGED_Y) * d.features if j >= JUDGED_Y else Y + j * d.features,
                heads + (JUDGED_Y * count + (j - JUDGED_Y) * count if j >= JUDGED_Y else j),
                1 if j >= JUDGED_Y else JUDGED_Y)


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


cdef inline void project(const Directions* d, const real* row, real* to,
                         Py_ssize_t stride) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(d.lines * HEAD):
        to[k * stride] = quick_dot(row, d.rows + k * d.features, d.features)


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
    return (2 * DIRECTIONS + most_sampled(job) + JUDGED_X + JUDGED_Y + 1) * (
        job.X.features * sizeof(real)) + (JUDGED_X + JUDGED_Y) * DIRECTIONS * sizeof(real)


cdef void judged_rows(const Job* job, Py_ssize_t* rows_X, Py_ssize_t* rows_Y, real* X,
                      real* Y) noexcept nogil:
    """The rows that tell what pays, as unit rows."""
    cdef Py_ssize_t features = job.X.features, m = job.stop_Y - job.from_Y, i
    for i in range(JUDGED_X):
        rows_X[i] = job.PX.first + i * job.PX.count // JUDGED_X
        unit_row(&job.X, rows_X[i], X + i * features)
    for i in range(JUDGED_Y):
        # others than those that the directions come from
        rows_Y[i] = at_most(job.from_Y + i * m // JUDGED_Y + m // JUDGED_Y // 3 + 1,
                            job.stop_Y - 1)
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
    """Whether heads of so many lines could cost less than `least`, if the last one left nothing."""
    cdef double row = finding_cost(job, lines), tried = row * lines * SAMPLED_ROWS, found
    cdef double own[CHECKS]
    cdef int words = 0
    # top-k without a threshold has no limits to begin with: nobody knows what heads will leave
    if (job.best != NULL and job.best.floors == NULL and job.best.least <= -2
            and tried > TRIED * words_of(&job.X)):
        return False
    memcpy(own, share, sizeof(own))
    own[6 + lines - 1] = 0
    found = row * sampled_rows(job, lines) + projecting_cost(job, lines)
    return found + cheapest(own, lines, QUICK_COST * job.X.features, &words) < least


cdef int find_directions(Job* job, Directions* d, real* room) noexcept nogil:
    """Directions along which heads pay; returns how many words of them in batches; 0: none."""
    cdef Py_ssize_t features = job.X.features, chosen = 0, lines, most
    cdef Py_ssize_t rows_X[JUDGED_X]
    cdef Py_ssize_t rows_Y[JUDGED_Y]
    cdef real* sample = room + DIRECTIONS * features
    cdef real* X = sample + most_sampled(job) * features
    cdef real* Y = X + JUDGED_X * features
    cdef real* heads = Y + JUDGED_Y * features
    cdef real* spare = heads + (JUDGED_X + JUDGED_Y) * DIRECTIONS
    cdef double quick = QUICK_COST * features, share[CHECKS], present, cost, least
    cdef int words = 0, w = 0
    d.features, d.rows, d.levels = features, room, levels()
    memset(share, 0, sizeof(share))
    most = at_least(1, forced.lines)
    if forced.lines == 0 and not may_pay(job, share, 1, PAYS * words_of(&job.X)):
        return 0
    judged_rows(job, rows_X, rows_Y, X, Y)
    while True:
        if not lead(job, d, most, sample, spare):
            return 0
        take_shares(job, d, X, Y, rows_X, rows_Y, heads, share, &present)
        words, least = 0, PAYS * (words_of(&job.X) + present * quick)
        if forced.lines > 0:
            words, chosen = forced.words, most
            break
        for lines in range(1, most + 1):
            cost = cheapest(share, lines, quick, &w) + projecting_cost(job, lines)
            if cost < least:
                least, words, chosen = cost, w, lines
        if (most == MOST_LINES or (most + 1) * HEAD > features
                or share[6] > HOPELESS or not may_pay(job, share, most + 1, least)):
            break
        most += 1
    if words == 0:
        return 0
    if words > HEAD_WORDS:           # one unit for all lines of the batch
        turn(d.rows, features, words * QUAD, TURNED)
    d.lines = chosen
    if not to_grid(d.rows, chosen * HEAD, features):
        return 0
    project_all(job, d, X, Y, heads)
    set_units(d, heads, words)
    return words
