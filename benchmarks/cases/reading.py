"""A user's list over HTTP, beside hand-written endpoints and other frameworks."""

from contextlib import ExitStack

from benchmarks.bench import CALEVENTS, Bench, Case, Outcome, rates
from benchmarks.cases.http import (
    CONNECTIONS,
    Readings,
    check_same_answers,
    compare_servers,
    in_turn,
    list_requests,
)
from benchmarks.servers import Server, asgi_server, wsgi_server

__all__ = ["LIST", "SQLITE"]

EVENTS = 1_000_000
BY_HAND = "Starlette + asyncpg by hand"
NO_RESET = "the same, its pool without reset"
FASTAPI = "FastAPI + SQLAlchemy ORM"
DJANGO = "Django REST framework"
SQLITE_BY_HAND = "Starlette + sqlite3 by hand"


def run_list(bench: Bench) -> Outcome:
    """On PostgreSQL."""
    count = bench.scaled(EVENTS)
    url = bench.postgresql_events(count)
    with ExitStack() as stack:
        servers: dict[str, Server] = {
            CALEVENTS: stack.enter_context(asgi_server("calevents_api", DATABASE_URL=url)),
            BY_HAND: stack.enter_context(asgi_server("asyncpg_by_hand", DATABASE_URL=url)),
            NO_RESET: stack.enter_context(
                asgi_server("asyncpg_by_hand", DATABASE_URL=url, RESET="0")
            ),
            FASTAPI: stack.enter_context(asgi_server("fastapi_orm", DATABASE_URL=url)),
            DJANGO: stack.enter_context(wsgi_server("django_rest", threads=4, DATABASE_URL=url)),
        }
        readings = _compare(bench, "list on PostgreSQL", servers)
    ours = readings[CALEVENTS].rates
    return Outcome(
        comparisons=[
            rates(
                "a user's list, PostgreSQL",
                ours,
                readings[peer].rates,
                against=peer,
                unit="requests/s",
                goal=goal,
            )
            for peer, goal in ((BY_HAND, 1.0), (NO_RESET, None), (FASTAPI, 4.0), (DJANGO, 7.0))
        ],
        measured=[line for name, found in readings.items() for line in found.measured(name)],
        settings={"events": count, "connections": CONNECTIONS},
    )


def run_sqlite(bench: Bench) -> Outcome:
    """On SQLite."""
    count = bench.scaled(EVENTS)
    url = bench.sqlite_events(count)
    with ExitStack() as stack:
        servers = {
            CALEVENTS: stack.enter_context(asgi_server("calevents_api", DATABASE_URL=url)),
            SQLITE_BY_HAND: stack.enter_context(asgi_server("sqlite_by_hand", DATABASE_URL=url)),
        }
        readings = _compare(bench, "list on SQLite", servers)
    return Outcome(
        comparisons=[
            rates(
                "a user's list, SQLite",
                readings[CALEVENTS].rates,
                readings[SQLITE_BY_HAND].rates,
                against=SQLITE_BY_HAND,
                unit="requests/s",
                goal=0.8,
            )
        ],
        measured=[line for name, found in readings.items() for line in found.measured(name)],
        settings={"events": count, "connections": CONNECTIONS},
    )


def _compare(bench: Bench, title: str, servers: dict[str, Server]) -> dict[str, Readings]:
    requests = list_requests()
    check_same_answers(servers, requests)
    return compare_servers(bench, title, servers, in_turn(requests, list(servers)))


LIST = Case("list", "a user's list over HTTP, PostgreSQL", run_list)
SQLITE = Case("sqlite", "a user's list over HTTP, SQLite", run_sqlite)
