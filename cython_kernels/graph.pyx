# cython: language_level=3, wraparound=False, cdivision=True, freethreading_compatible=True
# cython: autotestdict=False
# (setup.py turns the checks of memoryviews off)
"""What is done with results: pairs as the edges of a graph, neighbours of several parts as one; and
before there are any, with labels.

Compiled once, for the lowest instruction set. Callers see to arrays of equal lengths and to room
for the answer. Every function of results goes through its input once and returns how far it came:
to the end, or to the first place that holds what it cannot use, from which on nothing is done.
"""

from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint8_t

cdef enum:
    PATIENCE = 1 << 22               # pairs between looks for Ctrl-C

ctypedef fused value_t:
    float
    double


cdef inline int64_t root_of(int64_t* parent, int64_t i) noexcept nogil:
    # the way there is halved (Tarjan and van Leeuwen, J. ACM 31, 1984)
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


cdef Py_ssize_t unite(const int64_t* rows, const int64_t* columns, Py_ssize_t at, Py_ssize_t stop,
                      int64_t* parent, int64_t n) noexcept nogil:
    cdef int64_t a, b
    while at < stop:
        a, b = rows[at], columns[at]
        if not (0 <= a < n and 0 <= b < n):
            break
        a, b = root_of(parent, a), root_of(parent, b)
        # the root of a tree is the first of its rows
        if a < b:
            parent[b] = a
        else:
            parent[a] = b
        at += 1
    return at


cdef void number_trees(int64_t* parent, int64_t n) noexcept nogil:
    # in place: a row's parent stands before it and has its number
    cdef int64_t i, next = 0
    for i in range(n):
        if parent[i] == i:
            parent[i] = next
            next += 1
        else:
            parent[i] = parent[parent[i]]


def label_components(const int64_t[::1] rows, const int64_t[::1] columns, int64_t[::1] labels):
    """labels[i] = number of row i's component, in the order of their first rows.

    Returns the number of pairs, or the first place of a number that is no row.
    """
    cdef Py_ssize_t count = rows.shape[0], n = labels.shape[0], at = 0, stop
    cdef int64_t i
    for i in range(n):
        labels[i] = i
    while at < count:
        stop = min(at + PATIENCE, count)
        with nogil:
            at = unite(&rows[0], &columns[0], at, stop, &labels[0], n)
        if at < stop:
            return at
        PyErr_CheckSignals()
    if n:
        with nogil:
            number_trees(&labels[0], n)
    return count


cdef Py_ssize_t drop_later(const int64_t* rows, const int64_t* columns, Py_ssize_t at,
                           Py_ssize_t stop, int64_t* last, uint8_t* kept, int64_t n) noexcept nogil:
    cdef int64_t a, b
    while at < stop:
        a, b = min(rows[at], columns[at]), max(rows[at], columns[at])
        if not last[0] <= a or not b < n:
            break
        # whether a is kept is known: its pairs with rows before it came earlier
        kept[b] = kept[b] & ((a == b) | (kept[a] ^ 1))
        last[0] = a
        at += 1
    return at


def mark_kept(const int64_t[::1] rows, const int64_t[::1] columns, uint8_t[::1] kept):
    """kept[i] = 1 unless an earlier row that is kept pairs with row i; the pairs come in the order
    of their smaller row.

    Returns the number of pairs, or the first place of a number that is no row, or out of order.
    """
    cdef Py_ssize_t count = rows.shape[0], at = 0, stop
    cdef int64_t last = 0
    kept[:] = 1
    while at < count:
        stop = min(at + PATIENCE, count)
        with nogil:
            at = drop_later(&rows[0], &columns[0], at, stop, &last, &kept[0], kept.shape[0])
        if at < stop:
            return at
        PyErr_CheckSignals()
    return count


cdef inline bint before(value_t s, int64_t i, value_t t, int64_t j) noexcept nogil:
    # the greater similarity, the smaller index; NaN after every number, places left over (-1) last
    if (i < 0) != (j < 0):
        return j < 0
    if (s != s) != (t != t):
        return t != t
    return s > t or (not s < t and i < j)


cdef bint merge_row(const value_t* s, const int64_t* i, Py_ssize_t n, const value_t* t,
                    const int64_t* j, Py_ssize_t m, value_t* to, int64_t* index,
                    Py_ssize_t k) noexcept nogil:
    """The first k of both; False where one is not in order."""
    cdef Py_ssize_t a, b
    for a in range(1, n):
        if before(s[a], i[a], s[a - 1], i[a - 1]):
            return False
    for b in range(1, m):
        if before(t[b], j[b], t[b - 1], j[b - 1]):
            return False
    a = b = 0
    while a + b < k:
        if a < n and (b == m or before(s[a], i[a], t[b], j[b])):
            to[a + b], index[a + b] = s[a], i[a]
            a += 1
        else:
            to[a + b], index[a + b] = t[b], j[b]
            b += 1
    return True


def merge(const value_t[:, ::1] one, const int64_t[:, ::1] indices, const value_t[:, ::1] other,
          const int64_t[:, ::1] other_indices, value_t[:, ::1] to, int64_t[:, ::1] to_indices):
    """Of two lists of neighbours for every row the best, at most as many as there are.

    Returns the number of rows, or the first one with a list that is not in order.
    """
    cdef Py_ssize_t row = 0, rows = to.shape[0], n = one.shape[1], m = other.shape[1]
    cdef Py_ssize_t k = to.shape[1]
    cdef const value_t* s = NULL
    cdef const value_t* t = NULL
    cdef const int64_t* i = NULL
    cdef const int64_t* j = NULL
    if not rows or not k:
        return rows
    if n:
        s, i = &one[0, 0], &indices[0, 0]
    if m:
        t, j = &other[0, 0], &other_indices[0, 0]
    with nogil:
        while row < rows and merge_row(s + row * n, i + row * n, n, t + row * m, j + row * m, m,
                                       &to[row, 0], &to_indices[row, 0], k):
            row += 1
    return row


def order_by_label(const int64_t[::1] labels, int64_t[::1] starts, int64_t[::1] order):
    """Label g has the rows order[starts[g]:starts[g + 1]], ascending; `starts` comes as zeros."""
    cdef Py_ssize_t i, n = labels.shape[0], count = starts.shape[0] - 1
    with nogil:
        for i in range(n):
            starts[labels[i] + 1] += 1
        for i in range(count):
            starts[i + 1] += starts[i]
        for i in range(n):               # for now a label's start is its next place,
            order[starts[labels[i]]] = i
            starts[labels[i]] += 1
        for i in range(count, 0, -1):    # and in the end that of the label after it
            starts[i] = starts[i - 1]
        starts[0] = 0
