"""Pictures of what was measured, the same to the byte for the same figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["draw"]

OURS = "#1b6ac9"
OTHERS = "#9aa5b1"
MISSED = "#c8442d"
PREFIX = "performance-"

mpl.rcParams["svg.hashsalt"] = "calevents"
mpl.rcParams["font.size"] = 9


def draw(results: Mapping[str, Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw what there are results for; answer the files."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [_goals(results, folder / f"{PREFIX}goals.svg")]
    if "list" in results:
        made.append(_list(results["list"], folder / f"{PREFIX}list.svg"))
    curves = [curve for result in results.values() for curve in result["curves"]]
    return made + [_curve(curve, folder / f"{PREFIX}{curve['name']}.svg") for curve in curves]


def _goals(results: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """How far each case is past its goal, or short of it."""
    lines = [
        line
        for result in results.values()
        for line in result["comparisons"]
        if line["goal"]  # a goal of none at all has no distance
    ]
    labels = [f"{line['case']}\n{line['against']}".strip() for line in lines]
    past = [
        line["ratio"] / line["goal"] if line["at_least"] else line["goal"] / line["ratio"]
        for line in lines
    ]
    figure = Figure(figsize=(8, 0.9 + 0.42 * len(lines)), layout="constrained")
    axes = figure.subplots()
    colors = [OURS if line["reached"] else MISSED for line in lines]
    axes.barh(labels, [value - 1 for value in past], left=1, color=colors, height=0.6)
    for index, value in enumerate(past):
        axes.annotate(
            f"{value:.2f}",
            (value, index),
            xytext=(4 if value >= 1 else -4, 0),
            textcoords="offset points",
            ha="left" if value >= 1 else "right",
            va="center",
        )
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.set_xlim(min(0.5, *past) / 1.5, max(2, *past) * 1.6)
    axes.set_xlabel("1 is the goal; to the right of it is better")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    return _save(figure, path)


def _list(result: Mapping[str, Any], path: Path) -> Path:
    lines = [line for line in result["measured"] if line["unit"] == "requests/s"]
    figure = Figure(figsize=(8, 0.8 + 0.4 * len(lines)), layout="constrained")
    axes = figure.subplots()
    medians = [line["median"] for line in lines]
    axes.barh(
        [line["subject"] for line in lines],
        medians,
        xerr=[line["median"] * line["spread"] for line in lines],
        color=[OURS if line["subject"] == "calevents" else OTHERS for line in lines],
        height=0.6,
        error_kw={"linewidth": 1},
    )
    axes.set_xlabel("requests/s of one worker; the whiskers hold half of the rounds")
    axes.invert_yaxis()
    axes.spines[["top", "right", "left"]].set_visible(False)
    return _save(figure, path)


def _curve(curve: Mapping[str, Any], path: Path) -> Path:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.subplots()
    highest = 0.0
    for (name, points), color in zip(curve["lines"].items(), (OURS, MISSED, OTHERS), strict=False):
        xs, ys = _columns(points)
        axes.plot(xs, ys, marker="o", label=name, color=color)
        highest = max(highest, *ys)
    axes.set_xscale("log")
    axes.set_ylim(0, highest * 1.3)
    axes.set_xlabel(curve["x_label"])
    axes.set_ylabel(curve["y_label"])
    axes.set_title(curve["title"])
    axes.grid(alpha=0.3)
    axes.legend()
    axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _columns(points: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [point[0] for point in points], [point[1] for point in points]


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, facecolor="white", metadata={"Date": None, "Creator": None})
    return path
