"""What needs no server: the import, one status, one time zone's name."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.bench import Bench, Case, Measured, Outcome, alone

__all__ = ["IMPORT", "STATUS", "TIME_ZONE"]

ADAPTERS = (
    "aiosqlite", "alembic", "anyio", "apprise", "asyncpg", "babel", "msgspec", "sqlalchemy",
    "starlette",
)  # fmt: skip
CALLS = 50_000


def run_import(bench: Bench) -> Outcome:
    """A new interpreter that imports calevents, beside one that imports nothing."""
    programs = {"nothing": "pass", "attrs": "import attrs", "calevents": "import calevents"}
    times: dict[str, list[float]] = {name: [] for name in programs}
    # An installed package is compiled; a checkout is where Python may keep what it compiles.
    compiled = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    for name in (*programs, *bench.turns("import", list(programs))):  # the first ones warm up
        # The least disturbed of a few: what the code costs, not what else the machine does.
        start = partial(
            subprocess.run, [sys.executable, "-c", programs[name]], check=True, env=compiled
        )
        times[name].append(min(_seconds(start) for _ in range(3)) * 1000)
    times = {name: values[1:] for name, values in times.items()}
    over = [a - b for a, b in zip(times["calevents"], times["nothing"], strict=True)]
    program = f"import calevents, sys; print(*(m for m in {ADAPTERS} if m in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return Outcome(
        comparisons=[
            alone(
                "import calevents, over bare Python",
                statistics.median(over),
                unit="ms",
                goal=30,
                at_least=False,
            ),
            alone(
                "adapters' libraries that it loads",
                len(done.stdout.split()),
                unit="libraries",
                goal=0,
                at_least=False,
            ),
        ],
        measured=[
            Measured(subject=f"import {name}", values=values, unit="ms")
            for name, values in times.items()
        ],
    )


def run_status(bench: Bench) -> Outcome:
    """One event's status, at instants of every kind."""
    from calevents import Event

    now = datetime.now(UTC)
    offsets = (-3, -1, 0.5, 5)  # hours until the start: concluded, in progress, soon, later
    events = [
        Event(
            id=1,
            company_id=1,
            title="Summer Product Launch",
            start=now + timedelta(hours=hours),
            end=now + timedelta(hours=hours + 2),
            created_at=now,
            updated_at=now,
        )
        for hours in offsets
    ]

    def statuses() -> None:
        first, second, third, fourth = events
        for _ in range(CALLS // len(events)):
            first.status(now)
            second.status(now)
            third.status(now)
            fourth.status(now)

    return _rate(bench, "one status", statuses, goal=2_000_000)


def run_time_zone(bench: Bench) -> Outcome:
    """Names of every kind that have been asked for before."""
    from calevents.timezones import canonical_name

    names = ("US/Eastern", "europe/kiev", "Eastern Time (US & Canada)", "W. Europe Standard Time")

    def look_up() -> None:
        first, second, third, fourth = names
        for _ in range(CALLS // len(names)):
            canonical_name(first)
            canonical_name(second)
            canonical_name(third)
            canonical_name(fourth)

    return _rate(bench, "one zone name → canonical, warm", look_up, goal=1_000_000)


def _rate(bench: Bench, case: str, calls: Callable[[], None], *, goal: float) -> Outcome:
    calls()
    values = []
    for _ in bench.turns(case, [case]):
        best = min(_seconds(calls) for _ in range(5))
        values.append(CALLS / best)
    median = statistics.median(values)
    return Outcome(
        comparisons=[alone(case, median, unit="calls/s", goal=goal, at_least=True)],
        measured=[Measured(subject=case, values=values, unit="calls/s")],
    )


def _seconds(calls: Callable[[], object]) -> float:
    begin = time.perf_counter()
    calls()
    return time.perf_counter() - begin


IMPORT = Case("import", "import calevents", run_import)
STATUS = Case("status", "one status", run_status)
TIME_ZONE = Case("zone", "one time zone's name", run_time_zone)
