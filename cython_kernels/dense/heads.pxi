# Heads: the rows' coordinates along a few directions, as 8-bit integers, made once for a call.
# Where few outputs are wanted, distances between heads rule out most (near.pxi).
#
# takes: kernels.pyx, source.pxi, pack.pxi, tile.pxi, plan.pxi, screen.pxi, directions.pxi,
#        vectors.h, screen.h, memory.h
# gives: Heads, Cascade, PREFIX, FAR, HEAD_ROUNDING, carve_all_heads, heads_from,
#        padded_rows, nearest_multiple, raised_square, round_head, head_panel
#
# Let no singular value of B be above 1, u and v unit rows, p = Bᵀu, r = Bᵀv. Then
# |p - r|² <= |u - v|² = 2 - 2 u.v. With integers q and t times `unit`, p = unit q + e and
# r = unit t + f,
#     u.v >= limit  implies  unit |q - t| <= sqrt(2 - 2 limit) + |e| + |f|,
# where |q - t|² = |q|² + |t|² - 2 q.t is an integer, without rounding. |e| is known for each row:
# of any row, in the sample's space or not, and whatever the directions are. Coordinates that need
# larger integers are cut off before, at the same `levels` for all rows, which brings no two of them
# further apart; where integers are multiples, what the last one lacks of these is a part of |e|.

cdef struct Heads:               # of all rows of a source, padded to whole groups
    int8_t* line                 # [row][line][HEAD]
    int32_t* square              # [row][line]: |q|² of the line
    int32_t* raised              # the same, and 2 raised() times the sum of q
    float* error                 # [row][1 + lines]: |e| of the first PREFIX coordinates, then of
    real* norm2                  # the first line, two lines, ...
    real* inverse
    real* rest

cdef struct Cascade:
    Directions directions
    Pack packed                  # the directions as panels: for head_panel
    int32_t* left                # the same as words: for project.pxi
    Heads X, Y
    int words                    # of the first line, that are compared in batches
    char* scratch                # a thread's own
    Py_ssize_t scratch_bytes
    Block* held                  # where all of it lies

cdef enum:
    PREFIX = 32                  # coordinates
    FAR = 1 << 28                # the square of a zero row's head, whose cosines are 0
    PROJECTED = DIRECTIONS // GROUP + 1      # groups of directions, at most

# what rounding adds to an error: a coordinate's canonical sum and two multiplications are off by
# less than 5e-6 of 1, the square root of DIRECTIONS of them together. No test can tell: in float64
# there is no such error, and in float32 directions are shorter than they might be (contract) by so
# much that this and ROUNDING hide it.
cdef double HEAD_ROUNDING = 7e-5


cdef Py_ssize_t padded_rows(const Source* s) noexcept nogil:
    return ceil_div(s.rows, SCREEN_COLUMNS) * SCREEN_COLUMNS + SCREEN_COLUMNS


cdef void carve_all_heads(Heads* h, const Source* s, Py_ssize_t lines,
                          char** memory) noexcept nogil:
    cdef Py_ssize_t rows = padded_rows(s)
    h.line = <int8_t*> carve(memory, rows * lines * HEAD)
    h.square = <int32_t*> carve(memory, rows * lines * sizeof(int32_t))
    h.raised = <int32_t*> carve(memory, rows * lines * sizeof(int32_t))
    h.error = <float*> carve(memory, rows * (1 + lines) * sizeof(float))
    h.norm2 = <real*> carve(memory, rows * sizeof(real))
    h.inverse = <real*> carve(memory, rows * sizeof(real))
    h.rest = <real*> carve(memory, rows * sizeof(real))


cdef Heads heads_from(const Heads* h, Py_ssize_t row, Py_ssize_t lines) noexcept nogil:
    cdef Heads own
    own.line, own.square = h.line + row * lines * HEAD, h.square + row * lines
    own.raised, own.error = h.raised + row * lines, h.error + row * (1 + lines)
    own.norm2, own.inverse, own.rest = h.norm2 + row, h.inverse + row, h.rest + row
    return own


cdef inline vec nearest_multiple(vec t, int levels, int step) noexcept nogil:
    # of a power of two: the products are exact. No larger than `levels`, as t is: of what was cut
    # off there on all sides, so what is missing here is a part of the rounding
    cdef vec top = splat(levels - levels % step)
    return vmax(-top, vmin(top, nearest(t * splat(<real> 1 / step)) * splat(step)))


cdef inline int32_t raised_square(int32_t square, int levels, int32_t total) noexcept nogil:
    # without a sign, which may overflow: directions of an altered file may be no numbers
    return <int32_t> (<uint32_t> square + 2 * <uint32_t> (levels + 1) * <uint32_t> total)


cdef void round_head(Heads* h, const Directions* d, const real* dots, Py_ssize_t row, bint zero,
                     int step) noexcept nogil:
    """The integers of one row's head, multiples of `step`, from its dot products with the
    directions."""
    cdef real rounded[HEAD]
    cdef vec t, r, squares, sums, errors
    cdef vec factor, most = splat(d.levels)
    cdef Py_ssize_t lines = d.lines, line, k
    cdef int8_t* to
    cdef double error = 0
    cdef float* own = h.error + row * (1 + lines)
    cdef real inverse = 0 if zero else h.inverse[row]
    for line in range(lines):
        factor = splat(<real> (inverse / d.unit[line]))
        squares = sums = errors = splat(0)
        for k in range(HEAD // LANES):
            t = vmax(-most, vmin(most, load(dots + line * HEAD + k * LANES) * factor))
            r = nearest_multiple(t, d.levels, step)
            store(rounded + k * LANES, r)
            squares = madd(r, r, squares)
            sums = sums + r
            errors = madd(t - r, t - r, errors)
            if line == 0 and (k + 1) * LANES == PREFIX:
                own[0] = <float> (d.unit[0] * sqrt(<double> sum_of_lanes(errors)) + HEAD_ROUNDING)
        to = h.line + (row * lines + line) * HEAD
        for k in range(HEAD):
            to[k] = <int8_t> rounded[k]
        h.square[row * lines + line] = <int32_t> sum_of_lanes(squares)
        h.raised[row * lines + line] = raised_square(h.square[row * lines + line], d.levels,
                                                     <int32_t> sum_of_lanes(sums))
        error += d.unit[line] * d.unit[line] * <double> sum_of_lanes(errors)
        own[1 + line] = <float> (sqrt(error) + HEAD_ROUNDING)


cdef void directions_panel "directions_panel" (const real* x, const vec* y,
                                               Py_ssize_t panel_stride, Py_ssize_t count,
                                               Py_ssize_t panels, bint first,
                                               vec* totals) noexcept nogil:
    cdef vec block_sums[TILE_ROWS * TILE_PANELS * VECS]
    panel_tiles(PANEL, panels, x, y, panel_stride, count, first, block_sums, totals)


cdef int head_panel(const Cascade* c, Heads* h, const Source* s, Py_ssize_t row,
                    real zero_inverse) noexcept nogil:
    """Norms and heads of PANEL rows."""
    cdef real panel[PANEL * BLOCK]
    cdef vec totals[PROJECTED][PANEL * TILE_PANELS * VECS]
    cdef real dots[PROJECTED * GROUP]
    cdef const Pack* packed = &c.packed
    cdef Py_ssize_t rows = at_most(PANEL, s.rows - row), directions = packed.count
    cdef Py_ssize_t groups = ceil_div(directions, GROUP), b, g, i
    cdef int status = 0
    for b in range(packed.blocks):
        status |= pack_panel(s, row, rows, b, NULL, panel, b == 0, h.norm2 + row)
        for g in range(groups):
            directions_panel(panel, <const vec*> panel_of(packed, g * TILE_PANELS, b),
                             packed.depth * VECS, block_length(s.features, b),
                             ceil_div(at_most(GROUP, directions - g * GROUP), PANEL), b == 0,
                             totals[g])
    for i in range(rows):
        status |= invert_norm(h.norm2[row + i], False, zero_inverse, h.inverse + row + i,
                              h.rest + row + i)
    if status & CARE:
        return status
    for i in range(rows):
        for g in range(groups):
            memcpy(dots + g * GROUP, totals[g] + i * TILE_PANELS * VECS, GROUP * sizeof(real))
        round_head(h, &c.directions, dots, row + i, h.norm2[row + i] == 0, 1)
    return status
