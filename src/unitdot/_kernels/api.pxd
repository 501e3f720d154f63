# What unitdot/__init__.pxd stands on, one function for each precision. Cimport `unitdot` instead.

cdef float pair_float(const float* x, const float* y, Py_ssize_t n_features) noexcept nogil
cdef double pair_double(const double* x, const double* y, Py_ssize_t n_features) noexcept nogil

cdef int block_float(const float* X, Py_ssize_t n_X, Py_ssize_t stride_X,
                     const float* Y, Py_ssize_t n_Y, Py_ssize_t stride_Y, Py_ssize_t n_features,
                     float* out, Py_ssize_t stride_out) except -1 nogil
cdef int block_double(const double* X, Py_ssize_t n_X, Py_ssize_t stride_X,
                      const double* Y, Py_ssize_t n_Y, Py_ssize_t stride_Y, Py_ssize_t n_features,
                      double* out, Py_ssize_t stride_out) except -1 nogil

cdef const char* instruction_set() noexcept nogil
