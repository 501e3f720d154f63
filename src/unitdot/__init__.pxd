# The Cython API: `cimport unitdot` in another compiled package.
#
# The same bits as unitdot.cosine_similarity, under the same contract, computed by the instruction
# set that was chosen at import. No function needs the GIL; each may be called from any number of
# threads at a time, and works on the calling thread alone: as no value depends on the batch, rows
# may be shared out among threads in any way. Nothing is checked: there is at least one feature,
# `out` overlaps no input. A zero row has similarity 0 with every row; NaN and infinity affect their
# own rows only. docs/cython_api.md has an example.

from unitdot._kernels.api cimport (block_double, block_float, instruction_set, pair_double,
                                   pair_float)

ctypedef fused real:
    float
    double


cdef inline real pair(const real* x, const real* y, Py_ssize_t n_features) noexcept nogil:
    """The cosine of two vectors."""
    if real is float:
        return pair_float(x, y, n_features)
    else:
        return pair_double(x, y, n_features)


cdef inline int one_to_many(const real* x, const real* Y, Py_ssize_t n_Y, Py_ssize_t n_features,
                            real* out) except -1 nogil:
    """out[j] = the cosine of x and row j of a C-contiguous Y; MemoryError as `block`."""
    return block(x, 1, n_features, Y, n_Y, n_features, n_features, out, n_Y)


cdef inline int block(const real* X, Py_ssize_t n_X, Py_ssize_t stride_X,
                      const real* Y, Py_ssize_t n_Y, Py_ssize_t stride_Y, Py_ssize_t n_features,
                      real* out, Py_ssize_t stride_out) except -1 nogil:
    """out[i, j] = the cosine of row i of X and row j of Y.

    Rows are contiguous; strides are elements from one row to the next. MemoryError where there is
    no working memory, of at most 16 MiB.
    """
    if real is float:
        return block_float(X, n_X, stride_X, Y, n_Y, stride_Y, n_features, out, stride_out)
    else:
        return block_double(X, n_X, stride_X, Y, n_Y, stride_Y, n_features, out, stride_out)
