# Packing: rows become panels, and their norms fall out of the same pass.
#
# takes: kernels.pyx, source.pxi, integers.pxi, vectors.h
# gives: CARE, ZERO_ROW, Pack, ZEROS, ceil_div, at_most, at_least, block_length, transpose,
#        is_loadable, load_as, size_as, load_transposed, has_tiny, row_has_tiny, row_exponent,
#        entry, lane_of, row_after, small_lanes, tiny_lanes, pack_panel, panel_of, pack_block,
#        invert_norm, invert_norms, pack_group
#
# A panel holds PANEL rows feature by feature, panel[k][i] = X[row + i, k], BLOCK features at a
# time, padded with zeros. The squared norm is accumulated while the transposed vectors are in
# registers, in the canonical order of every dot product.

cdef enum Status:            # what a pass over rows found; bits, or-ed over threads
    CARE = 1                 # a row needs scaling, or is not finite: nothing computed yet counts
    ZERO_ROW = 2

cdef struct Pack:            # rows [first, first + count) of a source, and what is known of them
    const Source* source
    Py_ssize_t first, count
    Py_ssize_t block0, blocks          # the segment: BLOCKs of features [block0, block0 + blocks)
    Py_ssize_t depth                   # features stored per block, a multiple of LANES
    Py_ssize_t width                   # rows of a group
    real* panels                       # [group][block][panel of the group][depth][PANEL]
    real* norm2                        # per row, so far
    real* inverse                      # 1 / ‖row‖ = inverse * (1 + rest), in double-word precision
    real* rest
    int* exponent                      # careful passes: the row is packed times 2^-exponent
    int integers                       # panels hold units of them (integers.pxi); or NO_INTEGERS
    real* offset                       # what is added to the row's products, where they are bytes
    # for the screen, instead of panels
    int32_t* left                      # [panel][word][PANEL]
    int32_t* right                     # [vector of columns][word][WORDS]
    int32_t* raised                    # what is added to every sum, since those on the left are
    float* unit                        # the row's scale, divided by its norm
    float* error
    # for heads, of the first words of their first line (cascade.pxi)
    int32_t* half                      # the square, of which half is what counts
    float* widest                      # per group the largest error of these, and of the line

cdef enum:
    PIECES = LANES // PIECE            # of 16 bytes in a vector

cdef real ZEROS[BLOCK]


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t at_most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t at_least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t block_length(Py_ssize_t features, Py_ssize_t block) noexcept nogil:
    return at_most(BLOCK, features - block * BLOCK)


cdef inline void interleave(const vec* a, vec* b) noexcept nogil:
    cdef int i
    for i in range(PIECE // 2):
        b[2 * i] = interleave_lo(a[i], a[i + PIECE // 2])
        b[2 * i + 1] = interleave_hi(a[i], a[i + PIECE // 2])


cdef inline void separate(const vec* a, vec* b) noexcept nogil:
    cdef int i
    for i in range(PIECES // 2):
        b[i] = even_pieces(a[2 * i], a[2 * i + 1])
        b[i + PIECES // 2] = odd_pieces(a[2 * i], a[2 * i + 1])


cdef inline void transpose(const vec* a, vec* t) noexcept nogil:
    # t[j][i] = a[i][j], LANES x LANES, by log2(LANES) shuffles of two vectors: PIECE x PIECE
    # elements within 16 bytes, then PIECES x PIECES pieces; shuffles across all lanes are slower
    cdef vec b[LANES]
    cdef vec c[PIECES]
    cdef vec d[PIECES]
    cdef int i, q
    if PIECE == 1:
        t[0] = a[0]
        return
    for q in range(PIECES):
        if PIECE == 2:
            interleave(a + q * PIECE, b + q * PIECE)
        else:
            interleave(a + q * PIECE, t + q * PIECE)
            interleave(t + q * PIECE, b + q * PIECE)
    for i in range(PIECE):
        for q in range(PIECES):
            c[q] = b[q * PIECE + i]
        if PIECES == 2:
            separate(c, d)
            for q in range(PIECES):
                t[q * PIECE + i] = d[q]
        elif PIECES == 4:
            separate(c, d)
            separate(d, c)
            for q in range(PIECES):
                t[q * PIECE + i] = c[q]
        else:
            t[i] = c[0]


cdef inline bint is_loadable(const Source* s) noexcept nogil:
    """Whether `load_as` reads its rows in place."""
    return s.native or (HALF_LOADS and s.plain and (s.kind == FLOAT16 or s.kind == BFLOAT16))


cdef inline vec load_as(int kind, const char* p) noexcept nogil:
    if HALF_LOADS and kind == FLOAT16:
        return load_half(<const uint16_t*> p)
    if HALF_LOADS and kind == BFLOAT16:
        return load_bfloat(<const uint16_t*> p)
    return load(<const real*> p)


cdef inline Py_ssize_t size_as(int kind) noexcept nogil:
    return sizeof(uint16_t) if kind == FLOAT16 or kind == BFLOAT16 else sizeof(real)


cdef inline void load_transposed(const real** row, Py_ssize_t k, vec* t) noexcept nogil:
    # t[j][i] = row[i][k + j]
    cdef vec a[LANES]
    cdef int i
    for i in range(LANES):
        a[i] = load(row[i] + k)
    transpose(a, t)


cdef bint has_tiny(const real* row, Py_ssize_t count) noexcept nogil:
    # any(0 < |row| < ELEMENT_LOW)
    cdef Py_ssize_t k
    cdef int found = 0
    cdef real x
    for k in range(count):
        x = load_one(row + k)
        found |= (x != 0) & (x < ELEMENT_LOW) & (x > -ELEMENT_LOW)
    return found != 0


cdef bint row_has_tiny(const Source* s, Py_ssize_t row) noexcept nogil:
    cdef real buffer[BLOCK]
    cdef Py_ssize_t b
    if s.native:
        return has_tiny(<const real*> row_start(s, row), s.features)
    for b in range(ceil_div(s.features, BLOCK)):
        convert(s, row, b * BLOCK, block_length(s.features, b), buffer)
        if has_tiny(buffer, block_length(s.features, b)):
            return True
    return False


cdef int row_exponent(const Source* s, Py_ssize_t row) noexcept nogil:
    # e with max|row| in [2^e, 2^(e+1)): it follows a power of two in front of the row exactly
    cdef real buffer[BLOCK]
    cdef real largest = 0, magnitude
    cdef Py_ssize_t b, k, count
    cdef int e
    for b in range(ceil_div(s.features, BLOCK)):
        count = block_length(s.features, b)
        convert(s, row, b * BLOCK, count, buffer)
        for k in range(count):
            magnitude = buffer[k] if buffer[k] >= 0 else -buffer[k]
            if not magnitude <= REAL_MAX:
                return 0
            largest = magnitude if magnitude > largest else largest
    if largest == 0:
        return 0
    frexp(largest, &e)
    return e - 1


cdef void scale(real* row, Py_ssize_t count, int exponent) noexcept nogil:
    # row *= 2^-exponent, in two exact steps where 2^-exponent itself would overflow
    cdef int up = at_most(-exponent, REAL_MAX_EXP - 2)
    cdef real a = <real> ldexp(1.0, up), b = <real> ldexp(1.0, -exponent - up)
    cdef Py_ssize_t k
    for k in range(count):
        row[k] = row[k] * a * b


cdef inline const int* entry(const int* exponents, Py_ssize_t row) noexcept nogil:
    if exponents == NULL:
        return NULL
    return exponents + row


cdef inline const real* lane_of(const Source* s, Py_ssize_t row, Py_ssize_t block,
                                Py_ssize_t count, Py_ssize_t padded, const int* exponent,
                                real* stage) noexcept nogil:
    """One block of one row as `real`, zeros after `count`: in place where it can be."""
    cdef Py_ssize_t k
    if s.native and exponent == NULL and count == padded:
        return <const real*> row_start(s, row) + block * BLOCK
    convert(s, row, block * BLOCK, count, stage)
    for k in range(count, padded):
        stage[k] = 0
    if exponent != NULL:
        scale(stage, count, exponent[0])
    return stage


cdef inline const char* row_after(const Source* s, Py_ssize_t row,
                                  Py_ssize_t stride) noexcept nogil:
    """Where the row begins that is `stride` rows further down, if only to be brought near."""
    if s.order == NULL:
        return s.data + (row + stride) * s.row_stride
    return row_start(s, at_most(row + stride, s.ordered - 1))


cdef inline const char* block_after(const Source* s, Py_ssize_t row, Py_ssize_t block,
                                    Py_ssize_t stride) noexcept nogil:
    """What to bring near: the row's next block, if that lies behind, or of another row."""
    if s.order != NULL:
        return row_after(s, row, stride) + block * BLOCK * s.feature_stride
    if (block + 1) * BLOCK < s.features:
        return row_start(s, row) + (block + 1) * BLOCK * s.feature_stride
    return row_after(s, row, stride)


cdef inline unsigned small_lanes(vec smallest) noexcept nogil:
    """A bit for each lane with an element below ELEMENT_LOW; zeros are small too: look again."""
    return ~at_least_bits(smallest, splat(ELEMENT_LOW)) & ((<unsigned> 1 << LANES) - 1)


cdef inline int tiny_lanes(vec smallest, const real** lane, Py_ssize_t lanes,
                           Py_ssize_t count) noexcept nogil:
    """CARE where one of the first `lanes` has an element too small for unscaled arithmetic."""
    cdef unsigned small = small_lanes(smallest)
    cdef int i
    if small:
        for i in range(<int> at_most(lanes, LANES)):
            if small >> i & 1 and has_tiny(lane[i], count):
                return CARE
    return 0


cdef int pack_panel(const Source* s, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t block,
                    const int* exponent, real* panel, bint first, real* norm2) noexcept nogil:
    """panel[k, i] = X[row + i, block * BLOCK + k] for i < rows; norm2[i] (+)= its squares' sum."""
    cdef real stage[PANEL * BLOCK]
    cdef const real* lane[PANEL]
    cdef const char* after[PANEL]
    cdef vec t[LANES]
    cdef vec squares, part, smallest
    cdef Py_ssize_t k, count = block_length(s.features, block)
    cdef Py_ssize_t padded = ceil_div(count, LANES) * LANES
    cdef int i, v, status = 0
    for i in range(PANEL):
        lane[i] = ZEROS
        after[i] = <const char*> ZEROS
        if i < rows:
            after[i] = block_after(s, row + i, block, GROUP)
            if not s.native:
                for k in range(BLOCK * s.itemsize // CACHE_LINE):
                    prefetch_second(after[i] + k * CACHE_LINE)
            lane[i] = lane_of(s, row + i, block, count, padded, entry(exponent, i),
                              stage + i * BLOCK)
    for v in range(VECS):
        squares = splat(0)
        smallest = splat(REAL_MAX)
        part = splat(0)
        for k in range(padded // LANES):
            if k % (RUN // LANES) == 0:
                squares, part = squares + part, splat(0)
            for i in range(LANES):
                prefetch_second(after[v * LANES + i] + k * sizeof(vec))
            load_transposed(lane + v * LANES, k * LANES, t)
            for i in range(LANES):
                store(panel + ((k * LANES + i) * VECS + v) * LANES, t[i])
                part = madd(t[i], t[i], part)
                smallest = min_magnitude(t[i], smallest)
        squares = squares + part
        store(norm2 + v * LANES, squares if first else load(norm2 + v * LANES) + squares)
        if exponent == NULL:
            status |= tiny_lanes(smallest, lane + v * LANES, rows - v * LANES, count)
    return status


cdef inline real* panel_of(const Pack* p, Py_ssize_t panel, Py_ssize_t block) noexcept nogil:
    cdef Py_ssize_t group = panel // TILE_PANELS
    return p.panels + (((group * p.blocks + block) * TILE_PANELS + panel % TILE_PANELS)
                       * p.depth * PANEL)


cdef int pack_block(const Pack* p, Py_ssize_t group, Py_ssize_t block, bint first,
                    real* to) noexcept nogil:
    """One block of the panels of one group, side by side in `to`."""
    cdef Py_ssize_t row, q
    cdef int status = 0
    for q in range(TILE_PANELS):
        row = group * GROUP + q * PANEL
        if row < p.count and p.integers:
            status |= pack_units(p, row, at_most(PANEL, p.count - row), p.block0 + block, first,
                                 to + q * p.depth * PANEL)
        elif row < p.count:
            status |= pack_panel(p.source, p.first + row, at_most(PANEL, p.count - row),
                                 p.block0 + block,
                                 entry(p.exponent, row),
                                 to + q * p.depth * PANEL, first, p.norm2 + row)
    return status


cdef inline int invert_norm(real norm2, bint careful, real zero_inverse, real* inverse,
                            real* rest) noexcept nogil:
    """1 / sqrt(norm2) = inverse * (1 + rest), in double-word precision."""
    cdef bint zero = norm2 == 0, in_range = (NORM2_LOW <= norm2) & (norm2 <= NORM2_HIGH)
    cdef real n = 1 if zero else norm2
    # 1/sqrt(n) = h * (1 + (1 - n h^2) / 2), the residual without rounding
    cdef real h = <real> (1.0 / sqrt(<double> n)), product = n * h
    cdef real low = REAL_FMA(n, h, -product)
    cdef real residual = <real> 0.5 * (REAL_FMA(-product, h, 1) - low * h)
    inverse[0] = zero_inverse if zero else h
    rest[0] = 0 if zero else residual
    return zero * ZERO_ROW | (not (zero | careful | in_range)) * CARE


cdef int invert_norms(const Pack* p, Py_ssize_t first, Py_ssize_t rows,
                      real zero_inverse) noexcept nogil:
    """The inverse norms of rows [first, first + rows) of the pack, padding included."""
    cdef real* norm2 = p.norm2
    cdef real* inverse = p.inverse
    cdef real* rest = p.rest
    cdef bint careful = p.exponent != NULL
    cdef Py_ssize_t i, stop = at_most(first + rows, p.count)
    cdef int status = 0
    for i in range(first, stop):
        status |= invert_norm(norm2[i], careful, zero_inverse, inverse + i, rest + i)
    for i in range(at_least(first, stop),
                   at_most(first + rows, ceil_div(p.count, PANEL) * PANEL)):
        invert_norm(norm2[i], careful, zero_inverse, inverse + i, rest + i)
    return status


cdef int pack_group(const Pack* p, Py_ssize_t group, bint first_segment, bint last_segment,
                    real zero_inverse) noexcept nogil:
    """Every block of the segment for one group, into the pack's own panels."""
    cdef Py_ssize_t block
    cdef int status = 0
    for block in range(p.blocks):
        status |= pack_block(p, group, block, first_segment and block == 0,
                             panel_of(p, group * TILE_PANELS, block))
    if last_segment:
        status |= invert_norms(p, group * GROUP, GROUP, zero_inverse)
    return status
