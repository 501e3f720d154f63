"""The charts: ``python -m benchmarks.charts FOLDER RESULTS.json ...`` draws them again.

Colours are those of Okabe and Ito (and Tol), which colour-blind readers tell apart, and every
contender has a marker of its own; the background is white, on light pages and dark ones.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from . import report, work
from .curves import CURVES
from .together import together

GREY = "#767676"
# colour and marker of every contender; grey are the yardsticks, which do a part of the work
STYLES = {
    work.UNITDOT: ("#D55E00", "o"),
    work.SKLEARN: ("#0072B2", "s"),
    work.NUMKONG: ("#009E73", "^"),
    work.SIMSIMD: ("#CC79A7", "v"),
    work.TORCH: ("#E69F00", "D"),
    work.SCIPY: ("#56B4E9", "P"),
    work.FAISS: ("#000000", "*"),
    work.FAISS_INDEX: ("#000000", "1"),
    work.FAISS_PANORAMA: ("#000000", "2"),
    work.FAISS_RANGE: ("#000000", "3"),
    work.FAISS_RANGE_PANORAMA: ("#000000", "2"),
    work.INDEX: ("#D55E00", "p"),
    work.FLOAT32: (GREY, "o"),
    work.ONE_THREAD: (GREY, "o"),
    work.FAISS_READY: ("#000000", "1"),
    work.PANORAMA_READY: ("#000000", "2"),
    work.QUANTIZER_READY: ("#000000", "4"),
    work.FAISS_8_BIT: ("#000000", "4"),
    work.USEARCH: ("#882255", "X"),
    work.TOPN: ("#999933", "h"),
    work.MATMUL: (GREY, "x"),
    work.MATMUL_COPY: (GREY, "x"),
    work.MATMUL_WIDENED: (GREY, "x"),
    work.ROW_BLOCKS: (GREY, "x"),
    work.SYRK: (GREY, "+"),
    work.PARTITION: (GREY, "2"),
    work.READ: (GREY, "|"),
}
WIDTH = 9.5  # inches
CONFIG = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
    "svg.fonttype": "none",  # letters are letters: small files
    "svg.hashsalt": "unitdot",  # the same results give the same file
}
# A line of a chart: its title, and every contender's value.
Line = tuple[str, dict[str, float]]


def draw(records: Iterable[dict[str, Any]], folder: Path) -> str:
    """Draw what records of ``python -m benchmarks`` hold into the folder; say what was drawn."""
    try:
        import matplotlib
    except ModuleNotFoundError:
        return "charts: none, matplotlib is missing"
    records = list(records)
    quiet = [record for record in records if record["options"]["load"] is None]
    results = together(quiet)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(CONFIG):
        figures = {name: chart(results) for name, chart in CHARTS.items()}
        figures["busy"] = _dots(busy(records), BUSY, "linear")
        for name, figure in figures.items():
            if figure is not None:
                _legend(figure, report.faults(results))
                path = folder / f"benchmark-{name}.svg"
                figure.savefig(path, metadata={"Date": None, "Creator": None})
                written.append(path.name)
    return f"charts: {', '.join(written) or 'none'}, in {folder}"


def _legend(figure, note: str) -> None:
    """One for all panels, in the order of STYLES; the note says who is not shown."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    shown = [label for label in STYLES if label in handles]
    figure.legend(
        [handles[label] for label in shown],
        shown,
        loc="outside lower center",
        ncols=4,
        title=note,
        title_fontsize=7,
    )


def values(result: dict[str, Any]) -> dict[str, float]:
    """Of all rows that were measured and are right."""
    return {
        row["label"]: row["value"]
        for row in result["rows"]
        if "value" in row and "wrong" not in row
    }


def peers(results: list[dict[str, Any]], measure: str = work.UNITDOT) -> list[Line]:
    """Times, as multiples of `measure`'s: of unitdot's, where it comes first, or of another's."""
    lines = []
    for result in results:
        found = values(result)
        own = found.pop(measure, None)
        others = {label: value / own for label, value in found.items() if own and label in STYLES}
        if measure == work.UNITDOT and {work.INDEX, work.FLOAT32} & found.keys():
            continue  # which have charts of their own
        if others and result["unit"] == "s" and result["curve"] is None:
            title = f"{result['title']} ({report.quantity(own, 's')})"
            lines.append((title, {measure: 1.0} | others))
    return lines


def busy(records: list[dict[str, Any]]) -> list[Line]:
    """What a call takes on a busy machine, as multiples of what it takes on one thread there."""
    lines = []
    for processes, figure, what in (
        (0, "value", "none, median"),
        (1, "p90", "one, 90th percentile"),
        (2, "value", "two, median"),
    ):
        loads = {"busy": processes, "callers": 1, "caller_threads": 1}
        for result in together(r for r in records if r["options"]["load"] == loads):
            found = {row["label"]: row.get(figure) for row in result["rows"]}
            alone = found.pop(work.ONE_THREAD, None)
            others = {label: value / alone for label, value in found.items() if alone and value}
            if others:
                lines.append((f"{result['title']}: beside {what}", {work.ONE_THREAD: 1.0} | others))
    return lines


def limits(results: list[dict[str, Any]]) -> list[Line]:
    """Fractions of the multiply-add peak and of the speed of reading the inputs once."""
    lines = []
    for result in results:
        found = values(result)
        peak, read = found.pop(work.PEAK, None), found.pop(work.READ, None)
        if peak:
            found = {work.UNITDOT if k == "tile" else k: v / peak for k, v in found.items()}
            lines.append((f"{result['title'].partition(', against')[0]}: of the peak", found))
        elif read:
            fractions = {label: read / value for label, value in found.items()}
            lines.append((f"{result['title']}: of reading", fractions))
    return lines


def _dots(lines: list[Line], title: str, scale: str):
    """One line of markers for each of the lines."""
    from matplotlib.figure import Figure

    if not lines:
        return None
    figure = Figure((WIDTH, 1.3 + 0.27 * len(lines)), layout="constrained")
    axes = figure.subplots()
    for label, (colour, marker) in STYLES.items():
        points = [(found[label], place) for place, (_, found) in enumerate(lines) if label in found]
        if points:
            front = 3 if label == work.UNITDOT else 2
            axes.scatter(
                *zip(*points, strict=True), c=colour, marker=marker, label=label, zorder=front
            )
    axes.set_yticks(range(len(lines)), [title for title, _ in lines])
    axes.axvline(1, color=GREY, linewidth=1)
    axes.set(title=title, xscale=scale, ylim=(len(lines) - 0.5, -0.5))
    if scale == "log":
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    else:
        axes.set_xlim(0, 1.02 * max(1, *(max(found.values()) for _, found in lines)))
    return figure


def _growth(results: list[dict[str, Any]], alone: bool = False):
    """A panel for each curve of which there is more than a point; near-duplicates are alone."""
    from matplotlib.figure import Figure

    wanted = (result for result in results if (result["curve"] == "duplicates") is alone)
    measured = [result for result in wanted if values(result)]
    found = {name: points for name, points in report.curves(measured).items() if len(points) > 1}
    if not found:
        return None
    n_columns = min(len(found), 2)
    n_rows = -(-len(found) // n_columns)
    figure = Figure((WIDTH * (n_columns + 1) / 3, 0.6 + 2.7 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in grid.flat[len(found) :]:
        axes.remove()
    for axes, (name, points) in zip(grid.flat, found.items(), strict=False):
        _curve(axes, CURVES[name], points)
    return figure


def _curve(axes, curve, points: list[dict[str, Any]]) -> None:
    found = {point["x"]: values(point) for point in points}
    for label, (colour, marker) in STYLES.items():
        line = [(x, times[label]) for x, times in sorted(found.items()) if label in times]
        if line:
            own = label == work.UNITDOT
            axes.plot(
                *zip(*line, strict=True),
                color=colour,
                marker=marker,
                markersize=5,
                linewidth=2 if own else 1,
                zorder=3 if own else 2,
                label=label,
            )
    title = curve.what.replace("{x}", "n")
    axes.set(title=title, xlabel=f"n: {curve.axis}", ylabel="seconds", yscale="log")
    seconds = [value for times in found.values() for value in times.values()]
    axes.set_ylim(10 ** floor(log10(min(seconds))), 10 ** ceil(log10(max(seconds))))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    if curve.powers:
        axes.set(xscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.minorticks_off()
        slope = report.exponent(points)
        if slope is not None:
            axes.text(0.98, 0.04, f"unitdot: n^{slope:.2f}", transform=axes.transAxes, ha="right")
    else:
        axes.set_xticks(sorted(found))


BUSY = "Time beside busy processes, as a multiple of unitdot's on one thread"
CHARTS = {
    "peers": lambda results: _dots(
        peers(results), "Time as a multiple of unitdot's, which stands behind each title", "log"
    ),
    "index": lambda results: _dots(
        peers(results, work.INDEX), "Time as a multiple of an index's, which is made before", "log"
    ),
    "stored": lambda results: _dots(
        peers(results, work.FLOAT32),
        "Time as a multiple of what the same rows in float32 take",
        "log",
    ),
    "growth": _growth,
    "duplicates": lambda results: _growth(results, alone=True),
    "limits": lambda results: _dots(
        limits(results), "Fraction of what the machine can do: further right is faster", "linear"
    ),
}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python -m benchmarks.charts FOLDER RESULTS.json ...")
    print(draw([json.loads(Path(file).read_text()) for file in sys.argv[2:]], Path(sys.argv[1])))
