"""What a run leaves: a table for people, JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table

from benchmarks.bench import Comparison, Measured, Outcome
from benchmarks.machine import describe_machine, versions

__all__ = ["RESULTS", "figure", "goal", "print_table", "save"]

RESULTS = Path(__file__).parent / "results"


def figure(value: float) -> str:
    """A value with three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def goal(comparison: Comparison) -> str:
    """What was to be reached."""
    if comparison.goal is None:
        return ""
    return f"{'≥' if comparison.at_least else '≤'} {figure(comparison.goal)}"


def print_table(console: Console, outcomes: Iterable[Outcome], *, detail: bool) -> None:
    """Each case beside its limit and its peers; with ``detail``, the measured quantities too."""
    table = Table("case", "compared with", title="calevents beside the others")
    for name in ("calevents", "the other", "unit", "ratio", "goal", "reached"):
        table.add_column(name, justify="left" if name == "unit" else "right")
    lines = Table("subject", "unit", title="medians of the rounds")
    for name in ("median", "± (quartiles)"):
        lines.add_column(name, justify="right")
    skipped: list[str] = []
    astray: list[str] = []
    for outcome in outcomes:
        for line in outcome.comparisons:
            table.add_row(
                line.case,
                line.against,
                figure(line.ours),
                "" if line.theirs is None else figure(line.theirs),
                line.unit,
                "" if line.theirs is None else f"{line.ratio:.3g}",
                goal(line),
                {True: "[green]yes", False: "[red]NO", None: ""}[line.reached],
            )
        for measured in outcome.measured:
            spread = f"{measured.spread:.1%}"
            lines.add_row(measured.subject, measured.unit, figure(measured.median), spread)
            if measured.astray:
                rounds = ", ".join(map(figure, measured.astray))
                astray.append(
                    f"{measured.subject}: {rounds} {measured.unit} in a round, "
                    f"where the median is {figure(measured.median)}"
                )
        skipped += outcome.skipped
    if detail:
        console.print(lines)
    console.print(table)
    for text in astray:
        console.print(f"[bold red]ASTRAY:[/] {text}")
    for text in skipped:
        console.print(f"[bold red]SKIPPED:[/] {text}")


def save(name: str, outcome: Outcome, settings: Mapping[str, object], server: str | None) -> Path:
    """Write a case's outcome; what wasn't taken at full scale goes to a folder apart."""
    document = {
        "case": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": describe_machine(),
        "versions": {**versions(), "postgresql": server},
        "settings": {**settings, **outcome.settings},
        "comparisons": [
            {**attrs.asdict(line), "reached": line.reached} for line in outcome.comparisons
        ],
        "measured": [_measured(line) for line in outcome.measured],
        "curves": [attrs.asdict(curve) for curve in outcome.curves],
        "skipped": list(outcome.skipped),
    }
    folder = RESULTS if settings["scale"] == 1 else RESULTS / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return path


def _measured(line: Measured) -> dict[str, Any]:
    values: Sequence[float] = [float(f"{value:.5g}") for value in line.values]
    return {
        "subject": line.subject,
        "unit": line.unit,
        "median": float(f"{line.median:.5g}"),
        "spread": round(line.spread, 4),
        "values": values,
    }
