# The tile: TILE_ROWS x GROUP outputs held in registers while they run down a block of features;
# and its finish: from dot products and norms to similarities in the user's array.
#
# takes: kernels.pyx, pack.pxi, vectors.h
# gives: Output, tile, panel_tiles, cosine, put, prefetch_output, finish, mirror

cdef struct Output:
    char* data
    Py_ssize_t row_stride, column_stride, itemsize     # bytes
    bint direct                                        # rows of `real`, contiguous
    bint distance


cdef inline void tile_step(const int rows, const int panels, const real* x, const vec* y,
                           Py_ssize_t panel_stride,
                           vec* acc) noexcept nogil:
    # acc[i, j] += x[i] * y[j], of one feature
    cdef vec b
    cdef int i, j, at
    if X_AHEAD > 0:
        prefetch_first(x + X_AHEAD * PANEL)
    for i in range(rows):
        b = splat(x[i])
        for j in range(panels * VECS):
            at = i * panels * VECS + j
            acc[at] = madd(b, y[(j // VECS) * panel_stride + j % VECS], acc[at])


cdef inline void next_run(const int rows, const int panels, const real* x, const vec* y,
                          Py_ssize_t panel_stride, const bint first,
                          vec* acc, vec* block) noexcept nogil:
    # block[i, j] (+)= acc[i, j], and acc[i, j] = x[i] * y[j]: the first feature of the run that
    # follows. Its multiplications stand between the stores, of which a processor that multiplies
    # with all its might does but few at a time. (A product may be -0 where runs elsewhere begin
    # with +0: only a sum of 0 can tell, and `cosine` makes +0 of either.)
    cdef vec b
    cdef int i, j, at
    if X_AHEAD > 0:
        prefetch_first(x + X_AHEAD * PANEL)
    for i in range(rows):
        b = splat(x[i])
        for j in range(panels * VECS):
            at = i * panels * VECS + j
            block[at] = acc[at] if first else block[at] + acc[at]
            acc[at] = b * y[(j // VECS) * panel_stride + j % VECS]


cdef inline void tile_of(const int rows, const int panels, const real* x, const vec* y,
                         Py_ssize_t panel_stride, Py_ssize_t count, bint first,
                         vec* block, vec* totals) noexcept nogil:
    # totals[i, j] (+)= sum_k x[k, i] * y[k, j] over a block of features, in the canonical order;
    # `block` is room for the sums of its runs so far
    cdef vec acc[TILE_ROWS * TILE_PANELS * VECS]
    cdef vec sum
    cdef Py_ssize_t k, start = 0, length
    cdef int i, j, at
    # loops in two: GCC unrolls none of 24 turns, and leaves the sums in memory
    for i in range(rows):
        for j in range(panels * VECS):
            acc[i * panels * VECS + j] = splat(0)
    while True:
        length = at_most(RUN, count - start)
        x += length * PANEL
        y += length * VECS
        # one index for all that is read, from the run's end up to 0, and the test behind the step:
        # GCC keeps a second counter otherwise, and what else is in the loop costs time where a
        # neighbour has half of the core's issue slots
        k = ((start > 0) - length) * PANEL         # `next_run` has met the first feature
        if k < 0:
            while True:
                tile_step(rows, panels, x + k, <const vec*> ((<const real*> y) + k), panel_stride,
                          acc)
                k += PANEL
                if k == 0:
                    break
        start += length
        if start == count:
            break
        if start == RUN:
            next_run(rows, panels, x, y, panel_stride, True, acc, block)
        else:
            next_run(rows, panels, x, y, panel_stride, False, acc, block)
    if count > RUN:
        for i in range(rows):
            for j in range(panels * VECS):
                at = i * panels * VECS + j
                acc[at] = block[at] + acc[at]
    for i in range(rows):
        for j in range(panels * VECS):
            at = i * TILE_PANELS * VECS + j
            sum = acc[i * panels * VECS + j]
            totals[at] = sum if first else totals[at] + sum


# inlined into loops: there GCC unrolls the tile early enough to keep all of it in registers
cdef inline void tile(Py_ssize_t rows, Py_ssize_t panels, const real* x, const vec* y,
                      Py_ssize_t panel_stride, Py_ssize_t count, bint first,
                      vec* block, vec* totals) noexcept nogil:
    cdef Py_ssize_t q = 0
    if panels == TILE_PANELS:
        if rows == 1:
            tile_of(1, TILE_PANELS, x, y, panel_stride, count, first, block, totals)
        else:
            tile_of(TILE_ROWS, TILE_PANELS, x, y, panel_stride, count, first, block, totals)
        return
    # as many sums at a time as there are: each is added to once in the time of several additions
    while TILE_PANELS > 2 and q + 1 < panels:
        tile_of(TILE_ROWS, 2, x, y + q * panel_stride, panel_stride, count, first,
                block, totals + q * VECS)
        q += 2
    while q < panels:
        if rows == 1:
            tile_of(1, 1, x, y + q * panel_stride, panel_stride, count, first,
                    block, totals + q * VECS)
        else:
            tile_of(TILE_ROWS, 1, x, y + q * panel_stride, panel_stride, count, first,
                    block, totals + q * VECS)
        q += 1


cdef inline void panel_tiles(Py_ssize_t rows, Py_ssize_t panels, const real* x, const vec* y,
                             Py_ssize_t panel_stride, Py_ssize_t count, bint first,
                             vec* block, vec* totals) noexcept nogil:
    """The tiles of the first `rows` of a panel of X."""
    cdef Py_ssize_t sub = 0
    if TALL_ROWS > TILE_ROWS and panels == 1 and rows > TILE_ROWS:
        tile_of(TALL_ROWS, 1, x, y, panel_stride, count, first, block, totals)
        return
    while sub < rows:
        tile(rows - sub, panels, x + sub, y, panel_stride, count, first, block,
             totals + sub * TILE_PANELS * VECS)
        sub += TILE_ROWS


cdef inline vec cosine(vec dot, vec inverse_x, vec rest_x, vec inverse_y, vec rest_y,
                       bint distance) noexcept nogil:
    # dot / (‖x‖ ‖y‖) rounded once: the scale R = hx hy (1 + ex + ey) is kept in two words, and
    # symmetrically, so that equal rows give n * (1/n) = 1 exactly and x, y may change places
    cdef vec high = inverse_x * inverse_y
    cdef vec low = exact_madd(high, rest_x + rest_y, exact_madd(inverse_x, inverse_y, -high))
    cdef vec s = exact_madd(dot, high, madd(dot, low, splat(0)))
    s = vmax(splat(-1), vmin(splat(1), s))
    if distance:
        s = splat(1) - s
    return s


cdef void put(Output* out, Py_ssize_t i, Py_ssize_t j, Py_ssize_t columns,
              const real* line) noexcept nogil:
    # out[i, j:j + columns] = line, any strides, either dtype
    cdef char* p = out.data + i * out.row_stride + j * out.column_stride
    cdef float single
    cdef double wide
    cdef Py_ssize_t k
    if out.itemsize == sizeof(float):
        for k in range(columns):
            single = <float> line[k]
            memcpy(p + k * out.column_stride, &single, sizeof(float))
    else:
        for k in range(columns):
            wide = <double> line[k]
            memcpy(p + k * out.column_stride, &wide, sizeof(double))


cdef void prefetch_output(const Output* out, Py_ssize_t i, Py_ssize_t rows, Py_ssize_t j,
                          Py_ssize_t columns) noexcept nogil:
    """Bring out[i:i + rows, j:j + columns] near, to be written."""
    cdef Py_ssize_t r, c, bytes = columns * out.itemsize
    cdef const char* row
    if out.direct:
        for r in range(rows):
            row = out.data + (i + r) * out.row_stride + j * out.column_stride
            for c in range(bytes // CACHE_LINE):
                prefetch_write(row + c * CACHE_LINE)
            prefetch_write(row + bytes - 1)


cdef void finish(const vec* totals, Py_ssize_t rows, Py_ssize_t columns, const Pack* X,
                 Py_ssize_t i, const Pack* Y, Py_ssize_t j, Output* out) noexcept nogil:
    """out[X.first + i ..., Y.first + j ...] = the cosines of rows x columns dot products."""
    cdef real line[GROUP]
    cdef vec hx, ex, s
    cdef Py_ssize_t r, v, full = columns // LANES if out.direct else 0
    cdef real* to
    # in registers: what is stored might be the structures' own memory, for all a compiler knows
    cdef const real* inverse = Y.inverse + j
    cdef const real* rest = Y.rest + j
    cdef bint distance = out.distance
    for r in range(rows):
        hx = splat(X.inverse[i + r])
        ex = splat(X.rest[i + r])
        to = <real*> (out.data + (X.first + i + r) * out.row_stride
                      + (Y.first + j) * out.column_stride)
        for v in range(ceil_div(columns, LANES)):
            s = cosine(totals[r * TILE_PANELS * VECS + v], hx, ex, load(inverse + v * LANES),
                       load(rest + v * LANES), distance)
            store((to if v < full else line) + v * LANES, s)
        if full * LANES < columns:
            put(out, X.first + i + r, Y.first + j + full * LANES, columns - full * LANES,
                line + full * LANES)


cdef void mirror(Output* out, Py_ssize_t i, Py_ssize_t rows, Py_ssize_t j,
                 Py_ssize_t columns) noexcept nogil:
    """out[j:j + columns, i:i + rows] = out[i:i + rows, j:j + columns].T"""
    cdef vec t[LANES]
    cdef const real* row[LANES]
    cdef Py_ssize_t r, c, k, full_rows = 0, full_columns = 0
    cdef const char* source = out.data + i * out.row_stride + j * out.column_stride
    cdef char* target = out.data + j * out.row_stride + i * out.column_stride
    if out.direct:
        full_rows = rows // LANES * LANES
        full_columns = columns // LANES * LANES
        for r in range(rows // LANES):
            for k in range(LANES):
                row[k] = <const real*> (source + (r * LANES + k) * out.row_stride)
            for c in range(columns // LANES):
                load_transposed(row, c * LANES, t)
                for k in range(LANES):
                    store(<real*> (target + (c * LANES + k) * out.row_stride) + r * LANES, t[k])
    for r in range(rows):
        for c in range(0 if r >= full_rows else full_columns, columns):
            memcpy(target + c * out.row_stride + r * out.column_stride,
                   source + r * out.row_stride + c * out.column_stride, out.itemsize)
