# Prepared rows: what is found out about a corpus once, and kept: norms, heads along directions that
# serve any query (heads.pxi), and what is read first, in panels. search.pxi uses all this.
#
# takes: kernels.pyx, source.pxi, pack.pxi, pairs.pxi, plan.pxi, screen.pxi, directions.pxi,
#        heads.pxi, cascade.pxi, blocks.pxi, integers.pxi, vectors.h, screen.h, panels.h,
#        memory.h, openmp.h
# gives: Kept, measure_panel, round_axes, prepare, prepare_join, kept_of, know, keep
#
# Where few directions hold little of the rows' energy, the rows themselves take the place of heads:
# directions are then the axes, whose singular values are 1, and all that heads.pxi says holds.

cdef enum:
    ANY_LEVELS = 127             # of integers that any machine may have prepared
    LEAST_AXES = 64              # features, from which on rows in 8 bits are kept
    MOST_AXES = 8192             # whose distances have room in 32 bits
    AXES_WORDS = MOST_AXES // QUAD
    MOST_PROJECTED = 4096        # features that directions may have
    CHANCE = 4                   # standard deviations above the mean: about what neighbours have

# what is saved by a line of heads must be more than that part of what is read
cdef double WORTH = 0.03
cdef double EXPECTED_ERROR = 0.006   # what rounding leaves of a row's head

cdef struct Kept:                # of all rows of Y
    Directions directions        # no lines: the axes, with one unit
    Py_ssize_t words             # of a row in panels
    Heads heads                  # norms; lines, where there are directions
    int32_t* panels              # [PANEL_ROWS rows][word][row]: the first line, or the whole row
    int32_t* starts              # [row]: |q|² of that, and twice the sum of raised q
    float* widest                # the largest error of that
    char* guard                  # of it


cdef int measure_panel(const Source* source, Py_ssize_t row, const Heads* h) noexcept nogil:
    """The norms of up to PANEL rows."""
    cdef real panel[PANEL * BLOCK]
    cdef real own[PANEL]
    cdef Py_ssize_t rows = at_most(PANEL, source.rows - row), b, i
    cdef int status = 0
    for b in range(ceil_div(source.features, BLOCK)):
        status |= pack_panel(source, row, rows, b, NULL, panel, b == 0, own)
    for i in range(rows):
        h.norm2[row + i] = own[i]
        status |= invert_norm(own[i], False, 0, h.inverse + row + i, h.rest + row + i)
    return status


cdef void round_axes(const Source* s, Py_ssize_t row, real inverse, float unit, Py_ssize_t words,
                     int8_t* to, int32_t* square, int32_t* start, float* error,
                     int step) noexcept nogil:
    """`round_head`, of a whole row."""
    cdef real part[BLOCK]
    cdef real rounded[BLOCK]
    cdef vec t, r, squares, sums, errors = splat(0)
    cdef vec factor = splat(<real> (inverse / unit)), most = splat(ANY_LEVELS)
    cdef Py_ssize_t b, k, count, padded
    square[0] = start[0] = 0
    memset(to, 0, words * QUAD)
    for b in range(ceil_div(s.features, BLOCK)):
        count = block_length(s.features, b)
        padded = ceil_div(count, LANES) * LANES
        convert(s, row, b * BLOCK, count, part)
        for k in range(count, padded):
            part[k] = 0
        squares = sums = splat(0)
        for k in range(padded // LANES):
            t = vmax(-most, vmin(most, load(part + k * LANES) * factor))
            r = nearest_multiple(t, ANY_LEVELS, step)
            store(rounded + k * LANES, r)
            squares = madd(r, r, squares)
            sums = sums + r
            errors = madd(t - r, t - r, errors)
        for k in range(count):
            to[b * BLOCK + k] = <int8_t> rounded[k]
        square[0] += <int32_t> sum_of_lanes(squares)
        start[0] = raised_square(start[0], ANY_LEVELS, <int32_t> sum_of_lanes(sums))
    start[0] += square[0]
    # squares of errors are 1 at most, and their sum is off by far less than a thousandth
    error[0] = <float> (unit * sqrt(1.001 * <double> sum_of_lanes(errors)) + HEAD_ROUNDING)


cdef inline void to_panels(const Kept* kept, Py_ssize_t row, const int32_t* words) noexcept nogil:
    cdef int32_t* to = (kept.panels + row // PANEL_ROWS * kept.words * PANEL_ROWS
                        + row % PANEL_ROWS)
    cdef Py_ssize_t w
    for w in range(kept.words):
        to[w * PANEL_ROWS] = words[w]


cdef int keep_projected(const Cascade* cascade, const Kept* kept, const Source* s, Py_ssize_t row,
                        Py_ssize_t first, float* widest) noexcept nogil:
    """PANEL rows of `s` from `row` on, which are the corpus's from first + row on."""
    cdef int8_t line[PANEL * DIRECTIONS]
    cdef int32_t words[2][PANEL * MOST_LINES]
    cdef float error[PANEL * (1 + MOST_LINES)]
    cdef real norms[3][PANEL]
    cdef Py_ssize_t rows = at_most(PANEL, s.rows - row), lines = cascade.directions.lines, i
    cdef Source part = s[0]
    cdef Heads own
    cdef Heads to = heads_from(&kept.heads, first + row, lines)
    cdef int status
    own.line, own.square, own.raised, own.error = line, words[0], words[1], error
    own.norm2, own.inverse, own.rest = norms[0], norms[1], norms[2]
    part.data, part.rows = s.data + row * s.row_stride, rows
    status = head_panel(cascade, &own, &part, 0, 0)
    if status & CARE:
        return status
    memcpy(to.line, line, rows * lines * HEAD)
    memcpy(to.square, words[0], rows * lines * sizeof(int32_t))
    memcpy(to.raised, words[1], rows * lines * sizeof(int32_t))
    memcpy(to.error, error, rows * (1 + lines) * sizeof(float))
    memcpy(to.norm2, norms[0], rows * sizeof(real))
    memcpy(to.inverse, norms[1], rows * sizeof(real))
    memcpy(to.rest, norms[2], rows * sizeof(real))
    for i in range(rows):
        if kept.words > 0:
            kept.starts[first + row + i] = words[1][i * lines]
            to_panels(kept, first + row + i, <const int32_t*> (line + i * lines * HEAD))
        widest[0] = max(widest[0], error[i * (1 + lines) + 1])
    return status


cdef int keep_panel(const Cascade* cascade, const Kept* kept, const Source* s, Py_ssize_t row,
                    Py_ssize_t first, float* widest) noexcept nogil:
    """The same whatever is kept."""
    cdef int32_t words[AXES_WORDS]
    cdef Heads own = heads_from(&kept.heads, first, 0)
    cdef Py_ssize_t i
    cdef int32_t square
    cdef float error
    cdef int status
    if kept.directions.lines > 0:
        return keep_projected(cascade, kept, s, row, first, widest)
    status = measure_panel(s, row, &own)
    if status & CARE:
        return status                # not a number has no nearest integer
    for i in range(row, at_most(row + PANEL, s.rows) if kept.words > 0 else row):
        round_axes(s, i, own.inverse[i], kept.directions.unit[0], kept.words, <int8_t*> words,
                   &square, kept.starts + first + i, &error, 1)
        to_panels(kept, first + i, words)
        widest[0] = max(widest[0], error)
    return status


cdef int keep_task(const Job* job, const Kept* kept, Py_ssize_t panel,
                   Py_ssize_t first) noexcept nogil:
    cdef float own = 0
    cdef int status = keep_panel(job.cascade, kept, &job.X, panel * PANEL, first, &own)
    lock(kept.guard)
    kept.widest[0] = max(kept.widest[0], own)
    unlock(kept.guard)
    return status


cdef int keep_rows(const Job* job, const Kept* kept, Py_ssize_t first, Py_ssize_t panel,
                   Py_ssize_t stop) noexcept nogil:
    """Panels [panel, stop) of job.X, whose first row is the corpus's first-th."""
    cdef Py_ssize_t p
    cdef int status = 0
    for p in prange(panel, stop, schedule="dynamic", chunksize=16,
                    num_threads=threads_in(job.process, job.threads)):
        status |= keep_task(job, kept, p, first)
    return status


cdef double share_left(const Directions* d, const real* heads, Py_ssize_t lines,
                       float reach) noexcept nogil:
    """What part of the sampled pairs is no further apart than `reach` in so many lines."""
    cdef Py_ssize_t all_lines = d.lines * HEAD, i, j, k, left = 0
    cdef float distance, difference
    for i in range(JUDGED_X):
        for j in range(JUDGED_Y):
            distance = 0
            for k in range(lines * HEAD):
                difference = <float> (heads[k * JUDGED_Y + j]
                                      - heads[JUDGED_Y * all_lines + i * all_lines + k])
                distance += difference * difference
            left += distance <= reach * reach
    return <double> left / (JUDGED_X * JUDGED_Y)


cdef double cosine_of_neighbours(const real* X, const real* Y, Py_ssize_t features) noexcept nogil:
    """Of rows that are much nearer than most of the sampled ones."""
    cdef double sum = 0, squares = 0, count = JUDGED_X * JUDGED_Y
    cdef real dot
    cdef Py_ssize_t i, j
    for i in range(JUDGED_X):
        for j in range(JUDGED_Y):
            dot = quick_dot(X + i * features, Y + j * features, features)
            sum += dot
            squares += dot * dot
    sum, squares = sum / count, squares / count
    squares = sqrt(max(0, squares - sum * sum))
    return min(0.95, sum + CHANCE * squares)


cdef int choose_directions(Job* job, Directions* d, real* room) noexcept nogil:
    """Directions along which one query's first line of heads rules out most rows; their lines, or
    0: what a line leaves costs more than reading the rows in 8 bits."""
    cdef Py_ssize_t features = job.X.features, i, lines
    cdef real* sample = room + DIRECTIONS * features
    cdef real* X = sample + most_sampled(job) * features
    cdef real* Y = X + JUDGED_X * features
    cdef real* heads = Y + JUDGED_Y * features
    cdef real* spare = heads + (JUDGED_X + JUDGED_Y) * DIRECTIONS
    cdef double before = HEAD, cost, least = features, left
    cdef float reach
    cdef int chosen = 0
    d.features, d.rows, d.levels = features, room, ANY_LEVELS
    for i in range(JUDGED_X):
        unit_row(&job.X, i * job.X.rows // JUDGED_X, X + i * features)
    for i in range(JUDGED_Y):
        unit_row(&job.X, at_most(i * job.X.rows // JUDGED_Y + job.X.rows // JUDGED_Y // 3 + 1,
                                 job.X.rows - 1), Y + i * features)
    if not lead_all(job, d, at_most(MOST_LINES, features // HEAD), sample, spare):
        return 0
    project_all(job, d, X, Y, heads)
    reach = reach_of(<float> cosine_of_neighbours(X, Y, features)) + 2 * <float> EXPECTED_ERROR
    for lines in range(1, d.lines + 1):
        left = share_left(d, heads, lines, reach)
        # rows that are left are read here and there: twice the time
        cost = before + 2 * left * features * sizeof(float)
        if cost < least * (1 - WORTH):
            least, chosen = cost, <int> lines
        before += 2 * left * HEAD
    if chosen > 0:
        set_units(d, heads, HEAD_WORDS)
    return chosen


cdef float unit_of_axes(const Source* s) noexcept nogil:
    """What an integer stands for: so that few elements of unit rows need more than there are."""
    cdef real part[BLOCK]
    cdef real largest, norm2, most = 0
    cdef Py_ssize_t i, b, k, row, count
    for i in range(SAMPLED_ROWS):
        row = i * s.rows // SAMPLED_ROWS
        largest = norm2 = 0
        for b in range(ceil_div(s.features, BLOCK)):
            count = block_length(s.features, b)
            convert(s, row, b * BLOCK, count, part)
            for k in range(count):
                norm2 += part[k] * part[k]
                largest = max(largest, part[k] if part[k] >= 0 else -part[k])
        if NORM2_LOW <= norm2 <= NORM2_HIGH:
            most = max(most, <real> (largest / sqrt(<double> norm2)))
    return <float> (max(most, <real> 1e-3) * 1.1 / ANY_LEVELS)


def prepare(const unsigned char[:, :, :] X, int kind, real[:, ::1] directions, float[::1] units,
            int threads):
    """What shall be kept of rows like these: (lines of heads along `directions`, which are found
    with their `units`; words of a row in panels). Lines 0: the rows' own elements; words 0: norms.
    """
    cdef Job job
    cdef Directions d
    cdef Block* room
    cdef Py_ssize_t features = X.shape[1], i
    cdef int lines = 0
    job = reduction_of(X, kind, X, kind, False, threads)
    if features < LEAST_AXES:
        return 0, 0
    if features <= MOST_PROJECTED:
        room = allocate(room_to_find(&job), FOR_HEADS)
        try:
            with nogil:
                lines = choose_directions(&job, &d, <real*> room.memory)
            PyErr_CheckSignals()
            if lines > 0:
                memcpy(&directions[0, 0], d.rows, lines * HEAD * features * sizeof(real))
                for i in range(lines):
                    units[i] = d.unit[i]
                return lines, HEAD_WORDS
        finally:
            block_release(room)
    if features > MOST_AXES or X.shape[2] == 1:
        return 0, 0                  # rows of 8 bits are read as they are
    units[0] = unit_of_axes(&job.X)
    return 0, words_of(&job.X)


def prepare_join(const unsigned char[:, :, :] X, int kind, real[:, ::1] directions,
                 float[::1] units, double limit, int threads):
    """Lines of heads that pay where many rows like these meet, as above, and who is below `limit`
    does not count; -2: who is not among the nearest. 0: none do. And their integers' largest."""
    cdef Job job = reduction_of(X, kind, X, kind, False, threads)
    cdef Pairs wanted
    cdef Directions d
    cdef Block* room
    cdef real* sample
    cdef Py_ssize_t rows[JUDGED_X + JUDGED_Y], i
    cdef Py_ssize_t features = X.shape[1]
    cdef int lines = 0
    if not (SCREEN and LEAST_AXES <= features <= MOST_PROJECTED and is_near(&job.X)):
        return 0, levels()
    memset(&wanted, 0, sizeof(wanted))
    job.pairs, job.same, job.lasting, job.PX.count = &wanted, True, True, job.X.rows
    meet_all_rows(&job)
    room = allocate(room_to_find(&job), FOR_HEADS)
    try:
        wanted.limit = <real> limit
        if limit == -2:
            sample = <real*> room.memory
            judged_rows(&job, rows, rows + JUDGED_X, sample, sample + JUDGED_X * features)
            wanted.limit = <real> cosine_of_neighbours(sample, sample + JUDGED_X * features,
                                                       features)
        with nogil:
            if find_directions(&job, &d, <real*> room.memory) > 0:
                lines = <int> d.lines
        PyErr_CheckSignals()
        if lines > 0:
            memcpy(&directions[0, 0], d.rows, lines * HEAD * features * sizeof(real))
            for i in range(lines):
                units[i] = d.unit[i]
        return lines, levels()
    finally:
        block_release(room)


cdef Kept kept_of(object arrays) except *:
    """Where the arrays lie that unitdot._prepared holds: as long as it does so."""
    cdef Kept kept
    cdef const real[:, ::1] directions = arrays["directions"]
    cdef const float[::1] units = arrays["units"]
    cdef const float[::1] widest = arrays["widest"]
    cdef const real[::1] norm2 = arrays["norm2"]
    cdef const real[::1] inverse = arrays["inverse"]
    cdef const real[::1] rest = arrays["rest"]
    cdef const int32_t[:, ::1] panels = arrays["panels"]
    cdef const int32_t[::1] starts = arrays["starts"]
    cdef const int8_t[:, ::1] line = arrays["lines"]
    cdef const int32_t[:, ::1] square = arrays["squares"]
    cdef const int32_t[:, ::1] raised = arrays["raised"]
    cdef const float[:, ::1] error = arrays["errors"]
    cdef Py_ssize_t i
    memset(&kept, 0, sizeof(kept))
    kept.directions.lines, kept.directions.features = square.shape[1], directions.shape[1]
    kept.directions.levels = arrays["levels"][0] if "levels" in arrays else ANY_LEVELS
    for i in range(units.shape[0]):
        kept.directions.unit[i] = units[i]
    kept.words = panels.shape[1] // PANEL_ROWS
    kept.widest = <float*> &widest[0]
    kept.heads.norm2 = <real*> &norm2[0]
    kept.heads.inverse = <real*> &inverse[0]
    kept.heads.rest = <real*> &rest[0]
    if kept.words > 0:
        kept.panels, kept.starts = <int32_t*> &panels[0, 0], <int32_t*> &starts[0]
    if kept.directions.lines > 0:
        kept.directions.rows = <real*> &directions[0, 0]
        kept.heads.line, kept.heads.error = <int8_t*> &line[0, 0], <float*> &error[0, 0]
        kept.heads.square = <int32_t*> &square[0, 0]
        kept.heads.raised = <int32_t*> &raised[0, 0]
    return kept


cdef void know(Job* job, Cascade* heads, object known) except *:
    """The heads of the job's rows that were made before; `known`: of X, and of Y."""
    cdef Kept of_X = kept_of(known[0]), of_Y = kept_of(known[1])
    if not of_X.directions.levels == of_Y.directions.levels == levels():
        return                       # a processor's of another kind, which cannot read all of these
    memset(heads, 0, sizeof(Cascade))
    heads.directions, heads.X = of_X.directions, of_X.heads
    heads.Y = heads_from(&of_Y.heads, -job.first_Y, of_X.directions.lines)
    job.known = heads


def keep(const unsigned char[:, :, :] X, int kind, object arrays, Py_ssize_t first, int threads):
    """Fills the arrays from their first-th row on with what is kept of the rows of X; returns what
    was found in these. NEEDS_CARE: nothing but norms is worth anything."""
    cdef Job job = reduction_of(X, kind, X, kind, False, threads)
    cdef Kept kept = kept_of(arrays)
    cdef Cascade cascade
    cdef Block* held = NULL
    cdef char* memory = NULL
    cdef char guard = 0
    # rows between looks for Ctrl-C
    cdef Py_ssize_t panels = ceil_div(job.X.rows, PANEL), row = 0
    cdef Py_ssize_t most = at_least(64, <Py_ssize_t> PATIENCE * threads // (8 * job.X.features))
    cdef int status = 0
    memset(&cascade, 0, sizeof(cascade))
    cascade.directions = kept.directions
    cascade.packed.count = kept.directions.lines * HEAD
    cascade.packed.blocks, cascade.packed.width = ceil_div(job.X.features, BLOCK), GROUP
    cascade.packed.depth = ceil_div(at_most(job.X.features, BLOCK), LANES) * LANES
    cascade.packed.integers = NO_INTEGERS
    job.cascade, kept.guard = &cascade, &guard
    try:
        if kept.directions.lines > 0:
            carve_rows(&cascade.packed, &memory, False, False)
            held = allocate(<size_t> memory, FOR_HEADS)
            memory = held.memory
            carve_rows(&cascade.packed, &memory, False, False)
            pack_directions(&job)
        while row < panels:
            with nogil:
                status |= keep_rows(&job, &kept, first, row, at_most(panels, row + most))
            row += most
            PyErr_CheckSignals()
    finally:
        block_release(held)
    return status
