"""The public functions on dense input: validate, allocate, call a kernel."""

import operator

import numpy as np

from unitdot import _dispatch, _inputs
from unitdot._threads import threads_for

# reading and packing an element costs about as much as this many multiply-adds
READ = 10


def cosine_similarity(
    X,
    Y=None,
    dense_output=True,
    *,
    out=None,
    dtype=None,
    zero="zero",
    check_finite=True,
    n_threads=None,
):
    """Cosine similarity of every row of `X` with every row of `Y`.

    ``S[i, j] = X[i] · Y[j] / (‖X[i]‖ ‖Y[j]‖)``, as :func:`sklearn.metrics.pairwise.cosine_similarity`
    gives it, under the contract of the documentation: right for rows of any finite norm, in
    [-1, 1], exactly 1 for equal rows, and the same bits whatever the batch, layout or threads.

    Parameters
    ----------
    X : array-like of shape (..., n_samples_X, n_features) or (n_features,)
        Rows of numbers: bool, integers, float16, bfloat16, float32 or float64. One vector is a
        row whose axis is dropped from the result; stacks of matrices broadcast as in
        :func:`numpy.matmul`.
    Y : array-like of shape (..., n_samples_Y, n_features) or (n_features,), optional
        Default: `X` itself, with half the work.
    dense_output : bool, default=True
        Accepted for compatibility with scikit-learn; dense input gives dense output.
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
    ndarray of shape (..., n_samples_X, n_samples_Y)
        Similarities, float32 or float64; a NumPy scalar for two vectors.

    Raises
    ------
    ValueError
        For different numbers of features or none, NaN or infinity, an `out` that does not fit,
        an unknown keyword value; the message names the argument.
    TypeError
        For input that does not hold real numbers.
    MemoryError
        Before work starts, where the result cannot be held.

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

    Notes
    -----
    Dot products are accumulated feature by feature with fused multiply-add, in blocks of 128 that
    are summed in order, in register tiles as in BLIS (Van Zee and van de Geijn, *ACM Trans. Math.
    Softw.* 41, 2015); ``1 / (‖x‖ ‖y‖)`` is kept in double-word arithmetic (Dekker, *Numer. Math.*
    18, 1971) and rounded once.
    """
    return _full(X, Y, out, False, dtype, zero, check_finite, n_threads)


def cosine_distances(
    X, Y=None, *, out=None, dtype=None, zero="zero", check_finite=True, n_threads=None
):
    """Cosine distance, ``1 - cosine_similarity``, of every row of `X` from every row of `Y`.

    Parameters
    ----------
    X, Y, out, dtype, zero, check_finite, n_threads
        As in :func:`cosine_similarity`. With ``zero="zero"`` a zero row is at distance 1 from
        every other row; without `Y`, at distance 0 from itself.

    Returns
    -------
    ndarray of shape (..., n_samples_X, n_samples_Y)
        Distances in [0, 2], float32 or float64, exactly 0 for equal nonzero rows.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.cosine_distances([[1.0, 0.0], [0.0, 2.0], [-5.0, 0.0]])
    array([[0., 1., 2.],
           [1., 0., 1.],
           [2., 1., 0.]])
    """
    return _full(X, Y, out, True, dtype, zero, check_finite, n_threads)


def paired_cosine_similarity(
    X, Y, *, axis=-1, dtype=None, zero="zero", check_finite=True, n_threads=None
):
    """Cosine similarity of each row of `X` with the row of `Y` in the same place.

    The bits are those of the diagonal of ``cosine_similarity(X, Y)``.

    Parameters
    ----------
    X, Y : array-like of shape (..., n_features)
        They broadcast as in NumPy, but for the axis of the features, which must agree.
    axis : int, default=-1
        The axis of the features, in the broadcast shape.
    dtype, zero, check_finite, n_threads
        As in :func:`cosine_similarity`.

    Returns
    -------
    ndarray
        Similarities, float32 or float64, of the broadcast shape without `axis`; a NumPy scalar
        for two vectors.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.paired_cosine_similarity([[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [3.0, 4.0]])
    array([1. , 0.8])
    """
    return _paired(X, Y, axis, False, dtype, zero, check_finite, n_threads)


def paired_cosine_distances(
    X, Y, *, axis=-1, dtype=None, zero="zero", check_finite=True, n_threads=None
):
    """Cosine distance, ``1 - paired_cosine_similarity``, of rows in the same place.

    Parameters
    ----------
    X, Y, axis, dtype, zero, check_finite, n_threads
        As in :func:`paired_cosine_similarity`.

    Returns
    -------
    ndarray
        Distances in [0, 2], float32 or float64, of the broadcast shape without `axis`.

    Raises
    ------
    ValueError, TypeError, MemoryError
        As :func:`cosine_similarity`.

    Examples
    --------
    >>> import unitdot
    >>> unitdot.paired_cosine_distances([[1.0, 0.0], [0.0, 2.0]], [[2.0, 0.0], [0.0, -1.0]])
    array([0., 2.])
    """
    return _paired(X, Y, axis, True, dtype, zero, check_finite, n_threads)


def _full(X, Y, out, distance, *keywords):
    options = _inputs.check_options(*keywords)
    same = Y is None or Y is X
    X = _inputs.as_array(X, "X")
    Y = X if same else _inputs.as_array(Y, "Y")
    _inputs.check_features(X, Y)
    wide = _inputs.compute_wide(X, Y)
    dtype = _inputs.result_dtype(wide, options)
    if X.ndim == 2 and Y.ndim == 2:
        result = _inputs.result_array((X.shape[0], Y.shape[0]), dtype, out, X, Y)
        if result.size:
            _Call("full", X, Y, same, result, distance, wide, options).run(out is not None)
        return result
    stack_X, stack_Y = X[None] if X.ndim == 1 else X, Y[None] if Y.ndim == 1 else Y
    lead = _inputs.broadcast(stack_X.shape[:-2], stack_Y.shape[:-2])
    rows = stack_X.shape[-2:-1] if X.ndim > 1 else ()
    columns = stack_Y.shape[-2:-1] if Y.ndim > 1 else ()
    result = _inputs.result_array((*lead, *rows, *columns), dtype, out, X, Y)
    matrices = result if X.ndim > 1 else np.expand_dims(result, len(lead))
    matrices = matrices if Y.ndim > 1 else matrices[..., None]
    _run_stack("full", stack_X, stack_Y, same, matrices, distance, wide, options, out is not None)
    return result if out is not None or result.ndim else result[()]


def _paired(X, Y, axis, distance, *keywords):
    options = _inputs.check_options(*keywords)
    X, Y = _inputs.as_array(X, "X"), _inputs.as_array(Y, "Y")
    X, Y = _inputs.features_last(X, Y, axis)
    _inputs.check_features(X, Y)
    wide = _inputs.compute_wide(X, Y)
    shape = _inputs.broadcast(X.shape[:-1], Y.shape[:-1])
    result = _inputs.result_array(shape, _inputs.result_dtype(wide, options), None)
    rows = shape[-1:] or (1,)
    lead = shape[:-1]
    X = np.broadcast_to(X, (*lead, *rows, X.shape[-1]))
    Y = np.broadcast_to(Y, (*lead, *rows, Y.shape[-1]))
    matrices = result.reshape(*lead, 1, *rows)
    _run_stack("paired", X, Y, False, matrices, distance, wide, options, False)
    return result if result.ndim else result[()]


def _run_stack(name, X, Y, same, out, distance, wide, options, keep_out):
    """A call for each matrix of a stack; where `out` is the user's, all are examined first."""
    if not out.size:
        return
    lead = out.shape[:-2]
    X = np.broadcast_to(X, (*lead, *X.shape[-2:]))
    Y = X if same else np.broadcast_to(Y, (*lead, *Y.shape[-2:]))
    calls = (
        _Call(name, X[i], Y[i], same, out[i], distance, wide, options, i) for i in np.ndindex(lead)
    )
    if keep_out:
        calls = list(calls)
        for call in calls:
            call.examine()
    for call in calls:
        call.run()


class _Call:
    """One call of a kernel on two matrices, and what follows from what it finds."""

    def __init__(self, name, X, Y, same, out, distance, wide, options, index=()):
        self.kernels = _dispatch.kernels("float64" if wide else "float32")
        self.kernel = getattr(self.kernels, name)
        self.x = _inputs.kernel_view(X)
        self.y = self.x if same else _inputs.kernel_view(Y)
        self.out = _inputs.byte_view(out)
        self.same = same
        self.distance = distance
        self.options = options
        self.index = index
        self.careful = False
        n, d = X.shape
        products = out.size * d
        self.threads = threads_for(options.n_threads, products + READ * d * (n + Y.shape[0]))

    def run(self, keep_out=False):
        """Fill the output; with `keep_out`, not before the input has been found good."""
        if keep_out:
            self.examine()
        found = self._compute()
        if found & self.kernels.NEEDS_CARE:
            self._react(found)
            found = self._compute()
        self._react(found & ~self.kernels.NEEDS_CARE)

    def examine(self):
        """Raise what `run` would raise, and choose its way, without writing."""
        found = self.kernels.survey(*self.x, self.threads)
        if not self.same:
            found |= self.kernels.survey(*self.y, self.threads)
        self._react(found)

    def _compute(self):
        return self.kernel(
            *self.x,
            *self.y,
            self.out,
            self.same,
            self.distance,
            self.options.zero == "nan",
            self.careful,
            self.threads,
        )

    def _react(self, found):
        if found & self.kernels.NEEDS_CARE:
            if self.options.check_finite:
                _inputs.check_is_finite(self.kernels, self._matrices(), self.index)
            self.careful = True
        elif found & self.kernels.HAS_ZERO_ROW and self.options.zero == "raise":
            _inputs.raise_zero_row(self.kernels, self._matrices(), self.index)

    def _matrices(self):
        return [("X", *self.x)] if self.same else [("X", *self.x), ("Y", *self.y)]
