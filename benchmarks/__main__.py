"""`python -m benchmarks [case …]`: measure, print a table, write JSON."""

import argparse
import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.bench import Bench
from benchmarks.cases import CASES
from benchmarks.report import print_table, save


def main() -> int:
    """Run the cases that are named, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="case", help=f"of: {', '.join(CASES)}")
    parser.add_argument("--scale", type=float, default=1.0, help="the part of the data to take")
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often each subject's turn comes"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="how long a turn takes")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.cases if name not in CASES]
    if unknown:
        parser.error(f"no case is called {', '.join(unknown)}; there are: {', '.join(CASES)}")
    names = [name for name in CASES if name in arguments.cases or not arguments.cases]
    settings = {
        "scale": arguments.scale,
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
    }
    console = Console()
    console.width = max(console.width, 170)
    outcomes = {}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with (
        progress,
        Bench(progress, **settings) as bench,
        bench.task("cases", len(names)) as advance,
    ):
        for name in names:
            outcome = outcomes[name] = CASES[name].run(bench)
            path = save(name, outcome, settings, bench.postgres_version)
            progress.console.print(f"{CASES[name].title}: {path}")
            advance(1)
    print_table(console, outcomes.values(), detail=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
