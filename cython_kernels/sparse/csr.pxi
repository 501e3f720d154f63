# A CSR matrix: checked, and put in order.
#
# takes: sparse.pyx, openmp.h
# gives: Found, BAD_STRUCTURE, UNSORTED, EXPLICIT_ZERO, NOT_FINITE, ZERO_ROW, NEGATIVE, sort_keys,
#        inspect_row, bad_starts, inspect, put_in_order, canonicalise, longest_row

cpdef enum Found:            # what a pass over a CSR matrix found; bits
    BAD_STRUCTURE = 1        # an index out of range, or starts that do not ascend
    UNSORTED = 2             # or duplicate
    EXPLICIT_ZERO = 4
    NOT_FINITE = 8
    ZERO_ROW = 16
    NEGATIVE = 32


cdef enum:
    FEW_KEYS = 12


cdef void sort_keys(uint64_t* key, Py_ssize_t count) noexcept nogil:
    """In place: Shell's sort, with Ciura's gaps; rows are short. Of a few that all differ, each
    counts how many are less, without a branch."""
    cdef Py_ssize_t gap = 1, i, k, less
    cdef uint64_t item
    cdef uint64_t before[FEW_KEYS]
    if count <= FEW_KEYS:
        memcpy(before, key, count * sizeof(uint64_t))
        for i in range(count):
            less = 0
            for k in range(count):
                less += before[k] < before[i]
            key[less] = before[i]
        return
    while gap < count // 3:
        gap = gap * 9 // 4 + 1
    while gap > 0:
        for i in range(gap, count):
            item = key[i]
            k = i
            while k >= gap and key[k - gap] > item:
                key[k] = key[k - gap]
                k -= gap
            key[k] = item
        gap = 0 if gap == 1 else (1 if gap < 4 else gap * 4 // 9)


cdef int inspect_row(const value_t* values, const index_t* indices, int64_t start, int64_t stop,
                     int64_t features) noexcept nogil:
    cdef int64_t k, last = -1
    cdef int unsorted = 0, bad = 0, zero = 0, infinite = 0
    for k in range(start, stop):
        bad |= (indices[k] < 0) | (indices[k] >= features)
        unsorted |= indices[k] <= last
        last = indices[k]
        zero |= values[k] == 0
        infinite |= not (values[k] - values[k] == 0)
    return (BAD_STRUCTURE * bad | UNSORTED * unsorted | EXPLICIT_ZERO * zero
            | NOT_FINITE * infinite)


cdef bint bad_starts(const index_t[::1] starts, int64_t stored) noexcept:
    """Whether they do not ascend from 0 to no more than what is stored."""
    cdef Py_ssize_t i, rows = starts.shape[0] - 1
    cdef bint bad = starts[0] != 0 or starts[rows] > stored
    for i in range(rows):
        bad |= starts[i] > starts[i + 1]
    return bad


def inspect(const value_t[::1] values, const index_t[::1] indices, const index_t[::1] starts,
            int64_t features, int threads):
    """What a CSR matrix holds: the or of `Found`; starts that do not ascend are found first."""
    cdef Py_ssize_t i, rows = starts.shape[0] - 1
    cdef int64_t stored = min(values.shape[0], indices.shape[0])
    cdef int status = BAD_STRUCTURE * bad_starts(starts, stored)
    if status or not stored:
        return status
    for i in prange(rows, nogil=True, num_threads=threads, schedule="guided", chunksize=64):
        status |= inspect_row(&values[0], &indices[0], starts[i], starts[i + 1], features)
    return status


cdef Py_ssize_t put_in_order(const value_t* values, const index_t* indices, Py_ssize_t count,
                             int bits, uint64_t* key, value_t* value) noexcept nogil:
    """key, value = features and values: sorted, duplicates added in their order, zeros dropped.

    Returns what is left. `count` is less than 2^bits, features less than 2^(64 - bits).
    """
    cdef Py_ssize_t k, kept = 0
    cdef uint64_t feature, mask = (<uint64_t> 1 << bits) - 1
    for k in range(count):
        key[k] = <uint64_t> indices[k] << bits | <uint64_t> k
    sort_keys(key, count)
    k = 0
    while k < count:
        feature = key[k] >> bits
        value[kept] = values[key[k] & mask]
        k += 1
        while k < count and key[k] >> bits == feature:
            value[kept] += values[key[k] & mask]
            k += 1
        key[kept] = feature
        kept += value[kept] != 0
    return kept


cdef Py_ssize_t sort_row(value_t* values, index_t* indices, Py_ssize_t count, uint64_t* key,
                         value_t* copy) noexcept nogil:
    """`put_in_order`, in place."""
    cdef Py_ssize_t k, kept = put_in_order(values, indices, count, 32, key, copy)
    for k in range(kept):
        indices[k], values[k] = <index_t> key[k], copy[k]
    return kept


def canonicalise(value_t[::1] values, index_t[::1] indices, index_t[::1] starts, int threads):
    """Sort the rows of a CSR matrix in place and close the gaps; returns the entries left."""
    cdef Py_ssize_t i, rows = starts.shape[0] - 1, longest = longest_row(starts), thread
    cdef int64_t to = 0, start
    cdef int64_t[::1] left = np.empty(rows, dtype=np.int64)
    cdef char* scratch = <char*> allocate(16 * longest * threads + 16)
    for i in prange(rows, nogil=True, num_threads=threads, schedule="dynamic", chunksize=64):
        thread = omp_get_thread_num()
        left[i] = sort_row(&values[0] + starts[i], &indices[0] + starts[i],
                           starts[i + 1] - starts[i],
                           <uint64_t*> (scratch + 16 * longest * thread),
                           <value_t*> (scratch + 16 * longest * thread + 8 * longest))
    free(scratch)
    for i in range(rows):
        start = starts[i]
        if to != start:
            memmove(&values[0] + to, &values[0] + start, left[i] * sizeof(value_t))
            memmove(&indices[0] + to, &indices[0] + start, left[i] * sizeof(index_t))
        starts[i] = <index_t> to
        to += left[i]
    starts[rows] = <index_t> to
    return to


cdef Py_ssize_t longest_row(const index_t[::1] starts) noexcept:
    cdef Py_ssize_t i, longest = 0
    for i in range(starts.shape[0] - 1):
        longest = max(longest, <Py_ssize_t> (starts[i + 1] - starts[i]))
    return longest
