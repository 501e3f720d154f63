"""How the time of all pairs above a threshold grows with the number of lines of text.

``python -m benchmarks.growth [FILE.png]`` prints a table and the exponents, and draws the plot
where matplotlib is installed.
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from .contenders import TEXT_CONTENDERS
from .texts import tfidf

SIZES = (10_000, 20_000, 40_000, 70_000, 100_000)
THRESHOLD = 0.8
REPEATS = 3
KINDS = {"word": "words", "char": "character 3-grams"}


def _seconds(n_lines: int, analyzer: str) -> tuple[float, int]:
    """The median of a few calls, and the number of pairs."""
    X = tfidf(n_lines, analyzer)
    call = TEXT_CONTENDERS["unitdot"](X, "pairs", THRESHOLD)
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        result = call()
        times.append(perf_counter() - start)
    return float(np.median(times)), len(result[0])


def _plot(times: dict[str, list[float]], exponents: dict[str, float], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for kind, seconds in times.items():
        axes.loglog(SIZES, seconds, "o-", label=f"{KINDS[kind]}: n^{exponents[kind]:.2f}")
    axes.set_xlabel("lines")
    axes.set_ylabel(f"seconds for all pairs >= {THRESHOLD}")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    times: dict[str, list[float]] = {}
    exponents = {}
    for kind, name in KINDS.items():
        times[kind] = []
        for n_lines in SIZES:
            seconds, found = _seconds(n_lines, kind)
            times[kind].append(seconds)
            print(f"{name:<18}{n_lines:>8,} lines {1e3 * seconds:>9.1f} ms {found:>9,} pairs")
        slope, _ = np.polyfit(np.log(SIZES), np.log(times[kind]), 1)
        exponents[kind] = float(slope)
        print(f"{name:<18}exponent {slope:.2f}")
    if len(sys.argv) > 1:
        _plot(times, exponents, sys.argv[1])


if __name__ == "__main__":
    main()
