# cython: language_level=3, freethreading_compatible=True, autotestdict=False
"""The Cython API of the package, ``cimport unitdot``: forwards to the build chosen at import.

src/unitdot/__init__.pxd documents it; the functions themselves are in dense/direct.pxi.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer

from unitdot._machine import dispatch

ctypedef float (*PairFloat)(const float*, const float*, Py_ssize_t) noexcept nogil
ctypedef double (*PairDouble)(const double*, const double*, Py_ssize_t) noexcept nogil
ctypedef int (*BlockFloat)(const float*, Py_ssize_t, Py_ssize_t,
                           const float*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                           float*, Py_ssize_t) noexcept nogil
ctypedef int (*BlockDouble)(const double*, Py_ssize_t, Py_ssize_t,
                            const double*, Py_ssize_t, Py_ssize_t, Py_ssize_t,
                            double*, Py_ssize_t) noexcept nogil


cdef void** functions_of(bint wide) except NULL:
    return <void**> PyCapsule_GetPointer(dispatch.kernels(wide).FUNCTIONS, "unitdot._kernels")


# set once, here
cdef void** single = functions_of(False)
cdef void** wide = functions_of(True)
cdef PairFloat chosen_pair_float = <PairFloat> single[0]
cdef PairDouble chosen_pair_double = <PairDouble> wide[0]
cdef BlockFloat chosen_block_float = <BlockFloat> single[1]
cdef BlockDouble chosen_block_double = <BlockDouble> wide[1]
cdef bytes isa = dispatch.active_isa().encode()
cdef const char* chosen_isa = isa


cdef int no_memory() except -1 with gil:
    raise MemoryError("no memory for the working space of a block")


cdef float pair_float(const float* x, const float* y, Py_ssize_t n_features) noexcept nogil:
    return chosen_pair_float(x, y, n_features)


cdef double pair_double(const double* x, const double* y, Py_ssize_t n_features) noexcept nogil:
    return chosen_pair_double(x, y, n_features)


cdef int block_float(const float* X, Py_ssize_t n_X, Py_ssize_t stride_X,
                     const float* Y, Py_ssize_t n_Y, Py_ssize_t stride_Y, Py_ssize_t n_features,
                     float* out, Py_ssize_t stride_out) except -1 nogil:
    if chosen_block_float(X, n_X, stride_X, Y, n_Y, stride_Y, n_features, out, stride_out):
        no_memory()
    return 0


cdef int block_double(const double* X, Py_ssize_t n_X, Py_ssize_t stride_X,
                      const double* Y, Py_ssize_t n_Y, Py_ssize_t stride_Y, Py_ssize_t n_features,
                      double* out, Py_ssize_t stride_out) except -1 nogil:
    if chosen_block_double(X, n_X, stride_X, Y, n_Y, stride_Y, n_features, out, stride_out):
        no_memory()
    return 0


cdef const char* instruction_set() noexcept nogil:
    return chosen_isa
