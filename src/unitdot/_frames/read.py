"""Which reader is whose: the one way in."""

from collections.abc import Callable, Mapping, Set, ValuesView
from typing import Any, NoReturn

from unitdot._frames import common, of_arrow, of_pandas, of_polars, tensors
from unitdot._frames.common import Array, UnreadableError
from unitdot._frames.rows import array, is_vector, of_rows


def read(argument: Any, name: str, check_finite: bool) -> Array:
    """`argument`, which is no ndarray, as one: without a copy where its memory allows it.

    Raises `UnreadableError`. With `check_finite`, NaN in pandas' frames is what they call missing.
    """
    for kind in type(argument).__mro__[:-1]:
        library = _library(kind)
        if (library, kind.__name__) == ("pandas", "DataFrame"):
            return of_pandas.of_frame(argument, name, check_finite)
        reader = _READERS.get((library, kind.__name__))
        if reader is not None:
            return reader(argument, name)
    if isinstance(argument, list | tuple):
        return of_rows(argument, name)
    if isinstance(argument, ValuesView):
        return of_rows(list(argument), name)
    _refuse_what_has_no_rows(argument, name)
    return array(argument)


def native(column: Any, name: str) -> tuple[Any, str]:
    """What a column of narwhals stands for, and how that is written; another as it is."""
    if _library(type(column)) == "narwhals":
        return column.to_native(), f"{name}.to_native()"
    return column, name


def read_labels(labels: Any, name: str) -> Array | None:
    """A column of labels as an array; None for what is none. Raises `UnreadableError`."""
    if not hasattr(labels, "to_numpy"):
        return None
    for kind in type(labels).__mro__:
        reader = _LABELS.get(_library(kind))
        if reader is not None:
            return reader(labels, name)
    return common.to_numpy(labels)


def read_elements(labels: Array, name: str) -> Array:
    """The same of labels in an array of objects, some of which may be a library's own."""
    return of_arrow.of_elements(labels, name)


def plain(value: Any) -> Any:
    """One of these as Python has it. Raises `UnreadableError`."""
    return of_arrow.element(value)


def _library(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _refuse_what_has_no_rows(argument: Any, name: str) -> None:
    kind = type(argument).__name__
    if argument is None:
        what = "is None; expected rows of numbers (what works in place returns None)"
        raise UnreadableError(TypeError, what)
    if hasattr(argument, "__next__"):
        what = f"is a {kind}, which can be read only once; expected rows of numbers"
        raise UnreadableError(TypeError, what, f"list({name})")
    if isinstance(argument, Mapping | Set):
        vectors = isinstance(argument, Mapping) and all(map(is_vector, argument.values()))
        what = f"is a {kind}; expected rows of numbers"
        raise UnreadableError(TypeError, what, *[f"{name}.values()"] * vectors)


def _duckdb_relation(relation: Any, name: str) -> NoReturn:
    raise UnreadableError(TypeError, "is a query of DuckDB; expected its result", f"{name}.df()")


def _xarray_dataset(dataset: Any, name: str) -> NoReturn:
    remedies = [f"{name}[{variable!r}]" for variable in dataset.data_vars]
    what = "is a Dataset of xarray; expected one of its variables"
    raise UnreadableError(TypeError, what, *remedies[:8])


_READERS: dict[tuple[str, str], Callable[[Any, str], Array]] = {
    ("pandas", "Series"): of_pandas.of_column,
    ("pandas", "Index"): of_pandas.of_column,
    ("pandas", "ExtensionArray"): of_pandas.of_column,
    ("polars", "DataFrame"): of_polars.of_frame,
    ("polars", "LazyFrame"): of_polars.of_lazy,
    ("polars", "Series"): of_polars.of_column,
    ("pyarrow", "Table"): of_arrow.of_table,
    ("pyarrow", "RecordBatch"): of_arrow.of_table,
    ("pyarrow", "RecordBatchReader"): of_arrow.of_reader,
    ("pyarrow", "Array"): of_arrow.of_column,
    ("pyarrow", "ChunkedArray"): of_arrow.of_column,
    ("torch", "Tensor"): tensors.of_tensor,
    ("cupy", "ndarray"): tensors.of_cupy,
    ("duckdb", "DuckDBPyRelation"): _duckdb_relation,
    ("xarray", "Dataset"): _xarray_dataset,
}
_LABELS: dict[str, Callable[[Any, str], Array]] = {
    "pandas": of_pandas.of_labels,
    "polars": of_polars.of_labels,
    "pyarrow": of_arrow.of_labels,
}
