# Reading the user's matrix: any dtype, strides and byte order, a block of one row at a time.
#
# takes: kernels.pyx, vectors.h, sparse/sparse.pyx, sparse.h
# gives: UINT8, INT8, FLOAT16, BFLOAT16, FLOAT32, FLOAT64, Source, source_at, source_of, row_start,
#        gather, convert
#
# A matrix arrives as a typed memoryview of bytes (row, feature, byte): the one view that every
# dtype has, half types and foreign byte orders included. Nothing is ever converted as a whole.

cdef enum Kind:              # the element types, numbered as in unitdot._inputs.KINDS
    UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, FLOAT16, BFLOAT16, FLOAT32, FLOAT64
    SWAPPED = 16             # added where the byte order is not the machine's

cdef union Bits32:
    uint32_t u
    float f

cdef struct Source:
    const char* data
    Py_ssize_t rows, features
    Py_ssize_t row_stride, feature_stride, itemsize    # bytes
    int kind
    bint swapped
    bint plain                    # contiguous, the machine's byte order; addresses may be odd
    bint native                   # plain rows of `real`: read in place, by load and load_one
    const int64_t* order          # row i is order[i] of those in memory; NULL: they are in order
    Py_ssize_t ordered            # as many are there, the rows and what will be wanted next


cdef Source source_at(const char* data, Py_ssize_t rows, Py_ssize_t features,
                      Py_ssize_t row_stride, Py_ssize_t feature_stride, Py_ssize_t itemsize,
                      int kind) noexcept nogil:
    cdef Source s
    s.data, s.rows, s.features, s.itemsize = data, rows, features, itemsize
    s.row_stride, s.feature_stride = row_stride, feature_stride
    s.kind = kind & (SWAPPED - 1)
    s.swapped = kind >= SWAPPED
    s.plain = not s.swapped and (s.feature_stride == s.itemsize or s.features == 1)
    s.native = s.plain and s.kind == REAL_KIND
    s.order, s.ordered = NULL, 0
    return s


cdef Source source_of(const unsigned char[:, :, :] array, int kind) noexcept:
    cdef const char* data = NULL     # without rows there is no first element
    if array.shape[0] > 0:
        data = <const char*> &array[0, 0, 0]
    return source_at(data, array.shape[0], array.shape[1], array.strides[0], array.strides[1],
                     array.shape[2], kind)


cdef inline const char* row_start(const Source* s, Py_ssize_t row) noexcept nogil:
    """Where a row begins. (What reads rows one after the other is for those in order alone.)"""
    return s.data + (row if s.order == NULL else s.order[row]) * s.row_stride


cdef inline float float_of_half(uint16_t half) noexcept nogil:
    # (-1)^sign * (implicit + mantissa) * 2^(exponent - 25), no branch, subnormals without assists
    cdef uint32_t mantissa = half & 0x3FF, exponent = (half >> 10) & 31
    cdef uint32_t significand = mantissa | (<uint32_t> (exponent != 0) << 10)
    cdef Bits32 scale, special, value
    scale.u = ((exponent + (exponent == 0)) + 102) << 23
    value.f = <float> <int32_t> significand * scale.f
    special.u = 0x7F800000 | (mantissa << 13)
    value.u = special.u if exponent == 31 else value.u
    value.u |= <uint32_t> (half & 0x8000) << 16
    return value.f


cdef inline float float_of_bfloat(uint16_t bfloat) noexcept nogil:
    cdef Bits32 value
    value.u = <uint32_t> bfloat << 16
    return value.f


ctypedef fused number:
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    int8_t
    int16_t
    int32_t
    int64_t
    float
    double


cdef inline void cast(const number* raw, Py_ssize_t count, real* row) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        row[k] = <real> raw[k]


cdef void gather(const Source* s, const char* p, Py_ssize_t count, char* raw) noexcept nogil:
    # strided or byte-swapped elements, made contiguous and native
    cdef Py_ssize_t k, b, step = s.feature_stride, size = s.itemsize
    if s.swapped:
        for k in range(count):
            for b in range(size):
                raw[k * size + b] = p[k * step + size - 1 - b]
    elif step == size:
        memcpy(raw, p, count * size)
    elif size == 8:
        for k in range(count):
            memcpy(raw + 8 * k, p + k * step, 8)
    elif size == 4:
        for k in range(count):
            memcpy(raw + 4 * k, p + k * step, 4)
    elif size == 2:
        for k in range(count):
            memcpy(raw + 2 * k, p + k * step, 2)
    else:
        for k in range(count):
            raw[k] = p[k * step]


cdef void convert(const Source* s, Py_ssize_t row, Py_ssize_t k0, Py_ssize_t count,
                  real* to) noexcept nogil:
    """to[:count] = real(array[row, k0:k0 + count]), count <= BLOCK."""
    cdef const char* p = row_start(s, row) + k0 * s.feature_stride
    cdef uint64_t raw[BLOCK]
    cdef Py_ssize_t k
    # copied also where only the address is odd: typed loads need aligned elements
    if s.swapped or s.feature_stride != s.itemsize or <size_t> p % <size_t> s.itemsize:
        gather(s, p, count, <char*> raw)
        p = <const char*> raw
    if s.kind == FLOAT32:
        cast(<const float*> p, count, to)
    elif s.kind == FLOAT64:
        cast(<const double*> p, count, to)
    elif s.kind == FLOAT16:
        for k in range(load_halves(to, <const uint16_t*> p, count), count):
            to[k] = float_of_half((<const uint16_t*> p)[k])
    elif s.kind == BFLOAT16:
        for k in range(count):
            to[k] = float_of_bfloat((<const uint16_t*> p)[k])
    elif s.kind == UINT8:
        cast(<const uint8_t*> p, count, to)
    elif s.kind == UINT16:
        cast(<const uint16_t*> p, count, to)
    elif s.kind == UINT32:
        cast(<const uint32_t*> p, count, to)
    elif s.kind == UINT64:
        cast(<const uint64_t*> p, count, to)
    elif s.kind == INT8:
        cast(<const int8_t*> p, count, to)
    elif s.kind == INT16:
        cast(<const int16_t*> p, count, to)
    elif s.kind == INT32:
        cast(<const int32_t*> p, count, to)
    else:
        cast(<const int64_t*> p, count, to)
