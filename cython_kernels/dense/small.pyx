# cython: language_level=3, freethreading_compatible=True, autotestdict=False, binding=False
"""Small calls: from plain arrays to a kernel and back, without Python's way from one to the other.

What is not plain, or needs an error, is left to the caller, who gets None: arguments of any other
type, dtypes of another byte order, more than two axes, options, rows to be scaled, work for several
threads.
"""

from cpython.object cimport PyObject
from cpython.pycapsule cimport PyCapsule_GetPointer


cdef extern from "ndarray.h":
    ctypedef struct Head:
        char* data
        int nd
        Py_ssize_t* dimensions
        Py_ssize_t* strides
        PyObject* descr


cdef extern from "call.h" nogil:
    ctypedef struct Side:
        const char* data
        Py_ssize_t rows, row_stride, feature_stride, itemsize
        int kind
    ctypedef struct Call:
        Side X, Y
        Py_ssize_t features
        char* out
        Py_ssize_t out_row_stride, out_column_stride, out_itemsize
        int paired, same, distance
        double zero_inverse


ctypedef int (*Direct)(const Call*) noexcept nogil

cdef enum:
    KINDS = 12                       # of elements, in the machine's byte order
    CARE = 1                         # as pack.pxi
    MANY = 1 << 12                   # features from which on rows may be better met by few.pxi
    QUICK = 1 << 15                  # multiply-adds that nobody waits for: the GIL is kept

cdef struct Kind:
    PyObject* dtype                  # an array's, if its elements are of this kind
    Py_ssize_t itemsize
    int number
    bint wide                        # computed in float64

cdef Direct[2] kernels               # in float32, in float64
cdef Kind[KINDS] kinds
cdef int n_kinds = 0
cdef object ndarray = None           # NumPy's, once an array has been seen to be as in ndarray.h
cdef object empty, single_dtype, wide_dtype, single_scalar, wide_scalar, kept
cdef Py_ssize_t small_work = 0, reading = 0


def use(single, wide):
    """Compute by these kernels, given as their FUNCTIONS."""
    kernels[0] = (<Direct*> PyCapsule_GetPointer(single, "unitdot._kernels"))[2]
    kernels[1] = (<Direct*> PyCapsule_GetPointer(wide, "unitdot._kernels"))[2]


def learn(numpy, known, Py_ssize_t work, Py_ssize_t read):
    """Take arrays of the `known` dtypes, {dtype: (kind, computed in float64)}, below so much work.

    It is counted in multiply-adds; an element read is `read` of them.
    """
    global n_kinds, ndarray, empty, single_dtype, wide_dtype, single_scalar, wide_scalar, kept
    global small_work, reading
    kept, small_work, reading, empty = list(known), work, read, numpy.empty
    single_dtype, wide_dtype = numpy.dtype("f4"), numpy.dtype("f8")
    single_scalar, wide_scalar = numpy.float32, numpy.float64
    n_kinds = 0
    for dtype in kept[:KINDS]:
        kinds[n_kinds].dtype, kinds[n_kinds].itemsize = <PyObject*> dtype, dtype.itemsize
        kinds[n_kinds].number, kinds[n_kinds].wide = known[dtype]
        n_kinds += 1
    ndarray = numpy.ndarray if is_as_expected(numpy) else None


cdef bint is_as_expected(numpy) except -1:
    """Whether NumPy's arrays begin as in ndarray.h, as far as one can tell."""
    if numpy.ndarray.__basicsize__ < sizeof(Head):
        return False
    array = numpy.zeros((3, 20), single_dtype)[1:, ::-3]
    cdef Head* head = <Head*> <PyObject*> array
    return (head.nd == 2 and head.descr == <PyObject*> array.dtype
            and <size_t> head.data == array.__array_interface__["data"][0]
            and (head.dimensions[0], head.dimensions[1]) == array.shape
            and (head.strides[0], head.strides[1]) == array.strides)


cdef inline const Kind* look_at(array, Side* rows, Py_ssize_t* features) noexcept:
    """The kind of its elements, and where its rows are; NULL where it is nothing for here."""
    cdef Head* head = <Head*> <PyObject*> array
    cdef int last = head.nd - 1, i
    if not 0 <= last <= 1:
        return NULL
    for i in range(n_kinds):
        if kinds[i].dtype == head.descr:
            features[0], rows.feature_stride = head.dimensions[last], head.strides[last]
            rows.rows, rows.row_stride = 1, 0
            if last:
                rows.rows, rows.row_stride = head.dimensions[0], head.strides[0]
            rows.data, rows.kind, rows.itemsize = head.data, kinds[i].number, kinds[i].itemsize
            return &kinds[i]
    return NULL


def cosines(X, Y, bint paired, bint distance):
    """What the public functions give for plain arrays and no options, or None."""
    cdef Call call
    cdef const Kind* x
    cdef const Kind* y
    cdef Py_ssize_t features, outputs, work
    cdef int found
    cdef bint wide, rows, columns
    cdef float single = 0
    cdef double double = 0
    if ndarray is None or type(X) is not ndarray:
        return None
    call.same = not paired and (Y is None or Y is X)
    if call.same:
        Y = X
    elif type(Y) is not ndarray:
        return None
    x, y = look_at(X, &call.X, &features), look_at(Y, &call.Y, &call.features)
    if x == NULL or y == NULL or call.features != features:
        return None
    rows, columns = (<Head*> <PyObject*> X).nd == 2, (<Head*> <PyObject*> Y).nd == 2
    wide = x.wide or y.wide
    call.paired = paired and call.X.rows == call.Y.rows
    if paired and not call.paired and call.X.rows != 1 and call.Y.rows != 1:
        return None
    if max(features, call.X.rows, call.Y.rows) >= small_work:  # products of two do not overflow
        return None
    outputs = call.X.rows if call.paired else call.X.rows * call.Y.rows
    if not 0 < outputs < small_work or (features >= MANY and outputs > 1):
        return None
    work = features * (outputs + reading * (call.X.rows + call.Y.rows))
    if not 0 < work < small_work:
        return None
    call.distance, call.zero_inverse = distance, 0
    call.out_itemsize = sizeof(double) if wide else sizeof(float)
    call.out_column_stride = call.out_itemsize
    call.out_row_stride = call.out_itemsize * (1 if call.paired else call.Y.rows)
    if not (rows or columns):
        call.out = <char*> &double if wide else <char*> &single
        if kernels[wide](&call) & CARE:
            return None
        return wide_scalar(double) if wide else single_scalar(single)
    result_dtype = wide_dtype if wide else single_dtype
    if rows and columns and not paired:
        result = empty((call.X.rows, call.Y.rows), result_dtype)
    else:
        result = empty(outputs, result_dtype)
    call.out = (<Head*> <PyObject*> result).data
    if work < QUICK:
        found = kernels[wide](&call)
    else:
        with nogil:
            found = kernels[wide](&call)
    return None if found < 0 or found & CARE else result
