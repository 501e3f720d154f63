# Rows of a sparse or dense matrix: read, and measured.
#
# takes: sparse.pyx, dense/source.pxi, csr.pxi, openmp.h
# gives: CHAIN, Table, Entries, start_of, read_values, read_row, add, measure_entries, cosine,
#        cosine_of, dot_with, Rows, Scratch, Team, begin, end, spread, wipe, paired
#
# A row is read into scratch as (feature, value) entries in ascending order of features, whatever
# the matrix is: CSR with either dtype of values and of indices, or dense with any dtype and layout.
# Rows of float64 are read times their own exact power of two, 2^-exponent, which brings the
# largest element into [1, 2): no square overflows or vanishes. What float32 holds needs no scaling
# in double.
#
# The caller's arrays are read where they are, and more than once; only `starts` is a copy. Another
# thread may write to them meanwhile, and then nothing that was checked or counted holds any more:
# so a feature is brought within range wherever it is read, and whatever is filled by what was
# counted before has its end looked at.
#
# Sums run through the shared features in ascending order. The rounding errors of such a chain grow
# with its length where all terms are about equal, so where both rows have more than CHAIN entries
# the errors of the additions are summed beside (Ogita, Rump and Oishi, SIAM J. Sci. Comput. 26,
# 2005) and added at the end: a rule of the two rows alone.

cdef enum:
    CHAIN = 64

cdef struct Table:           # a matrix
    bint is_dense
    bint wide_values         # double, not float
    bint wide_indices        # int64, not int32
    const void* values
    const void* indices
    const void* starts
    Source source            # where it is dense
    Py_ssize_t rows, features, longest
    double* norm2            # of the scaled row; 1 where it is zero, NaN where its results are NaN
    double* inverse          # 1 / sqrt(norm2)
    int* exponent            # NULL: rows are read as they are
    bint* is_long            # more than CHAIN entries

cdef struct Entries:         # a row in scratch
    Py_ssize_t count
    int32_t* feature
    double* value


cdef inline int64_t start_of(const Table* t, Py_ssize_t i) noexcept nogil:
    return (<const int64_t*> t.starts)[i] if t.wide_indices else (<const int32_t*> t.starts)[i]


cdef inline double power_of_two(int e) noexcept nogil:
    cdef uint64_t bits = <uint64_t> (e + 1023) << 52
    cdef double power
    if not -1022 <= e <= 1023:
        return ldexp(1.0, e)
    memcpy(&power, &bits, sizeof(double))
    return power


cdef inline int exponent_of(double magnitude) noexcept nogil:
    # of the power of two at or below it
    cdef uint64_t bits
    cdef int e
    memcpy(&bits, &magnitude, sizeof(double))
    if bits >> 52:
        return <int> (bits >> 52) - 1023
    frexp(magnitude, &e)
    return e - 1


cdef inline void powers_of(int exponent, double* a, double* b) noexcept nogil:
    # a * b = 2^-exponent, each a double; only one of the two multiplications can round
    cdef int up = -exponent if -exponent < 1022 else 1022
    a[0] = power_of_two(up)
    b[0] = power_of_two(-exponent - up)


cdef inline int32_t within(index_t feature, Py_ssize_t features) noexcept nogil:
    # as it is, unless another thread has written to it since the check
    return <int32_t> feature if <uint64_t> feature < <uint64_t> features else 0


cdef inline void read_features(const index_t* indices, Py_ssize_t count, Py_ssize_t features,
                               int32_t* to) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        to[k] = within(indices[k], features)


cdef inline void read_values(const value_t* values, Py_ssize_t count, double* to) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        to[k] = <double> values[k]


cdef void read_dense(const Table* t, Py_ssize_t i, Entries* row) noexcept nogil:
    cdef double buffer[BLOCK]
    cdef Py_ssize_t k0 = 0, k, count
    row.count = 0
    while k0 < t.features:
        count = min(<Py_ssize_t> BLOCK, t.features - k0)
        convert(&t.source, i, k0, count, buffer)
        for k in range(count):
            row.feature[row.count] = <int32_t> (k0 + k)
            row.value[row.count] = buffer[k]
            row.count += buffer[k] != 0
        k0 += count


cdef void read_unscaled(const Table* t, Py_ssize_t i, Entries* row) noexcept nogil:
    cdef Py_ssize_t start, count
    if t.is_dense:
        read_dense(t, i, row)
        return
    start, count = start_of(t, i), start_of(t, i + 1) - start_of(t, i)
    row.count = count
    if t.wide_indices:
        read_features(<const int64_t*> t.indices + start, count, t.features, row.feature)
    else:
        read_features(<const int32_t*> t.indices + start, count, t.features, row.feature)
    if t.wide_values:
        read_values(<const double*> t.values + start, count, row.value)
    else:
        read_values(<const float*> t.values + start, count, row.value)


cdef void read_row(const Table* t, Py_ssize_t i, Entries* row) noexcept nogil:
    """Row i, scaled; no entries where it is zero or its results are NaN."""
    cdef double a, b
    cdef Py_ssize_t k
    if t.norm2[i] != t.norm2[i]:
        row.count = 0
        return
    read_unscaled(t, i, row)
    if t.exponent != NULL:
        powers_of(t.exponent[i], &a, &b)
        for k in range(row.count):
            row.value[k] = row.value[k] * a * b


cdef inline void add(double* sum, double* errors, double term) noexcept nogil:
    # sum += term; errors += what that rounded off, exactly (Knuth's two-sum)
    cdef double total = sum[0] + term
    cdef double part = total - sum[0]
    errors[0] += (sum[0] - (total - part)) + (term - part)
    sum[0] = total


cdef inline double square_of(const Entries* row) noexcept nogil:
    """row · row in the canonical order."""
    cdef double dot = 0, errors = 0
    cdef Py_ssize_t k
    if row.count <= CHAIN:
        for k in range(row.count):
            dot += row.value[k] * row.value[k]
        return dot
    for k in range(row.count):
        add(&dot, &errors, row.value[k] * row.value[k])
    return dot + errors


cdef int measure_entries(Entries* row, bint scaled, int* exponent, double* norm2,
                         double* inverse) noexcept nogil:
    """Scale the row, where it is to be; what `Found` has for it. Where that is NOT_FINITE or
    ZERO_ROW, nothing else is done."""
    cdef double largest = 0, magnitude, a, b
    cdef Py_ssize_t k
    cdef int status = 0
    for k in range(row.count):
        if not row.value[k] - row.value[k] == 0:
            return NOT_FINITE
        magnitude = row.value[k]
        if magnitude < 0:
            magnitude = -magnitude
            status = NEGATIVE
        largest = magnitude if magnitude > largest else largest
    if largest == 0:
        return ZERO_ROW
    if scaled:
        exponent[0] = exponent_of(largest)
        powers_of(exponent[0], &a, &b)
        for k in range(row.count):
            row.value[k] = row.value[k] * a * b
    norm2[0] = square_of(row)
    inverse[0] = inverse_root(norm2[0])
    return status


cdef int measure_row(Table* t, Py_ssize_t i, bint nan_for_zero, Entries* row) noexcept nogil:
    """The row's exponent and norm."""
    cdef int exponent = 0, status
    read_unscaled(t, i, row)
    t.norm2[i] = t.inverse[i] = 1
    status = measure_entries(row, t.exponent != NULL, &exponent, t.norm2 + i, t.inverse + i)
    if status & NOT_FINITE or (status & ZERO_ROW and nan_for_zero):
        t.norm2[i] = t.inverse[i] = NAN
    if not status & (NOT_FINITE | ZERO_ROW):
        t.is_long[i] = row.count > CHAIN
        if t.exponent != NULL:
            t.exponent[i] = exponent
    return status


cdef inline double clipped(double s) noexcept nogil:
    s = 1 if s > 1 else s
    return -1 if s < -1 else s


cdef inline double cosine(double dot, double norm2_x, double inverse_x, double norm2_y,
                          double inverse_y, bint wide) noexcept nogil:
    # dot / sqrt(nx ny), rounded to the precision of the computation. Below 1/2 a product with the
    # inverses, rounded once each, loses nothing against the errors above; there, equal rows give
    # n / sqrt(n n) = n / n exactly. In single precision n h h is 1 + O(2^-51), which rounds to 1.
    # All of it is symmetric in x and y.
    cdef double s = dot * (inverse_x * inverse_y)
    if not wide:
        s = <double> <float> s
    if s * s >= 0.25:
        if wide:
            s = dot / sqrt(norm2_x * norm2_y)
        s = clipped(s)
    return s


cdef inline double cosine_of(double dot, const Table* X, Py_ssize_t i, const Table* Y,
                             Py_ssize_t j, bint wide) noexcept nogil:
    return cosine(dot, X.norm2[i], X.inverse[i], Y.norm2[j], Y.inverse[j], wide)


cdef inline double split(double a) noexcept nogil:
    # the upper half of a's bits (Dekker, Numer. Math. 18, 1971)
    cdef double c = 134217729.0 * a
    return c - (c - a)


cdef inline double square_error(double a, double square) noexcept nogil:
    # a * a - square exactly, where square = a * a rounded
    cdef double high = split(a)
    cdef double low = a - high
    return ((high * high - square) + 2 * high * low) + low * low


cdef double inverse_root(double n) noexcept nogil:
    """1 / sqrt(n), but for rare ties rounded once: a Newton step with the residual exact."""
    cdef double h = 1 / sqrt(n), square = h * h, product, error
    cdef double n_high = split(n), s_high
    product = n * square
    s_high = split(square)
    error = (((n_high * s_high - product) + n_high * (square - s_high) + (n - n_high) * s_high)
             + (n - n_high) * (square - s_high)) + n * square_error(h, square)
    return h + 0.5 * h * ((1 - product) - error)


cdef inline double gather_dot(const value_t* values, const index_t* indices, Py_ssize_t count,
                              Py_ssize_t features, const double* x, double a, double b,
                              bint is_long) noexcept nogil:
    # features that x lacks add zeros, which changes no bit
    cdef double dot = 0, errors = 0
    cdef Py_ssize_t k
    if is_long:
        for k in range(count):
            add(&dot, &errors, x[within(indices[k], features)] * (<double> values[k] * a * b))
        return dot + errors
    if b != 1:                       # the row's largest element is subnormal
        for k in range(count):
            dot += x[within(indices[k], features)] * (<double> values[k] * a * b)
    else:
        for k in range(count):
            dot += x[within(indices[k], features)] * (<double> values[k] * a)
    return dot


cdef inline double gather_from(const Table* Y, const value_t* values, Py_ssize_t start,
                               Py_ssize_t count, const double* x, double a, double b,
                               bint is_long) noexcept nogil:
    if Y.wide_indices:
        return gather_dot(values, <const int64_t*> Y.indices + start, count, Y.features, x, a, b,
                          is_long)
    return gather_dot(values, <const int32_t*> Y.indices + start, count, Y.features, x, a, b,
                      is_long)


cdef double merge_dot(const Entries* x, const Entries* y) noexcept nogil:
    cdef Py_ssize_t k = 0, m = 0
    cdef double dot = 0, errors = 0
    while k < x.count and m < y.count:
        if x.feature[k] < y.feature[m]:
            k += 1
        elif x.feature[k] > y.feature[m]:
            m += 1
        else:
            add(&dot, &errors, x.value[k] * y.value[m])
            k += 1
            m += 1
    return dot + errors if x.count > CHAIN and y.count > CHAIN else dot


cdef double dot_with(const Entries* x, const double* x_dense, const Table* Y, Py_ssize_t j,
                     Entries* y) noexcept nogil:
    """x · Y[j] in the canonical order; `x_dense` is x as a dense vector or NULL, `y` scratch."""
    cdef double a = 1, b = 1
    cdef Py_ssize_t start, count
    cdef bint is_long
    if x_dense == NULL or Y.is_dense:
        read_row(Y, j, y)
        return merge_dot(x, y)
    if Y.exponent != NULL and Y.exponent[j] != 0:
        powers_of(Y.exponent[j], &a, &b)
    start, count = start_of(Y, j), start_of(Y, j + 1) - start_of(Y, j)
    is_long = x.count > CHAIN and count > CHAIN
    if Y.wide_values:
        return gather_from(Y, <const double*> Y.values + start, start, count, x_dense, a, b,
                           is_long)
    return gather_from(Y, <const float*> Y.values + start, start, count, x_dense, a, b, is_long)


cdef class Rows:
    """A checked matrix, canonical CSR or dense, with the norms of its rows."""

    cdef Table table
    cdef object held
    cdef readonly int found              # ZERO_ROW, NOT_FINITE, NEGATIVE
    cdef readonly Py_ssize_t entries     # stored ones; all where it is dense

    def __dealloc__(self):
        free(self.table.norm2)
        free(self.table.inverse)
        free(self.table.exponent)
        free(self.table.is_long)

    @staticmethod
    def of_csr(const value_t[::1] values, const index_t[::1] indices, const index_t[::1] starts,
               Py_ssize_t features, bint scaled, bint nan_for_zero, int threads):
        """`scaled`: read every row times its own power of two."""
        cdef Rows self = Rows()
        cdef Table* t = &self.table
        self.held = values.base, indices.base, starts.base
        self.entries = starts[starts.shape[0] - 1]
        t.wide_values = sizeof(value_t) == 8
        t.wide_indices = sizeof(index_t) == 8
        if values.shape[0]:
            t.values, t.indices = &values[0], &indices[0]
        t.starts = &starts[0]
        t.rows, t.features = starts.shape[0] - 1, features
        t.longest = longest_row(starts)
        self.measure(scaled, nan_for_zero, threads)
        return self

    @staticmethod
    def of_dense(const unsigned char[:, :, :] view, int kind, bint scaled, bint nan_for_zero,
                 int threads):
        """A view of bytes (row, feature, byte) and its kind, as for the dense kernels."""
        cdef Rows self = Rows()
        cdef Table* t = &self.table
        self.held = view.base
        t.is_dense = True
        t.rows, t.features = view.shape[0], view.shape[1]
        if t.rows:
            t.source = source_of(view, kind)
        t.longest = t.features
        self.entries = t.rows * t.features
        self.measure(scaled, nan_for_zero, threads)
        return self

    cdef measure(self, bint scaled, bint nan_for_zero, int threads):
        cdef Table* t = &self.table
        cdef Team team
        cdef Py_ssize_t i
        cdef int found = 0
        t.norm2 = <double*> allocate(t.rows * sizeof(double))
        t.inverse = <double*> allocate(t.rows * sizeof(double))
        t.is_long = <bint*> allocate(t.rows * sizeof(bint))
        if scaled:
            t.exponent = <int*> allocate(t.rows * sizeof(int))
        begin(&team, t.longest, 0, 0, threads)
        for i in prange(t.rows, nogil=True, num_threads=threads, schedule="guided",
                        chunksize=64):
            found |= measure_row(t, i, nan_for_zero, &team.of[omp_get_thread_num()].x)
        end(&team)
        self.found = found

    @property
    def shape(self):
        return self.table.rows, self.table.features

    def first_zero(self):
        """The first zero row; None where there is none."""
        cdef Entries row
        cdef Py_ssize_t i, k
        cdef bint some
        row.feature = <int32_t*> allocate(self.table.longest * sizeof(int32_t))
        row.value = <double*> allocate(self.table.longest * sizeof(double))
        try:
            for i in range(self.table.rows):
                read_unscaled(&self.table, i, &row)
                some = False
                for k in range(row.count):
                    some |= row.value[k] != 0
                if not some:
                    return i
            return None
        finally:
            free(row.feature)
            free(row.value)


cdef struct Scratch:                 # a thread's own
    Entries x, y
    double* dense                    # the row x as a dense vector, NULL where there is no room
    uint64_t* key
    char* extra

cdef struct Team:
    int threads
    Scratch* of
    char* memory


cdef int begin(Team* team, Py_ssize_t longest, Py_ssize_t features, size_t extra,
               int threads) except -1:
    """Scratch for rows of up to `longest` entries, `extra` zeroed bytes, for every thread."""
    cdef size_t row = longest * (sizeof(int32_t) + sizeof(double)) + 64
    cdef size_t dense = (features if features <= DENSE_SCRATCH else 0) * sizeof(double)
    cdef size_t size = 2 * row + longest * sizeof(uint64_t) + dense + extra + 256
    cdef char* memory
    cdef Scratch* s
    cdef int thread
    size = (size + 4159) // 64 * 64  # threads' own parts never share a line, nor start alike
    team.memory = <char*> allocate(size * threads + threads * sizeof(Scratch))
    team.of = <Scratch*> (team.memory + size * threads)
    team.threads = threads
    for thread in range(threads):
        memory, s = team.memory + size * thread, team.of + thread
        s.dense = <double*> memory if dense else NULL
        s.x.value = <double*> (memory + dense)
        s.y.value = s.x.value + longest
        s.key = <uint64_t*> (s.y.value + longest)
        s.x.feature = <int32_t*> (s.key + longest)
        s.y.feature = s.x.feature + longest
        s.extra = <char*> ((<size_t> (s.y.feature + longest) + 63) // 64 * 64)
    return 0


cdef void end(Team* team) noexcept:
    free(team.memory)
    team.memory = NULL


cdef inline void spread(const Entries* x, double* dense) noexcept nogil:
    cdef Py_ssize_t k
    if dense != NULL:
        for k in range(x.count):
            dense[x.feature[k]] = x.value[k]


cdef inline void wipe(const Entries* x, double* dense) noexcept nogil:
    cdef Py_ssize_t k
    if dense != NULL:
        for k in range(x.count):
            dense[x.feature[k]] = 0


cdef double pair(const Table* X, Py_ssize_t i, const Table* Y, Py_ssize_t j, bint wide,
                 Scratch* s) noexcept nogil:
    read_row(X, i, &s.x)
    read_row(Y, j, &s.y)
    return cosine_of(merge_dot(&s.x, &s.y), X, i, Y, j, wide)


def paired(Rows X, Rows Y, double[::1] out, bint wide, int threads):
    """out[i] = cosine(X[i], Y[i]); a matrix of one row has it everywhere."""
    cdef Py_ssize_t i
    cdef bint one_X = X.table.rows == 1, one_Y = Y.table.rows == 1
    cdef Team team
    begin(&team, max(X.table.longest, Y.table.longest), 0, 0, threads)
    for i in prange(out.shape[0], nogil=True, num_threads=threads, schedule="guided",
                    chunksize=16):
        out[i] = pair(&X.table, 0 if one_X else i, &Y.table, 0 if one_Y else i, wide,
                      team.of + omp_get_thread_num())
    end(&team)
