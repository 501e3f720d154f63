"""From checked arrays to kernels: a matrix, a stack of matrices, paired rows of any shape."""

import math
from collections.abc import Callable, Iterable

import numpy as np
from numpy.lib.stride_tricks import as_strided

from unitdot import _inputs
from unitdot._inputs import OF_MATRICES, Array, Axes, Shape, View
from unitdot._machine import dispatch
from unitdot._machine.threads import SMALL_WORK, threads_for
from unitdot._options import Options

# reading and packing an element costs about as much as this many multiply-adds
READ = 10
# matrices of a stack whose places are told to a kernel at a time
PLACES = 1 << 16

# raises for what a kernel found, if the options ask for it, in terms of the caller's own arrays
Explain = Callable[[int], None]


def full_stack(
    X: Array, Y: Array, same: bool, out: Array, distance: bool, wide: bool, options: Options,
    axes: Axes = OF_MATRICES, keep_out: bool = False,
) -> None:  # fmt: skip
    """out[..., i, j] = the cosine of X[..., i, :] and Y[..., j, :], leading axes broadcast.

    `keep_out`: nothing is written before all has been found good.
    """
    if not out.size:
        _examine_apart(X, Y, same, wide, options, axes)
        return
    lead = out.shape[:-2]
    X = _inputs.stretched(X, (*lead, *X.shape[-2:]))
    Y = X if same else _inputs.stretched(Y, (*lead, *Y.shape[-2:]))
    if keep_out:
        for i in _indices(lead):
            examine(X[i], Y[i], same, wide, options, i, axes)
    explain = _explanation(X, Y, same, wide, options, axes)
    _run("full", X, Y, same, out, distance, wide, options, explain)


def paired_rows(
    X: Array, Y: Array, out: Array, distance: bool, wide: bool, options: Options, axes: Axes
) -> None:
    """out[...] = the cosine of X[..., :] and Y[..., :], all axes but the last broadcast."""
    if not out.size:
        X, Y = (A[None] if A.ndim == 1 else A for A in (X, Y))
        _examine_apart(X, Y, False, wide, options, axes)
        return
    shape = out.shape or (1,)
    X, Y = (_inputs.stretched(A, (*shape, A.shape[-1])) for A in (X, Y))
    explain = _explanation(X, Y, False, wide, options, axes)
    steps = _merged(out.shape or (1,), X.strides, Y.strides, out.reshape(shape).strides)
    # an axis along which one side is the same row again and again belongs to the other
    of_X = [step for step in steps if step[2] == 0]
    of_Y = [step for step in steps if step[1] == 0 and step not in of_X]
    crossed = bool(of_X and of_Y)
    rows = max(of_X or steps)
    columns = max(of_Y) if crossed else (1, 0, 0, 0)
    lead = [step for step in steps if step is not rows and step is not columns]
    first, second = ([rows], [columns]) if crossed else ([rows], [rows])
    x, y = (
        as_strided(
            A,
            (*(step[0] for step in [*lead, *own]), A.shape[-1]),
            (*(step[side] for step in [*lead, *own]), A.strides[-1]),
        )
        for A, own, side in ((X, first, 1), (Y, second, 2))
    )
    to = [*lead, rows, columns] if crossed else [*lead, columns, rows]
    target = as_strided(out, [step[0] for step in to], [step[3] for step in to])
    name = "full" if crossed else "paired"
    same = crossed and not distance and _is_same(x, y)
    _run(name, x, y, same, target, distance, wide, options, explain)


def _merged(shape: Shape, *strides: Shape) -> list[tuple[int, ...]]:
    """(length, stride of each array) of as few axes as walk through the same places."""
    steps: list[tuple[int, ...]] = []
    for step in zip(reversed(shape), *(reversed(s[: len(shape)]) for s in strides), strict=True):
        if step[0] == 1 and (steps or len(shape) > 1):
            continue
        if steps and all(step[q] == steps[-1][0] * steps[-1][q] for q in range(1, len(step))):
            steps[-1] = (step[0] * steps[-1][0], *steps[-1][1:])
        else:
            steps.append(step)
    return steps[::-1] or [(1, *(0 for _ in strides))]


def _is_same(X: Array, Y: Array) -> bool:
    """Whether both are the same rows in the same memory."""
    mine, other = X.__array_interface__, Y.__array_interface__
    return all(mine[key] == other[key] for key in ("data", "shape", "strides", "typestr"))


def _run(
    name: str, X: Array, Y: Array, same: bool, out: Array, distance: bool, wide: bool,
    options: Options, explain: Explain,
) -> None:  # fmt: skip
    """Fill the matrices of a stack by the kernel of this name: small ones in one call of it."""
    kernels, lead = dispatch.kernels(wide), out.shape[:-2]
    first = (0,) * len(lead)
    count, nan = math.prod(lead), options.zero == "nan"
    work = X.shape[-1] * (out.shape[-2] * out.shape[-1] + READ * (X.shape[-2] + Y.shape[-2]))
    found, explained = 0, False
    if count == 1 or work >= SMALL_WORK:
        threads, run = threads_for(options.n_threads, work), getattr(kernels, name)
        for i in _indices(lead):
            x, y = views(X[i], Y[i], same)
            arguments = *x, *y, _inputs.byte_view(out[i]), same, distance, nan
            now = run(*arguments, False, threads)
            if now & kernels.NEEDS_CARE:
                if not explained:  # all rows are finite, then
                    explain(now)
                    explained = True
                now = run(*arguments, True, threads)
            found |= now
    else:
        x, y = views(X[first], Y[first], same)
        threads = threads_for(options.n_threads, work * count)
        for start in range(0, count, PLACES):
            places = np.unravel_index(np.arange(start, min(start + PLACES, count)), lead)
            at = np.stack([_offsets(places, A.strides) for A in (X, Y, out)], axis=1)
            found |= kernels.stack(
                *x, *y, _inputs.byte_view(out[first]), at, name == "paired", same, distance, nan,
                threads,
            )  # fmt: skip
    if found:
        explain(found)


def _offsets(places: tuple[Array, ...], strides: Shape) -> Array:
    """In bytes."""
    return np.asarray(sum(map(np.multiply, places, strides)), np.int64)


def _examine_apart(
    X: Array, Y: Array, same: bool, wide: bool, options: Options, axes: Axes
) -> None:
    """Each side by itself, where nothing meets anything."""
    nothing = np.empty((0, X.shape[-1]), X.dtype)
    for i in _indices(X.shape[:-2]):
        examine(X[i], nothing, False, wide, options, i, axes)
    for i in () if same else _indices(Y.shape[:-2]):
        examine(nothing, Y[i], False, wide, options, i, axes)


def _indices(lead: Shape) -> Iterable[Shape]:
    return np.ndindex(lead) if lead else ((),)


def _explanation(
    X: Array, Y: Array, same: bool, wide: bool, options: Options, axes: Axes
) -> Explain:
    kernels = dispatch.kernels(wide)

    def explain(found: int) -> None:
        for i in _indices(X.shape[:-2]):
            react(kernels, found, *views(X[i], Y[i], same), options, i, axes)

    return explain


def examine(
    X: Array,
    Y: Array,
    same: bool,
    wide: bool,
    options: Options,
    index: Shape = (),
    axes: Axes = OF_MATRICES,
) -> bool:
    """Raise what `_call` would, before anything is written; returns whether it must be careful."""
    kernels = dispatch.kernels(wide)
    x, y = views(X, Y, same)
    threads = threads_of(X, Y, 0, options)
    found = kernels.survey(*x, threads) | (0 if same else kernels.survey(*y, threads))
    react(kernels, found, x, y, options, index, axes)
    return bool(found & kernels.NEEDS_CARE)


def react(
    kernels: dispatch.Kernels,
    found: int,
    x: View,
    y: View,
    options: Options,
    index: Shape,
    axes: Axes = OF_MATRICES,
) -> None:
    """Raise for what a kernel found, where the options ask for it."""
    matrices = [("X", *x)] if y is x else [("X", *x), ("Y", *y)]
    if found & kernels.NEEDS_CARE and options.check_finite:
        _inputs.check_is_finite(kernels, matrices, index, axes)
    if options.zero == "raise" and found:
        _inputs.raise_zero_row(kernels, matrices, index, axes)


def views(X: Array, Y: Array, same: bool) -> tuple[View, View]:
    x = _inputs.kernel_view(X)
    return x, x if same else _inputs.kernel_view(Y)


def threads_of(X: Array, Y: Array, outputs: int, options: Options) -> int:
    rows_X, features = X.shape
    work = features * (outputs + READ * (rows_X + len(Y)))
    return threads_for(options.n_threads, work)
