"""The public functions: validate, allocate, call a kernel. Sparse input goes to _sparse/."""

from __future__ import annotations  # so that help() shows names, not what they stand for

from typing import Any, Literal, TypedDict, Unpack, overload

import numpy as np
import numpy.typing as npt

from unitdot import _inputs, _options
from unitdot._calls import READ, full_stack, paired_rows
from unitdot._inputs import KINDS, Array, Input
from unitdot._kernels import small
from unitdot._machine.threads import SMALL_WORK
from unitdot._options import DEFAULTS

Zero = Literal["zero", "nan", "raise"]

small.learn(np, {dtype: kind for dtype, kind in KINDS.items() if dtype.isnative}, SMALL_WORK, READ)


class _Keywords(TypedDict, total=False):
    out: Array | None
    dtype: npt.DTypeLike | None
    zero: Zero
    check_finite: bool
    n_threads: int | None


@overload
def cosine_similarity(
    X: Input,
    Y: Input | None = ...,
    dense_output: Literal[True] = ...,
    **keywords: Unpack[_Keywords],
) -> Array: ...
@overload
def cosine_similarity(
    X: Input, Y: Input | None = ..., dense_output: bool = ..., **keywords: Unpack[_Keywords]
) -> Any: ...
def cosine_similarity(
    X: Input,
    Y: Input | None = None,
    dense_output: bool = True,
    *,
    out: Array | None = None,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Any:
    """Cosine similarity of every row of `X` with every row of `Y`.

    ``S[i, j] = X[i] · Y[j] / (‖X[i]‖ ‖Y[j]‖)``, what scikit-learn's function of this name gives,
    under the contract of the documentation: right for rows of any finite norm, in
    [-1, 1], exactly 1 for equal rows, and the same bits whatever the batch, layout or threads.

    Parameters
    ----------
    X : array-like of shape (..., n_samples_X, n_features) or (n_features,)
        Rows of numbers: bool, integers, float16, bfloat16, float32 or float64. One vector is a
        row whose axis is dropped from the result; stacks of matrices broadcast as in
        :func:`numpy.matmul`. Frames of numbers and columns of vectors (pandas, polars, pyarrow) and
        tensors are read in place where their memory is contiguous. Or a SciPy sparse matrix or
        array; the values of CSR with sorted indices are read in place.
    Y : array-like of shape (..., n_samples_Y, n_features) or (n_features,), optional
        Default: `X` itself, with half the work. Dense and sparse may meet.
    dense_output : bool, default=True
        False: where both sides are sparse, a canonical CSR matrix (an array where one side is
        one) with no explicit zeros. Otherwise the result is an ndarray.
    out : ndarray of the result's shape and dtype, optional
        Written in place and returned. It may have any strides, but must not share memory with
        the input.
    dtype : {float32, float64}, optional
        Dtype of the result. Default: float32 where all input is float32 or smaller floats,
        else float64. The computation is done in that default and cast.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give: similarity 0 with every row, themselves included; NaN; or a
        ``ValueError`` that names the first.
    check_finite : bool, default=True
        Refuse NaN and infinity. Without the check they affect the results of their own rows only.
    n_threads : int, optional
        Default: as many as are useful, up to what OpenMP, CPU affinity and the control group
        allow.

    Returns
    -------
    ndarray of shape (..., n_samples_X, n_samples_Y), or CSR
        Similarities, float32 or float64; a NumPy scalar for two vectors.

    Raises
    ------
    ValueError
        For different numbers of features or none, NaN or infinity, an `out` that does not fit,
        an unknown keyword value, a sparse matrix whose indices are out of range; the message
        names the argument.
    TypeError
        For input that does not hold real numbers.
    MemoryError
        Before work starts, where the result cannot be held.

    Notes
    -----
    Dot products are accumulated with fused multiply-add in one fixed order, runs of 32 features
    in blocks of 128, in register tiles as in BLIS (Van Zee and van de Geijn, *ACM Trans. Math.
    Softw.* 41, 2015); ``1 / (‖x‖ ‖y‖)`` is kept in double-word arithmetic (Dekker, *Numer. Math.*
    18, 1971) and rounded once. With sparse input dot products are accumulated in double over the
    shared features in ascending order, row by row (Gustavson, *ACM Trans. Math. Softw.* 4, 1978).
    Beyond 16 MiB a thread that takes a block of `Y` by feature, and a copy of what is not sorted
    CSR of float32 or float64; of 32 rows and fewer against many, neither.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.cosine_similarity([[1.0, 0.0], [3.0, 4.0]])
    array([[1. , 0.6],
           [0.6, 1. ]])
    >>> unitdot.cosine_similarity([[1e-300, 0.0]], [[1e300, 0.0], [0.0, 0.0]])
    array([[1., 0.]])
    >>> unitdot.cosine_similarity([3.0, 4.0], [4.0, 3.0])
    np.float64(0.96)
    """
    return _full(X, Y, dense_output, out, False, dtype, zero, check_finite, n_threads)


def cosine_distances(
    X: Input,
    Y: Input | None = None,
    *,
    out: Array | None = None,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Array:
    """Cosine distance of every row of `X` from every row of `Y`.

    ``1 - cosine_similarity(X, Y)``, what scikit-learn's function of this name gives.

    Parameters
    ----------
    X : array-like or sparse, of shape (..., n_samples_X, n_features) or (n_features,)
        Rows of numbers, as in :func:`cosine_similarity`.
    Y : array-like or sparse, of shape (..., n_samples_Y, n_features) or (n_features,), optional
        Default: `X` itself, with half the work.
    out : ndarray of the result's shape and dtype, optional
        Written in place and returned.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give. By default they are at distance 1 from every other row; without
        `Y`, at distance 0 from themselves.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        Default: as many as are useful.

    Returns
    -------
    ndarray of shape (..., n_samples_X, n_samples_Y)
        Distances in [0, 2], float32 or float64, exactly 0 for equal nonzero rows; a NumPy scalar
        for two vectors.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Notes
    -----
    The method is that of :func:`cosine_similarity`; 1 minus the rounded similarity is taken in
    registers.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.cosine_distances([[1.0, 0.0], [0.0, 2.0], [-5.0, 0.0]])
    array([[0., 1., 2.],
           [1., 0., 1.],
           [2., 1., 0.]])
    """
    distances: Array = _full(X, Y, True, out, True, dtype, zero, check_finite, n_threads)
    return distances


def paired_cosine_similarity(
    X: Input,
    Y: Input,
    *,
    axis: int = -1,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Array:
    """Cosine similarity of each row of `X` with the row of `Y` in the same place.

    The bits are those of the diagonal of ``cosine_similarity(X, Y)``.

    Parameters
    ----------
    X, Y : array-like or sparse, of shape (..., n_features)
        Dense ones broadcast as in NumPy, but for the axis of the features, which must agree.
    axis : int, default=-1
        The axis of the features, in the broadcast shape.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        Default: as many as are useful.

    Returns
    -------
    ndarray
        Similarities, float32 or float64, of the broadcast shape without `axis`; a NumPy scalar
        for two vectors.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Notes
    -----
    A lane of a vector holds a block of 128 features of one row, so that a single long pair fills a
    vector too; the order of the additions is that of :func:`cosine_similarity`.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.paired_cosine_similarity([[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [3.0, 4.0]])
    array([1. , 0.8])
    """
    similarities: Array = _paired(X, Y, axis, False, dtype, zero, check_finite, n_threads)
    return similarities


def paired_cosine_distances(
    X: Input,
    Y: Input,
    *,
    axis: int = -1,
    dtype: npt.DTypeLike | None = None,
    zero: Zero = "zero",
    check_finite: bool = True,
    n_threads: int | None = None,
) -> Array:
    """Cosine distance of each row of `X` from the row of `Y` in the same place.

    ``1 - paired_cosine_similarity(X, Y)``.

    Parameters
    ----------
    X, Y : array-like or sparse, of shape (..., n_features)
        Dense ones broadcast as in NumPy, but for the axis of the features, which must agree.
    axis : int, default=-1
        The axis of the features, in the broadcast shape.
    dtype : {float32, float64}, optional
        Dtype of the result; it and those below are as in :func:`cosine_similarity`.
    zero : {"zero", "nan", "raise"}, default="zero"
        What rows of norm 0 give: by default distance 1.
    check_finite : bool, default=True
        Refuse NaN and infinity.
    n_threads : int, optional
        Default: as many as are useful.

    Returns
    -------
    ndarray
        Distances in [0, 2], float32 or float64, of the broadcast shape without `axis`; a NumPy
        scalar for two vectors.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Notes
    -----
    scikit-learn's function of this name takes half the squared distance of the normalised rows
    instead, which is closer for small distances, but not what its matrix function gives.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.paired_cosine_distances([[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, -1.0]])
    array([0., 2.])
    """
    distances: Array = _paired(X, Y, axis, True, dtype, zero, check_finite, n_threads)
    return distances


def _sparse() -> Any:
    from unitdot._sparse import functions as sparse_functions  # only those who need it pay

    return sparse_functions


def _full(X: Any, Y: Any, dense_output: bool, out: Any, distance: bool, *keywords: Any) -> Any:
    options = _options.check_options(keywords)
    if options is DEFAULTS and out is None and dense_output is True:
        result = small.cosines(X, Y, False, distance)
        if result is not None:
            return result
    dense_output = _options.check_flag(dense_output, "dense_output")
    if hasattr(X, "tocsr") or hasattr(Y, "tocsr"):
        X, Y = _inputs.dense_sides(X, Y, options.check_finite)
        return _sparse().full(X, Y, dense_output, distance, out, options)
    same = Y is None or Y is X
    X = _inputs.as_array(X, "X", options.check_finite)
    Y = X if same else _inputs.as_array(Y, "Y", options.check_finite)
    _inputs.check_features(X, Y)
    wide = _inputs.compute_wide(X, Y)
    dtype = _options.result_dtype(wide, options)
    stack_X, stack_Y = X[None] if X.ndim == 1 else X, Y[None] if Y.ndim == 1 else Y
    lead = _inputs.broadcast(stack_X.shape[:-2], stack_Y.shape[:-2], (X, Y), "leading axes")
    rows = stack_X.shape[-2:-1] if X.ndim > 1 else ()
    columns = stack_Y.shape[-2:-1] if Y.ndim > 1 else ()
    result = _inputs.result_array((*lead, *rows, *columns), dtype, out, X, Y)
    matrices = np.asarray(result)
    matrices = matrices if X.ndim > 1 else np.expand_dims(matrices, len(lead))
    matrices = matrices if Y.ndim > 1 else matrices[..., None]
    axes = -1, X.ndim, Y.ndim
    keep_out = out is not None
    full_stack(stack_X, stack_Y, same, matrices, distance, wide, options, axes, keep_out)
    return result if out is not None or result.ndim else result[()]


def _paired(X: Any, Y: Any, axis: Any, distance: bool, *keywords: Any) -> Any:
    options = _options.check_options(keywords)
    if options is DEFAULTS and type(axis) is int and axis == -1:
        similarities = small.cosines(X, Y, True, distance)
        if similarities is not None:
            return similarities
    if hasattr(X, "tocsr") or hasattr(Y, "tocsr"):
        X, Y = _inputs.dense_sides(X, Y, options.check_finite)
        return _sparse().paired(X, Y, axis, distance, options)
    given_X = _inputs.as_array(X, "X", options.check_finite)
    given = given_X, given_X if Y is X else _inputs.as_array(Y, "Y", options.check_finite)
    X, Y, axis = _inputs.features_last(*given, axis)
    axes = axis, given[0].ndim, given[1].ndim
    _inputs.check_features(X, Y, given)
    wide = _inputs.compute_wide(X, Y)
    shape = _inputs.broadcast(X.shape[:-1], Y.shape[:-1], given, "axes but for the features'")
    result = _inputs.result_array(shape, _options.result_dtype(wide, options), None)
    paired_rows(X, Y, result, distance, wide, options, axes)
    return result if result.ndim else result[()]
