"""The same read while history grows: what is active stays the same."""

from contextlib import ExitStack

from benchmarks import data
from benchmarks.bench import Bench, Case, Comparison, Curve, Outcome
from benchmarks.cases.http import (
    CONNECTIONS,
    Readings,
    check_same_answers,
    compare_servers,
    in_turn,
    list_requests,
)
from benchmarks.servers import asgi_server

__all__ = ["GROWTH"]

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


def run(bench: Bench) -> Outcome:
    """PostgreSQL and SQLite, each with every size side by side."""
    # The smallest one is what the others are compared with: it stays, whatever the scale.
    sizes = sorted({SIZES[0], *(bench.scaled(size) for size in SIZES[1:])})
    found = {
        "PostgreSQL": _measure(bench, "PostgreSQL", {n: bench.postgresql_events(n) for n in sizes}),
        "SQLite": _measure(bench, "SQLite", {n: bench.sqlite_events(n) for n in sizes}),
    }
    lines = {
        database: [(count, _median_time(reading)) for count, reading in readings.items()]
        for database, readings in found.items()
    }
    return Outcome(
        comparisons=[
            _comparison(database, readings, sizes) for database, readings in found.items()
        ],
        measured=[
            line
            for database, readings in found.items()
            for count, reading in readings.items()
            for line in reading.measured(f"{database}, {count:,} events")
        ],
        curves=[
            Curve(
                name="growth",
                title="A user's list while history grows",
                x_label="events stored (the user sees 30)",
                y_label="milliseconds of one worker for a request",
                lines=lines,
            )
        ],
        settings={
            "events": sizes,
            "active for the user": data.VISIBLE,
            "connections": CONNECTIONS,
        },
    )


def _measure(bench: Bench, database: str, urls: dict[int, str]) -> dict[int, Readings]:
    with ExitStack() as stack:
        servers = {
            f"{count:,}": stack.enter_context(asgi_server("calevents_api", DATABASE_URL=url))
            for count, url in urls.items()
        }
        requests = list_requests()
        for name, server in servers.items():
            check_same_answers({name: server}, requests)
        readings = compare_servers(
            bench, f"growth on {database}", servers, in_turn(requests, list(servers))
        )
    return dict(zip(urls, readings.values(), strict=True))


def _median_time(reading: Readings) -> float:
    """Milliseconds between two answers of the one worker."""
    rates = sorted(reading.rates)
    return 1000 / rates[len(rates) // 2]


def _comparison(database: str, readings: dict[int, Readings], sizes: list[int]) -> Comparison:
    few, many = readings[sizes[0]], readings[sizes[-1]]
    ratios = sorted(a / b for a, b in zip(few.rates, many.rates, strict=True))
    return Comparison(
        case=f"a user's list, {sizes[-1]:,} events, {database}",
        against=f"{sizes[0]:,} events",
        ours=_median_time(many),
        theirs=_median_time(few),
        unit="ms/request",
        ratio=ratios[len(ratios) // 2],
        goal=1.2,
        at_least=False,
    )


GROWTH = Case("growth", "a user's list while history grows", run)
