# What top-k and pairs share: which outputs of a tile pass a limit, and memory that grows.
#
# takes: pack.pxi, tile.pxi, vectors.h, openmp.h
# gives: Buffer, reserve, drop, passing

cdef struct Buffer:              # grows in place where the system can
    char* data
    size_t used, size            # bytes


cdef inline bint reserve(Buffer* buffer, size_t more) noexcept nogil:
    """Room for `more` bytes; False where there is no memory, and nothing is lost."""
    cdef size_t size = buffer.size
    cdef char* data
    if buffer.used + more <= size:
        return True
    size = size + size // 2 + more
    data = <char*> realloc(buffer.data, size)
    if data == NULL:
        return False
    buffer.data, buffer.size = data, size
    return True


cdef void drop(Buffer* buffer) noexcept nogil:
    free(buffer.data)
    memset(buffer, 0, sizeof(Buffer))


cdef enum:
    SLACK = 1 << 20              # quick cosines are within 1 / SLACK of those that are rounded once


cdef inline bint may_pass(const vec* totals, Py_ssize_t columns, const Pack* X, Py_ssize_t i,
                          const Pack* Y, Py_ssize_t j, real limit,
                          const real* column_limits) noexcept nogil:
    """Whether any cosine may reach a limit: most rows of a tile are done with after this."""
    # dot (hx hy), three roundings of 2^-24 and rests of as much: with the rounding to float32
    # where the result is that, less than 2^-21 from `cosine`, which is at most 1; the dot product
    # of many features may be further below -1, which `cosine` makes -1
    cdef vec quick, hx = splat(X.inverse[i]), bar = splat(limit)
    cdef vec slack = splat(<real> 1 / SLACK)
    cdef unsigned bits = 0
    cdef Py_ssize_t v
    for v in range(ceil_div(columns, LANES)):
        if column_limits != NULL:
            bar = vmin(splat(limit), load_stored(column_limits + v * LANES))
        quick = totals[v] * (hx * load(Y.inverse + j + v * LANES))
        bits |= at_least_bits(vmax(splat(-1), quick), bar - slack)
    return bits != 0


cdef inline uint64_t passing(const vec* totals, Py_ssize_t columns, const Pack* X, Py_ssize_t i,
                             const Pack* Y, Py_ssize_t j, bint single, real limit,
                             const real* column_limits, uint64_t* column_bits,
                             real* line) noexcept nogil:
    """A bit for each of up to GROUP columns whose cosine is at least `limit`; `line`: the cosines.

    `column_bits`: those that are at least their own column's limit, where there are such. A NaN
    passes no limit.
    """
    cdef vec hx = splat(X.inverse[i]), ex = splat(X.rest[i]), s
    cdef uint64_t bits = 0, own = 0, all_columns = ~<uint64_t> 0 >> (64 - columns)
    cdef Py_ssize_t v
    if not may_pass(totals, columns, X, i, Y, j, limit, column_limits):
        column_bits[0] = 0
        return 0
    for v in range(ceil_div(columns, LANES)):
        s = cosine(totals[v], hx, ex, load(Y.inverse + j + v * LANES), load(Y.rest + j + v * LANES),
                   False)
        if single:
            s = to_single(s)
        store(line + v * LANES, s)
        bits |= <uint64_t> at_least_bits(s, splat(limit)) << (v * LANES)
        if column_limits != NULL:
            own |= (<uint64_t> at_least_bits(s, load_stored(column_limits + v * LANES))
                    << (v * LANES))
    column_bits[0] = own & all_columns
    return bits & all_columns
