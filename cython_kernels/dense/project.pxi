# The heads of many rows (heads.pxi): rows and directions in integers of 16 bits, which meet in a
# tile as wide as the screen's.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, screen.pxi, directions.pxi, heads.pxi,
#        vectors.h, screen.h, memory.h, openmp.h
# gives: short_words, project_bytes, pack_short_directions, make_heads
#
# A unit row is u = (q + e) / GRID, q of integers and no element of e above 1/2: so Bᵀu is off by no
# more than |e| / GRID. Directions are multiples of 1 / GRID (`to_grid`), and the sums exact: they
# are at most GRID² and a little, as no row of B is longer than 1.

cdef inline Py_ssize_t short_words(Py_ssize_t features) noexcept nogil:
    return ceil_div(features, 2)


cdef inline Py_ssize_t room_of_group(Py_ssize_t features) noexcept nogil:
    # bytes of a group's panels
    return ceil_div(features, BLOCK) * BLOCK * SCREEN_COLUMNS * <Py_ssize_t> sizeof(real)


cdef inline Py_ssize_t project_bytes(Py_ssize_t features) noexcept nogil:
    """Of a thread's scratch."""
    cdef Py_ssize_t bytes = (room_of_group(features)
                             + short_words(features) * SCREEN_COLUMNS * sizeof(int32_t))
    return ceil_div(bytes, ALIGNMENT) * ALIGNMENT


cdef inline int32_t word_of(const real* row, Py_ssize_t k, Py_ssize_t features) noexcept nogil:
    cdef int32_t low = <int32_t> (row[k] * GRID) if k < features else 0
    cdef int32_t high = <int32_t> (row[k + 1] * GRID) if k + 1 < features else 0
    return <int32_t> (<uint32_t> low & <uint32_t> 0xFFFF | <uint32_t> high << 16)


cdef void pack_short_directions(Cascade* c) noexcept nogil:
    """As words in panels; their rows lie where the caller's room does."""
    cdef Py_ssize_t features = c.directions.features, words = short_words(features), k, w
    for k in range(c.directions.lines * HEAD):
        for w in range(words):
            c.left[(k // PANEL * words + w) * PANEL + k % PANEL] = word_of(
                c.directions.rows + k * features, 2 * w, features)
    c.directions.rows = NULL


cdef void pack_short_rows(const real* room, Py_ssize_t features, const real* factors,
                          int32_t* right) noexcept nogil:
    """The panels of a group of rows, times their factors and rounded, as words."""
    cdef Py_ssize_t panels = SCREEN_COLUMNS // PANEL, words = short_words(features), q, w, k
    cdef Py_ssize_t at, lane
    cdef vec a, b, factor
    cdef int32_t* to
    for q in range(panels * VECS):
        at, lane = q // VECS, q % VECS * LANES
        factor = load(factors + q * LANES)
        to = right + q * LANES // WORDS * WORDS * words + q * LANES % WORDS
        for w in range(words):
            k = 2 * w
            a = b = splat(0)
            if k < features:
                a = load(at_feature(room, panels, at, k) + lane) * factor
            if k + 1 < features:
                b = load(at_feature(room, panels, at, k + 1) + lane) * factor
            pack_shorts(to + w * WORDS, a, b)


cdef inline void shorts_rows(const int32_t* x, const int32_t* y, Py_ssize_t words,
                             int32_t* sums, bint by_vnni) noexcept nogil:
    cdef ivec acc[SHORT_ROWS][SCREEN_VECS]
    cdef ivec y_own[SCREEN_VECS]
    cdef ivec a
    cdef Py_ssize_t k = -words
    cdef int i, j
    for i in range(SHORT_ROWS):
        for j in range(SCREEN_VECS):
            acc[i][j] = splat_word(0)
    # one index, as in tile.pxi
    x += words * PANEL
    y += words * WORDS
    while k < 0:
        for j in range(SCREEN_VECS):
            y_own[j] = load_words(y + (j * words + k) * WORDS)
            if j < SCREEN_VECS - 1:
                y_own[j] = kept_words(y_own[j])
        for i in range(SHORT_ROWS):
            a = splat_word(x[k * PANEL + i])
            for j in range(SCREEN_VECS):
                if by_vnni:
                    acc[i][j] = add_vnni_shorts(acc[i][j], a, y_own[j])
                else:
                    acc[i][j] = add_short_dots(acc[i][j], a, y_own[j])
        k += 1
    for i in range(SHORT_ROWS):
        for j in range(SCREEN_VECS):
            store_words(sums + i * SCREEN_COLUMNS + j * WORDS, acc[i][j])


cdef inline void multiply_shorts(const int32_t* left, const int32_t* right, Py_ssize_t words,
                                 int32_t* sums, bint by_vnni) noexcept nogil:
    """sums[i, j]: of PANEL directions by SCREEN_COLUMNS rows."""
    cdef Py_ssize_t sub
    for sub in range(PANEL // SHORT_ROWS):
        shorts_rows(left + sub * SHORT_ROWS, right, words,
                    sums + sub * SHORT_ROWS * SCREEN_COLUMNS, by_vnni)


cdef void project_panel "project_panel" (const int32_t* left, const int32_t* right,
                                         Py_ssize_t words, int32_t* sums) noexcept nogil:
    multiply_shorts(left, right, words, sums, False)


cdef void vnni_project_panel "vnni_project_panel" (const int32_t* left, const int32_t* right,
                                                   Py_ssize_t words,
                                                   int32_t* sums) noexcept nogil:
    multiply_shorts(left, right, words, sums, True)


cdef struct Rounded:             # of the rows of a group, so far
    int32_t square[SCREEN_COLUMNS]
    int32_t sum[SCREEN_COLUMNS]
    float error[SCREEN_COLUMNS]


cdef inline void round_words(const int32_t* sums, float per_unit, float most, Rounded* rounded,
                             int32_t* words) noexcept nogil:
    """words[row] = the integers of QUAD coordinates."""
    cdef float t, r
    cdef Py_ssize_t i, c
    cdef int32_t n
    for c in range(SCREEN_COLUMNS):
        words[c] = 0
    for i in range(QUAD):
        for c in range(SCREEN_COLUMNS):
            t = <float> sums[i * SCREEN_COLUMNS + c] * per_unit
            t = t if t < most else most
            t = t if t > -most else -most
            r = (t + <float> 12582912.0) - <float> 12582912.0        # 1.5 * 2^23
            n = <int32_t> r
            rounded.square[c] += n * n
            rounded.sum[c] += n
            rounded.error[c] += (t - r) * (t - r)
            words[c] |= <int32_t> ((<uint32_t> n & 255) << 8 * i)


cdef int head_group(const Job* job, Heads* h, const Source* s, Py_ssize_t group,
                    int thread) noexcept nogil:
    """Norms and heads of SCREEN_COLUMNS rows."""
    cdef const Cascade* c = job.cascade
    cdef const Directions* d = &c.directions
    cdef Py_ssize_t first = group * SCREEN_COLUMNS, lines = d.lines, words, line, p, i, k, row
    cdef Py_ssize_t rows = at_most(SCREEN_COLUMNS, s.rows - first)
    cdef real* room = <real*> (c.scratch + thread * c.scratch_bytes)
    cdef int32_t* right = <int32_t*> (<char*> room + room_of_group(s.features))
    cdef int32_t sums[PANEL * SCREEN_COLUMNS]
    cdef int32_t own[SCREEN_COLUMNS]
    cdef real factors[SCREEN_COLUMNS]
    cdef double errors[SCREEN_COLUMNS]
    cdef double rounding = HEAD_ROUNDING + 0.5 / GRID * sqrt(<double> s.features)
    cdef Rounded rounded
    cdef float unit
    cdef int status = pack_columns(s, first, rows, room, h.norm2 + first)
    for i in range(rows):
        row = first + i
        status |= invert_norm(h.norm2[row], False, job.zero_inverse, h.inverse + row,
                              h.rest + row)
    if status & CARE:
        return status
    memset(factors, 0, sizeof(factors))
    memset(errors, 0, sizeof(errors))
    for i in range(rows):
        factors[i] = GRID * h.inverse[first + i] if h.norm2[first + i] != 0 else 0
    pack_short_rows(room, s.features, factors, right)
    words = short_words(s.features)
    for line in range(lines):
        unit = d.unit[line]
        memset(&rounded, 0, sizeof(rounded))
        for p in range(HEAD // PANEL):
            if HAS_DOTS and vnni:
                vnni_project_panel(c.left + (line * HEAD + p * PANEL) * words, right, words, sums)
            else:
                project_panel(c.left + (line * HEAD + p * PANEL) * words, right, words, sums)
            for k in range(PANEL // QUAD):
                round_words(sums + k * QUAD * SCREEN_COLUMNS,
                            <float> (1.0 / (<double> GRID * GRID * unit)), d.levels, &rounded,
                            own)
                for i in range(rows):
                    memcpy(h.line + ((first + i) * lines + line) * HEAD + p * PANEL + k * QUAD,
                           own + i, sizeof(int32_t))
            if line == 0 and (p + 1) * PANEL == PREFIX:
                for i in range(rows):
                    h.error[(first + i) * (1 + lines)] = <float> (
                        unit * sqrt(<double> rounded.error[i]) + rounding)
        for i in range(rows):
            row = first + i
            h.square[row * lines + line] = rounded.square[i]
            h.raised[row * lines + line] = rounded.square[i] + 2 * raised() * rounded.sum[i]
            errors[i] += <double> unit * unit * rounded.error[i]
            h.error[row * (1 + lines) + 1 + line] = <float> (sqrt(errors[i]) + rounding)
    return status


cdef void make_part(const Job* job, Heads* h, const Source* s, Py_ssize_t first, Py_ssize_t stop,
                    int* status) noexcept nogil:
    cdef Py_ssize_t g
    cdef int found = 0
    for g in prange(first, stop, schedule="dynamic", chunksize=4,
                    num_threads=threads_in(job.process, job.threads)):
        found |= head_group(job, h, s, g, omp_get_thread_num())
    status[0] |= found


cdef int make_heads(const Job* job, Heads* h, const Source* s) except -1:
    """The heads of all rows; returns what was found in these. Looks for Ctrl-C now and then."""
    cdef Py_ssize_t lines = job.cascade.directions.lines, groups = ceil_div(s.rows, SCREEN_COLUMNS)
    cdef Py_ssize_t most = at_least(1, <Py_ssize_t> PATIENCE * job.threads
                                    // (s.features * lines * (HEAD * SCREEN_COLUMNS // BLOCK)))
    cdef Py_ssize_t padded = padded_rows(s) - s.rows, first = 0
    cdef int status = 0
    # nobody meets the padding: zeros, so that nothing depends on what was there before
    memset(h.line + s.rows * lines * HEAD, 0, padded * lines * HEAD)
    memset(h.error + s.rows * (1 + lines), 0, padded * (1 + lines) * sizeof(float))
    while first < groups and not status & CARE:
        with nogil:
            make_part(job, h, s, first, at_most(groups, first + most), &status)
        first += most
        PyErr_CheckSignals()
    return status
