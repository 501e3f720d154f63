"""Sparse rows that are searched many times: measured once, and indexed by feature once."""

from __future__ import annotations

from typing import Any

from unitdot._kernels import sparse as kernels
from unitdot._machine.threads import threads_for
from unitdot._sparse import inputs as sparse_inputs
from unitdot._sparse.inputs import Csr, entries_of

# what an entry costs to be measured, in multiply-adds
WORK = 32


class Prepared:
    """What is known of a corpus in order, of no more features than are looked up by number.

    Each part is made when it is first asked for, and replaces nothing: threads that ask at the same
    time may make it twice. A corpus that has grown keeps the blocks that were full before.
    """

    def __init__(self, csr: Csr, blocks: list[Any] | None = None) -> None:
        self.csr = csr
        self._rows: dict[bool, Any] = {}
        self._blocks: list[Any] | None = None
        self._before = blocks

    @classmethod
    def of(cls, matrix: Any, before: Prepared | None = None) -> Prepared | None:
        """Of SciPy's CSR, in order; `before`: of the same rows without the last ones."""
        csr = sparse_inputs.read_csr(matrix, "Y")
        if csr.n_features > sparse_inputs.NUMBERED:
            return None
        return cls(csr, None if before is None else before._blocks or before._before)

    def rows(self, nan_for_zero: bool) -> Any:
        """The rows as kernels read them; zero rows are as it says."""
        rows = self._rows.get(nan_for_zero)
        if rows is None:
            threads = threads_for(None, WORK * entries_of(self.csr))
            rows = sparse_inputs.rows_of(self.csr, nan_for_zero, threads)[0]
            self._rows[nan_for_zero] = rows
        return rows

    def blocks(self) -> list[Any]:
        """The rows by feature, for bounds."""
        blocks = self._blocks
        if blocks is None:
            rows = self.rows(nan_for_zero=False)
            before = {(block.first, block.stop): block for block in self._before or ()}
            blocks = [
                before.get((first, first + count)) or kernels.Index(rows, first, count, True, True)
                for first, count in kernels.blocks_of(rows)
            ]
            self._blocks, self._before = blocks, None
        return blocks

    def products(self, X: Any) -> int:
        """Entries of the lists that all rows of X have to look at, of blocks that are made."""
        return sum(block.products(X) for block in self._blocks or ())

    @property
    def nbytes(self) -> int:
        """Of the blocks, if they are made."""
        return sum(block.nbytes for block in self._blocks or ())
