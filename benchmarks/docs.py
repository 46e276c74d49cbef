"""`python -m benchmarks.docs`: put the figures of the last runs into docs/performance.md.

Its prose is written by hand; what stands between `<!-- measured: … -->` and `<!-- end -->` is
written here. A case that was never run at full scale is left out.
"""

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.bench import Measured
from benchmarks.cases import CASES
from benchmarks.figures import draw
from benchmarks.report import RESULTS, figure

__all__: list[str] = []

_DOCS = Path(__file__).parents[1] / "docs"
_PART = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Results = Mapping[str, Mapping[str, Any]]


def main() -> None:
    """Write the page's figures and its pictures."""
    parser = argparse.ArgumentParser(prog="benchmarks.docs", description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder with the JSON")
    folder = parser.parse_args().results
    paths = [folder / f"{name}.json" for name in CASES]
    results = {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}
    if not results:
        parser.error(f"there are no results in {folder}; run make bench first")
    parts: Mapping[str, Callable[[Results], str]] = {
        "table": _table,
        "short": _short,
        "where": _where,
    }
    page = _DOCS / "performance.md"
    text = _PART.sub(
        lambda match: f"{match[1]}\n{parts[match[2]](results)}\n{match[3]}", page.read_text()
    )
    page.write_text(text)
    print(page)
    for path in draw(results, _DOCS / "images"):
        print(path)
    missing = sorted(CASES.keys() - results.keys())
    if missing:
        print(f"not measured at full scale yet: {', '.join(missing)}")


def _table(results: Results) -> str:
    lines = [
        "| case | compared with | calevents | the other | unit | ratio | goal | reached |",
        "|---|---|--:|--:|---|--:|--:|---|",
    ]
    for result in results.values():
        for line in result["comparisons"]:
            theirs = line["theirs"]
            cells = (
                line["case"],
                line["against"],
                figure(line["ours"]),
                "" if theirs is None else figure(theirs),
                line["unit"],
                "" if theirs is None else f"{line['ratio']:.3g}",
                "" if line["goal"] is None else _goal(line),
                {True: "yes", False: "**no**", None: ""}[line["reached"]],
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _goal(line: Mapping[str, Any]) -> str:
    return f"{'≥' if line['at_least'] else '≤'} {figure(line['goal'])}"


def _short(results: Results) -> str:
    lines = [
        f"- {line['case']}{_against(line)}: {figure(line['ratio'])}, where {_goal(line)} was to be "
        "reached."
        for result in results.values()
        for line in result["comparisons"]
        if line["reached"] is False
    ]
    lines += [
        f"- Unsteady: {result['case']}, {line['subject']}, {', '.join(map(figure, rounds))} "
        f"{line['unit']} in a round, where the median is {figure(line['median'])}."
        for result in results.values()
        for line in result["measured"]
        if (rounds := Measured(subject="", values=line["values"], unit=line["unit"]).astray)
    ]
    lines += [f"- Not measured: {text}." for r in results.values() for text in r["skipped"]]
    lines += [
        f"- Not measured at full scale yet: {CASES[name].title}."
        for name in CASES
        if name not in results
    ]
    return "\n".join(lines or ["Every goal is reached."]) + "\n"


def _against(line: Mapping[str, Any]) -> str:
    return f", against {line['against']}" if line["against"] else ""


def _where(results: Results) -> str:
    """The machine and the versions, once for all cases that have them in common."""
    groups: dict[str, list[str]] = {}
    for name, result in results.items():
        machine = result["machine"]
        versions = ", ".join(
            f"{package} {version}" for package, version in result["versions"].items() if version
        )
        scale = result["settings"]["scale"]
        taken = "" if scale == 1 else f"With {scale:g} of the data, for a first look only. "
        text = (
            f"{taken}{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, "
            f"{machine['system']}; {versions}. {result['date'][:10]}"
        )
        groups.setdefault(text, []).append(name)
    return "\n\n".join(f"{', '.join(names)}: {text}" for text, names in groups.items()) + "\n"


if __name__ == "__main__":
    main()
