# Every row of X against the rows of a block of Y (Gustavson, ACM Trans. Math. Softw. 4, 1978).
#
# takes: sparse.pyx, rows.pxi, index.pxi, sums.pxi, sparse.h, bits.h, openmp.h
# gives: AT_ONCE, finish, count_entries, fill_entries, close_gaps, fill_dense
#
# Which of a row's products are stored in a CSR result is known beforehand: the or of the features'
# bitmaps, which also counts the result before anything is computed. Of a dense result of a matrix
# with itself half may be computed, and written twice.

cdef enum:
    AT_ONCE = 256                    # results finished together
    AHEAD = 128                      # entries of a result are brought near so long before
    # entries that a thread fills at a time, at most: some huge pages, for two threads that touch a
    # fresh page at the same time both clear it, and one of these is thrown away
    MOST_AT_A_TIME = 1 << 19
    LEAST_AT_A_TIME = 1 << 15        # unless they make many rows
    DENSE = 8                        # entries of 64 from which on vectors collect them faster

cdef void mark_row(const Lists* lists, const Entries* x, bint is_nan, int vectors,
                   uint64_t* words) noexcept nogil:
    """words = the bitmap of the block's rows that share a feature with x, or have NaN results."""
    cdef Py_ssize_t k, w
    cdef int64_t q
    cdef int32_t bitmap
    memcpy(words, lists.nan_rows, lists.words * sizeof(uint64_t))
    if is_nan:
        for w in range(lists.words):
            words[w] = ~<uint64_t> 0
        if lists.rows % 64:
            words[lists.words - 1] = (<uint64_t> 1 << (lists.rows % 64)) - 1
    for k in range(x.count):
        bitmap = lists.bitmap_of[x.feature[k]]
        if bitmap >= 0:
            or_bits(words, lists.bitmaps + bitmap * lists.words, lists.words, vectors >= 256)
        else:
            for q in range(lists.start[x.feature[k]], lists.start[x.feature[k] + 1]):
                set_bit(words, lists.row[q])


cdef void finish(const double* dot, const Table* X, Py_ssize_t i, const Table* Y, Py_ssize_t j,
                 Py_ssize_t count, bint wide, double* out) noexcept nogil:
    """out[k] = `cosine` of row i and row j + k, by vectors where it can be."""
    cdef Py_ssize_t k
    cdef const double* inverse = Y.inverse + j
    cdef double inverse_x = X.inverse[i]
    if wide:
        for k in range(count):
            out[k] = dot[k] * (inverse_x * inverse[k])
    else:
        for k in range(count):
            out[k] = <double> <float> (dot[k] * (inverse_x * inverse[k]))
    for k in range(count):
        if out[k] * out[k] >= 0.25:
            out[k] = cosine_of(dot[k], X, i, Y, j + k, wide)


cdef inline bint is_ordinary(double s) noexcept nogil:
    """2^-126 <= |s| < 1/2: float32 does not round it to zero, nor `cosine_of` correct it."""
    # in one comparison: without the sign, the bits of doubles ascend as these do
    cdef uint64_t bits
    memcpy(&bits, &s, sizeof(double))
    return (bits << 1 >> 1) - (<uint64_t> 897 << 52) < <uint64_t> (1022 - 897) << 52


cdef Py_ssize_t collect(const Lists* lists, const Table* Y, const Table* X, Py_ssize_t i,
                        const uint64_t* words, double* sums, bint wide, int vectors,
                        Py_ssize_t room, value_t* values, index_t* indices) noexcept nogil:
    """Row i's marked sums as entries; these are zeros again. Returns how many there are.

    Dot products that cancelled, or vanish in the dtype of the result, are not stored. There is
    room for all, unless another thread has written to the input since they were counted.
    """
    cdef const double* inverse = Y.inverse + lists.first
    cdef double inverse_x = X.inverse[i], dot, s
    cdef Py_ssize_t w, at, first = lists.first, kept = 0, by_vectors = 0
    cdef uint64_t bits
    cdef int n
    if vectors == 512 and wide == (sizeof(value_t) == 8) and room > (Y.rows - first) // 64 * DENSE:
        by_vectors = lists.rows // 64
    for w in range(lists.words):
        bits = words[w]
        if room - kept < 64 and room - kept < count_bits(&bits, 1, vectors >= 256):
            memset(sums, 0, (lists.rows - 64 * w) * sizeof(double))
            break
        # a word has a dozen entries where rows are many
        prefetch_write(values + kept + AHEAD)
        prefetch_write(values + kept + AHEAD + 8)
        prefetch_write(indices + kept + AHEAD)
        if w < by_vectors and room - kept >= 64:
            n = compress_word(bits, sums, inverse, inverse_x, first, values + kept,
                              sizeof(value_t) == 8, indices + kept, sizeof(index_t) == 8)
            if n >= 0:
                kept += n
                bits = 0
        while bits:
            at = first_bit(bits)
            bits &= bits - 1
            dot = sums[at]
            sums[at] = 0
            s = dot * (inverse_x * inverse[at])
            indices[kept] = <index_t> (first + at)
            if unlikely(not is_ordinary(s)):
                values[kept] = <value_t> cosine_of(dot, X, i, Y, first + at, wide)
                kept += values[kept] != 0
            else:
                values[kept] = <value_t> (s if wide else <double> <float> s)
                kept += 1
        sums += 64
        inverse += 64
        first += 64
    return kept


def count_entries(Rows X, Index index, Py_ssize_t first, Py_ssize_t stop, int64_t[::1] counts,
                  int threads, int vectors):
    """counts[i] += the entries of row i in the block, i in [first, stop); vectors: the bits of
    those that may be used, 0, 256 or 512."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t i
    begin(&team, X.table.longest, 0, lists.words * sizeof(uint64_t), threads)
    for i in prange(first, stop, nogil=True, num_threads=threads, schedule="dynamic",
                    chunksize=16):
        counts[i] += count_row(&X.table, lists, i, vectors, team.of + omp_get_thread_num())
    end(&team)


cdef Py_ssize_t count_row(const Table* X, const Lists* lists, Py_ssize_t i, int vectors,
                          Scratch* s) noexcept nogil:
    cdef uint64_t* words = <uint64_t*> s.extra
    read_row(X, i, &s.x)
    mark_row(lists, &s.x, X.norm2[i] != X.norm2[i], vectors, words)
    return count_bits(words, lists.words, vectors >= 256)


cdef void fill_row(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i, bint wide,
                   int vectors, int64_t* position, const index_t* starts, value_t* values,
                   index_t* indices, uint64_t* words, const Entries* x,
                   double* sums) noexcept nogil:
    cdef int64_t at = position[i]
    mark_row(lists, x, X.norm2[i] != X.norm2[i], vectors, words)
    position[i] = at + collect(lists, Y, X, i, words, sums, wide, vectors, starts[i + 1] - at,
                               values + at, indices + at)


cdef void fill_rows(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t first,
                    Py_ssize_t stop, bint wide, int vectors, int64_t* position,
                    const index_t* starts, value_t* values, index_t* indices,
                    Scratch* s) noexcept nogil:
    cdef Group* g = group_in(s.extra, lists, X.longest)
    cdef uint64_t* words = <uint64_t*> (s.extra + size_of_group(lists, X.longest))
    cdef Py_ssize_t i = first, r, size = rows_of_group(lists)
    while i < stop:
        read_group(X, i, min(size, stop - i), lists, g)
        add_group(lists, Y, 0, g)
        for r in range(g.count):
            fill_row(X, Y, lists, i + r, wide, vectors, position, starts, values, indices, words,
                     &g.row[r], g.sums[r])
        i += size


def fill_entries(Rows X, Rows Y, Index index, Py_ssize_t first, Py_ssize_t stop,
                 int64_t[::1] position, const index_t[::1] starts, value_t[::1] values,
                 index_t[::1] indices, int threads, int vectors):
    """The entries of rows [first, stop) in the block, from position[i] on, which moves, up to
    starts[i + 1]; vectors: the bits of those that may be used, 0, 256 or 512."""
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t part, parts
    cdef int64_t* bound
    if not values.shape[0]:
        return
    bound = <int64_t*> allocate((stop - first + 1) * sizeof(int64_t))
    try:
        begin(&team, X.table.longest, 0,
              size_of_group(lists, X.table.longest) + lists.words * sizeof(uint64_t), threads)
        parts = cut(&starts[0], first, stop, lists.words, threads, bound)
        for part in prange(parts, nogil=True, num_threads=threads, schedule="dynamic"):
            fill_rows(&X.table, &Y.table, lists, bound[part], bound[part + 1], index.wide, vectors,
                      &position[0], &starts[0], &values[0], &indices[0],
                      team.of + omp_get_thread_num())
        end(&team)
    finally:
        free(bound)


cdef Py_ssize_t cut(const index_t* starts, Py_ssize_t first, Py_ssize_t stop, Py_ssize_t words,
                    int threads, int64_t* bound) noexcept nogil:
    """Rows [first, stop) in parts between bounds, smaller and smaller ones at the end, where a
    thread waits for the others; returns how many parts."""
    # measured in entries and words of bitmaps; and in rows, for what these cost in multiply-adds
    cdef Py_ssize_t row = first, most_rows = max(<Py_ssize_t> 16, (stop - first) // (8 * threads))
    cdef Py_ssize_t last, parts = 0
    cdef int64_t left, end
    while row < stop:
        left = starts[stop] - starts[row] + <int64_t> (stop - row) * words
        end = starts[row] + <int64_t> row * words + max(
            <int64_t> LEAST_AT_A_TIME, min(<int64_t> MOST_AT_A_TIME, left // (4 * threads)))
        last = min(stop, row + most_rows)
        bound[parts] = row
        parts += 1
        row += 1
        while row < last and starts[row] + <int64_t> row * words < end:
            row += 1
    bound[parts] = stop
    return parts


def close_gaps(value_t[::1] values, index_t[::1] indices, index_t[::1] starts,
               const int64_t[::1] position):
    """Entries of row i stand in [starts[i], position[i]): close the gaps; returns the number."""
    cdef Py_ssize_t i
    cdef int64_t to = 0, count
    for i in range(position.shape[0]):
        count = position[i] - starts[i]
        if to != starts[i]:
            memmove(&values[0] + to, &values[0] + starts[i], count * sizeof(value_t))
            memmove(&indices[0] + to, &indices[0] + starts[i], count * sizeof(index_t))
        starts[i] = <index_t> to
        to += count
    starts[position.shape[0]] = <index_t> to
    return to


cdef void dense_row(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                    Py_ssize_t start, bint wide, bint same, bint distance, const double* sums,
                    value_t* out) noexcept nogil:
    """From sums to results of the block's rows from `start` on."""
    cdef double result[AT_ONCE]
    cdef Py_ssize_t j = start, k, count
    while j < lists.rows:
        count = min(<Py_ssize_t> AT_ONCE, lists.rows - j)
        finish(sums + j, X, i, Y, lists.first + j, count, wide, result)
        if distance and wide:
            for k in range(count):
                result[k] = 1 - result[k]
        elif distance:
            for k in range(count):
                result[k] = <float> 1 - <float> result[k]
        for k in range(count):
            out[j + k] = <value_t> result[k]
        j += count
    # a row is at no distance from itself, a zero row too
    j = i - lists.first
    if distance and same and 0 <= j < lists.rows and X.norm2[i] == X.norm2[i]:
        out[j] = 0


cdef void mirror_strip(const Lists* lists, Py_ssize_t i, Py_ssize_t count, const value_t* out,
                       Py_ssize_t step, value_t* mirror, Py_ssize_t mirror_step) noexcept nogil:
    """S[j, i] = S[i, j] of rows from i on, a line of each at a time."""
    cdef Py_ssize_t j = max(<Py_ssize_t> 0, i - lists.first), stop, r, k
    while j < lists.rows:
        stop = min(j + 8, lists.rows)
        for r in range(min(count, lists.first + stop - 1 - i)):
            for k in range(max(j, i + r + 1 - lists.first), stop):
                mirror[k * mirror_step + r] = out[r * step + k]
        j = stop


cdef void dense_strip(const Table* X, const Table* Y, const Lists* lists, Py_ssize_t i,
                      Py_ssize_t rows, bint wide, bint same, bint distance, value_t* out,
                      Py_ssize_t step, value_t* mirror, Py_ssize_t mirror_step,
                      Scratch* s) noexcept nogil:
    """Rows from i on; `step`: from one row of `out` to the next, in elements."""
    cdef Group* g = group_in(s.extra, lists, X.longest)
    cdef Py_ssize_t first = 0, r, start, size = rows_of_group(lists)
    while first < rows:
        start = max(<Py_ssize_t> 0, i + first - lists.first) if mirror != NULL else 0
        read_group(X, i + first, min(size, rows - first), lists, g)
        add_group(lists, Y, start, g)
        for r in range(first, first + g.count):
            dense_row(X, Y, lists, i + r,
                      max(start, i + r - lists.first) if mirror != NULL else 0, wide, same,
                      distance, g.sums[r - first], out + r * step)
            clear_sums(lists, g.sums[r - first])
        first += size
    if mirror != NULL:
        mirror_strip(lists, i, rows, out, step, mirror, mirror_step)


def fill_dense(Rows X, Rows Y, Index index, Py_ssize_t first, bint same, bint distance,
               value_t[:, :] out, value_t[:, :] mirror, int threads):
    """out = the block's columns of rows [first, first + out.shape[0]); its rows are contiguous.

    Where X is Y `mirror` may be the block's rows of these columns, whose rows are contiguous, too:
    then only what is right of the diagonal is computed, for both.
    """
    cdef const Lists* lists = &index.lists
    cdef Team team
    cdef Py_ssize_t strip, rows = out.shape[0], mirror_step = 0
    cdef value_t* mirrored = NULL
    if not rows:
        return
    if mirror is not None:
        mirrored = &mirror[0, 0]
        mirror_step = mirror.strides[0] // <Py_ssize_t> sizeof(value_t)
    begin(&team, X.table.longest, 0, size_of_group(lists, X.table.longest), threads)
    for strip in prange((rows + GROUP - 1) // GROUP, nogil=True, num_threads=threads,
                        schedule="dynamic"):
        dense_strip(&X.table, &Y.table, lists, first + strip * GROUP,
                    min(<Py_ssize_t> GROUP, rows - strip * GROUP), index.wide, same, distance,
                    &out[strip * GROUP, 0], out.strides[0] // <Py_ssize_t> sizeof(value_t),
                    NULL if mirrored == NULL else mirrored + strip * GROUP, mirror_step,
                    team.of + omp_get_thread_num())
    end(&team)
