"""The look for what is due, while ever more events wait."""

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence

import asyncpg

from benchmarks.bench import Bench, Case, Comparison, Curve, Measured, Outcome
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.sqlalchemy.tables import Tables
from tests.postgres import dsn

__all__ = ["DUE"]

WAITING = (10_000, 100_000, 1_000_000, 10_000_000)
DUE_NOW = 100
MANY_DUE = 400
LOOKS = 20
_STEP = 500_000
_LIMIT = 500


def run(bench: Bench) -> Outcome:
    """Databases of every size side by side, with the same number of events due in each."""
    # The smallest one is what the others are compared with: it stays, whatever the scale.
    sizes = sorted({WAITING[0], *(max(round(n * bench.scale), WAITING[0]) for n in WAITING[1:])})
    subjects = {f"{count:,} waiting, {DUE_NOW} due": (count, DUE_NOW) for count in sizes}
    most = f"{sizes[-1]:,} waiting, {MANY_DUE} due"
    subjects[most] = (sizes[-1], MANY_DUE)
    urls = {name: _load(bench, *counts) for name, counts in subjects.items()}
    times = asyncio.run(_measure(bench, urls, {name: due for name, (_, due) in subjects.items()}))
    smallest, largest = next(iter(subjects)), list(subjects)[len(sizes) - 1]
    medians = {name: statistics.median(values) for name, values in times.items()}
    return Outcome(
        comparisons=[
            Comparison(
                case=f"due scan, {largest}",
                against=smallest,
                ours=medians[largest],
                theirs=medians[smallest],
                unit="ms/scan",
                ratio=_ratio(times[largest], times[smallest]),
                goal=1.2,
                at_least=False,
            ),
            Comparison(
                case=f"due scan, {most}",
                against=largest,
                ours=medians[most],
                theirs=medians[largest],
                unit="ms/scan",
                ratio=_ratio(times[most], times[largest]),
                goal=MANY_DUE / DUE_NOW,
                at_least=False,
            ),
        ],
        measured=[
            Measured(subject=name, values=values, unit="ms/scan") for name, values in times.items()
        ],
        curves=[
            Curve(
                name="due",
                title=f"The look for what is due ({DUE_NOW} events are)",
                x_label="events waiting",
                y_label="milliseconds for a scan",
                lines={
                    "PostgreSQL": [
                        (count, medians[name])
                        for name, (count, _) in list(subjects.items())[: len(sizes)]
                    ]
                },
            )
        ],
        settings={"waiting": sizes, "due": [DUE_NOW, MANY_DUE]},
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def _load(bench: Bench, waiting: int, due: int) -> str:
    url = bench.postgres.create_database()
    with bench.task(f"loading {waiting:,} waiting notifications", waiting) as advance:
        asyncio.run(_insert(url, waiting, due, advance))
    return url


async def _insert(url: str, waiting: int, due: int, advance: Callable[[int], None]) -> None:
    """Notifications of events that start in the next 90 days, and of some that start soon."""
    async with Database(url) as database:
        await database.create_tables()
    table = Tables().notifications.name
    insert = f"""
        INSERT INTO {table} (company_id, event_id, starts_at, state, due_at, opened)
        SELECT n % 100 + 1, n, at, 'waiting', at - interval '1 hour', false
        FROM generate_series($1::bigint, $2::bigint) AS n,
            LATERAL (SELECT statement_timestamp() + {{start}} AS at) AS starts"""
    later = insert.format(start="interval '1 day' + interval '1 second' * (n * 7919 % 7689600)")
    soon = insert.format(start="interval '50 minutes' + interval '1 second' * (n % 500)")
    connection = await asyncpg.connect(dsn(url))
    try:
        for first in range(1, waiting + 1, _STEP):
            last = min(first + _STEP - 1, waiting)
            await connection.execute(later, first, last)
            advance(last - first + 1)
        await connection.execute(soon, waiting + 1, waiting + due)
        await connection.execute(f"VACUUM (FREEZE, ANALYZE) {table}")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _measure(
    bench: Bench, urls: dict[str, str], due: dict[str, int]
) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in urls}
    databases = {name: Database(url) for name, url in urls.items()}
    try:
        for name, database in databases.items():  # warms up, too
            for _ in range(LOOKS):
                await _look(database, due[name])
        for name in bench.turns("due scan", list(urls)):
            begin = time.perf_counter()
            for _ in range(LOOKS):
                await _look(databases[name], due[name])
            times[name].append((time.perf_counter() - begin) / LOOKS * 1000)
    finally:
        for database in databases.values():
            await database.close()
    return times


async def _look(database: Database, due: int) -> None:
    """What a dispatcher asks its ledger at every interval."""
    missed = await database.ledger.expire_missed(limit=_LIMIT)
    found = await database.ledger.due(limit=_LIMIT)
    assert (missed, len(found)) == (0, due), (missed, len(found))


DUE = Case("due", "the look for what is due", run)
