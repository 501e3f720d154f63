# Rows of 8-bit integers, both sides of one kind: dot products and squared norms in integers. These
# are exact, and so are the sums of float64 in the canonical order, below 2^53: the same numbers.
#
# takes: kernels.pyx, source.pxi, pack.pxi, plan.pxi, paired.pxi, screen.pxi, queries.pxi,
#        vectors.h, screen.h, integers.h
# gives: NO_INTEGERS, integers_of, are_bytes, unit_of, pack_units, multiply_units, take_offsets,
#        meet_bytes, sum_byte_rows
#
# Many rows: packed as any others, with a unit of 8 bytes in the place of a feature: 8 integers as
# they are where there is VNNI, 4 shorts elsewhere. A lane of the tile's sums is two words, which
# are added up after a block. VNNI wants one side without sign and one with: with their highest bit
# turned the bytes of Y are 128 more, or less, and what that adds depends on the row of X alone: its
# offset.
#
# A row or two of X, and paired rows: both in place, as shorts.

cdef enum Integers:
    NO_INTEGERS
    SIGNED_SHORTS                # sign of the bytes, and what units hold
    UNSIGNED_SHORTS
    SIGNED_BYTES
    UNSIGNED_BYTES

cdef enum:
    RAISED = 128
    EXACT = 1 << 15              # features whose products' sum has room in 32 bits


cdef int integers_of(const Source* X, const Source* Y) noexcept nogil:
    """Whether the products are made in integers, and of what."""
    if (not INTEGERS or X.kind != Y.kind or not X.plain or not Y.plain
            or (X.kind != INT8 and X.kind != UINT8)):
        return NO_INTEGERS
    if HAS_VNNI and vnni:
        return SIGNED_BYTES if X.kind == INT8 else UNSIGNED_BYTES
    return SIGNED_SHORTS if X.kind == INT8 else UNSIGNED_SHORTS


cdef inline bint are_signed(int integers) noexcept nogil:
    return integers == SIGNED_SHORTS or integers == SIGNED_BYTES


cdef inline bint are_bytes(int integers) noexcept nogil:
    return integers == SIGNED_BYTES or integers == UNSIGNED_BYTES


cdef inline int unit_of(int integers) noexcept nogil:
    """Features that are packed as one."""
    if integers == NO_INTEGERS:
        return 1
    return sizeof(real) if are_bytes(integers) else sizeof(real) // sizeof(int16_t)


cdef const real* lane_of_units(const Source* s, Py_ssize_t row, Py_ssize_t block,
                               Py_ssize_t padded, int integers, real* stage) noexcept nogil:
    """One block of one row as units, zeros after its end: in place where it can be."""
    cdef Py_ssize_t unit = unit_of(integers), first = block * BLOCK * unit, k
    cdef Py_ssize_t count = at_most(padded * unit, s.features - first)
    cdef const char* at = row_start(s, row) + first
    cdef int16_t* shorts = <int16_t*> stage
    if are_bytes(integers):
        if count == padded * unit:
            return <const real*> at
        memcpy(stage, at, count)
        memset((<char*> stage) + count, 0, padded * unit - count)
        return stage
    if are_signed(integers):
        for k in range(count):
            shorts[k] = (<const int8_t*> at)[k]
    else:
        for k in range(count):
            shorts[k] = (<const uint8_t*> at)[k]
    memset(shorts + count, 0, (padded * unit - count) * sizeof(int16_t))
    return stage


cdef int pack_units(const Pack* p, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t block, bint first,
                    real* panel) noexcept nogil:
    """`pack_panel` of units, with the rows' offsets, for PANEL rows of the pack from `row` on."""
    cdef const Source* s = p.source
    cdef int integers = p.integers, i, v
    cdef real stage[PANEL * BLOCK]
    cdef const real* lane[PANEL]
    cdef const char* after[PANEL]
    cdef vec t[LANES]
    cdef words squares, sums, bytes
    cdef vec norm2, offset
    cdef real* at
    cdef Py_ssize_t unit = unit_of(integers), units = ceil_div(s.features, unit), k
    cdef Py_ssize_t padded = ceil_div(block_length(units, block), LANES) * LANES
    for i in range(PANEL):
        lane[i] = ZEROS
        after[i] = <const char*> ZEROS
        if i < rows:
            after[i] = row_after(s, p.first + row + i, GROUP) + block * BLOCK * unit
            lane[i] = lane_of_units(s, p.first + row + i, block, padded, integers,
                                    stage + i * BLOCK)
    for v in range(VECS):
        squares = sums = bits_of(splat(0))
        for k in range(padded // LANES):
            load_transposed(lane + v * LANES, k * LANES, t)
            for i in range(LANES):
                prefetch_second(after[v * LANES + i] + k * LANES * unit)
                store(panel + ((k * LANES + i) * VECS + v) * LANES, t[i])
                bytes = bits_of(t[i])
                if integers == SIGNED_BYTES:
                    squares = add_bytes(squares, flipped(bytes), bytes)
                    sums = add_bytes(sums, splat_bytes(1), bytes)
                elif integers == UNSIGNED_BYTES:
                    squares = add_bytes(squares, bytes, flipped(bytes))
                    sums = add_bytes(sums, bytes, splat_bytes(1))
                else:
                    squares = add_shorts(squares, bytes, bytes)
        norm2, offset = unit_sums(squares), splat(0)
        if are_bytes(integers):
            # (y + 128) y of bytes with a sign, y (y - 128) of those without
            offset = unit_sums(sums) * splat(-RAISED if are_signed(integers) else RAISED)
            norm2 = norm2 + offset
        at = p.norm2 + row + v * LANES
        store(at, norm2 if first else load(at) + norm2)
        at = p.offset + row + v * LANES
        store(at, offset if first else load(at) + offset)
    return 0


cdef inline void unit_tile(int integers, const real* x, const vec* y, Py_ssize_t panel_stride,
                           Py_ssize_t count, Py_ssize_t panels, bint first,
                           vec* totals) noexcept nogil:
    """totals[i, j] (+)= the products of TILE_ROWS rows by `panels`, over a block of units."""
    cdef words acc[TILE_ROWS][TILE_PANELS * VECS]
    cdef words b
    cdef words c[TILE_PANELS * VECS]
    cdef const vec* at
    # one index for all that is read, from the block's end up to 0, as in tile.pxi
    cdef Py_ssize_t k = -count * PANEL
    cdef int i, j
    x += count * PANEL
    y += count * VECS
    for i in range(TILE_ROWS):
        for j in range(panels * VECS):
            acc[i][j] = bits_of(splat(0))
    while True:
        for j in range(panels * VECS):
            at = <const vec*> ((<const real*> y) + k)
            c[j] = bits_of(at[(j // VECS) * panel_stride + j % VECS])
            if j + 1 < TILE_PANELS * VECS:
                c[j] = kept(c[j])
            if are_bytes(integers):
                c[j] = flipped(c[j])
        for i in range(TILE_ROWS):
            b = splat_unit(x + k + i)
            for j in range(panels * VECS):
                if integers == SIGNED_BYTES:
                    acc[i][j] = add_bytes(acc[i][j], c[j], b)
                elif integers == UNSIGNED_BYTES:
                    acc[i][j] = add_bytes(acc[i][j], b, c[j])
                else:
                    acc[i][j] = meet_shorts(acc[i][j], b, c[j])
        k += PANEL
        if k == 0:
            break
    for i in range(TILE_ROWS):
        for j in range(panels * VECS):
            totals[i * TILE_PANELS * VECS + j] = (
                unit_sums(acc[i][j]) if first
                else totals[i * TILE_PANELS * VECS + j] + unit_sums(acc[i][j]))


cdef inline void unit_tiles(int integers, const real* x, const vec* y, Py_ssize_t panel_stride,
                            Py_ssize_t count, Py_ssize_t panels, bint first,
                            vec* totals) noexcept nogil:
    cdef Py_ssize_t q
    if panels == TILE_PANELS:
        unit_tile(integers, x, y, panel_stride, count, TILE_PANELS, first, totals)
        return
    for q in range(panels):
        unit_tile(integers, x, y + q * panel_stride, panel_stride, count, 1, first,
                  totals + q * VECS)


cdef void shorts_tile "shorts_tile" (const real* x, const vec* y, Py_ssize_t panel_stride,
                                     Py_ssize_t count, Py_ssize_t panels, bint first,
                                     vec* totals) noexcept nogil:
    unit_tiles(SIGNED_SHORTS, x, y, panel_stride, count, panels, first, totals)


cdef void signed_tile "signed_tile" (const real* x, const vec* y, Py_ssize_t panel_stride,
                                     Py_ssize_t count, Py_ssize_t panels, bint first,
                                     vec* totals) noexcept nogil:
    unit_tiles(SIGNED_BYTES, x, y, panel_stride, count, panels, first, totals)


cdef void unsigned_tile "unsigned_tile" (const real* x, const vec* y, Py_ssize_t panel_stride,
                                         Py_ssize_t count, Py_ssize_t panels, bint first,
                                         vec* totals) noexcept nogil:
    unit_tiles(UNSIGNED_BYTES, x, y, panel_stride, count, panels, first, totals)


cdef void multiply_units(int integers, const real* x, const vec* y, Py_ssize_t panel_stride,
                         Py_ssize_t count, Py_ssize_t panels, bint first,
                         vec* totals) noexcept nogil:
    """`tile`, in integers."""
    if HAS_VNNI and integers == SIGNED_BYTES:
        signed_tile(x, y, panel_stride, count, panels, first, totals)
    elif HAS_VNNI and integers == UNSIGNED_BYTES:
        unsigned_tile(x, y, panel_stride, count, panels, first, totals)
    else:
        shorts_tile(x, y, panel_stride, count, panels, first, totals)


cdef void take_offsets(const Pack* X, Py_ssize_t i, vec* totals) noexcept nogil:
    """What the bytes of Y were raised by is taken off the products of a panel of X."""
    cdef Py_ssize_t r
    cdef int j
    if not are_bytes(X.integers):
        return
    for r in range(PANEL):
        for j in range(TILE_PANELS * VECS):
            totals[r * TILE_PANELS * VECS + j] = (totals[r * TILE_PANELS * VECS + j]
                                                  + splat(X.offset[i + r]))


cdef inline void byte_sums(const bint sign, const int queries, const char** x, const char* y,
                           Py_ssize_t features, real* sums) noexcept nogil:
    """sums[:queries] = x[q] . y, sums[queries] = y . y"""
    cdef words acc[QUERIES + 1]
    cdef char tail[QUERIES + 1][SHORTS]
    cdef words b
    cdef Py_ssize_t k = 0, stop
    cdef int q
    for q in range(queries + 1):
        sums[q] = 0
    while k < features:
        stop = at_most(features, k + EXACT)
        for q in range(queries + 1):
            acc[q] = bits_of(splat(0))
        while k + SHORTS <= stop:
            b = load_bytes(y + k, sign)
            prefetch_second(y + k + AHEAD)
            for q in range(queries):
                acc[q] = add_shorts(acc[q], load_bytes(x[q] + k, sign), b)
            acc[queries] = add_shorts(acc[queries], b, b)
            k += SHORTS
        if k < stop:
            memset(tail, 0, sizeof(tail))
            for q in range(queries):
                memcpy(tail[q], x[q] + k, stop - k)
            memcpy(tail[queries], y + k, stop - k)
            b = load_bytes(tail[queries], sign)
            for q in range(queries):
                acc[q] = add_shorts(acc[q], load_bytes(tail[q], sign), b)
            acc[queries] = add_shorts(acc[queries], b, b)
            k = stop
        for q in range(queries + 1):
            sums[q] = sums[q] + <real> sum_of_words(acc[q])


cdef void meet_bytes(Job* job, Py_ssize_t group, Py_ssize_t columns, real* dots) noexcept nogil:
    """`meet_group`, in integers: dots[q * GROUP + j], for a row or two of X."""
    cdef const char* x[QUERIES]
    cdef real sums[QUERIES + 1]
    cdef const char* y = job.Y.data + (job.PY.first + group * GROUP) * job.Y.row_stride
    cdef Py_ssize_t features = job.Y.features, j
    cdef int q, queries = <int> job.PX.count
    cdef bint sign = are_signed(job.integers)
    for q in range(queries):
        x[q] = job.X.data + (job.PX.first + q) * job.X.row_stride
    for j in range(columns):
        if queries == 1:
            if sign:
                byte_sums(True, 1, x, y, features, sums)
            else:
                byte_sums(False, 1, x, y, features, sums)
        elif sign:
            byte_sums(True, QUERIES, x, y, features, sums)
        else:
            byte_sums(False, QUERIES, x, y, features, sums)
        for q in range(queries):
            dots[q * GROUP + j] = sums[q]
        job.PY.norm2[group * GROUP + j] = sums[queries]
        y += job.Y.row_stride
    for j in range(columns, ceil_div(columns, PANEL) * PANEL):
        job.PY.norm2[group * GROUP + j] = 0
        for q in range(queries):
            dots[q * GROUP + j] = 0


cdef void sum_byte_rows(Paired* job, Py_ssize_t first) noexcept nogil:
    """The totals of up to LANES rows from the first-th on."""
    cdef const char* x[1]
    cdef const char* y
    cdef real sums[QUERIES + 1]
    cdef Py_ssize_t row, features = job.X.features
    for row in range(first, at_most(first + LANES, job.rows)):
        x[0] = job.X.data + (job.row0 + row) * job.X.row_stride
        y = job.Y.data + (job.row0 + row) * job.Y.row_stride
        if are_signed(job.integers):
            byte_sums(True, 1, x, y, features, sums)
        else:
            byte_sums(False, 1, x, y, features, sums)
        job.totals[row], job.totals[2 * job.rows + row] = sums[0], sums[1]
        if are_signed(job.integers):
            byte_sums(True, 0, x, x[0], features, sums)
        else:
            byte_sums(False, 0, x, x[0], features, sums)
        job.totals[job.rows + row] = sums[0]
