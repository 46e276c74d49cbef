"""Create and patch over HTTP, beside hand-written SQL that writes the same rows."""

import asyncio
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from benchmarks import data
from benchmarks.bench import CALEVENTS, Bench, Case, Comparison, Measured, Outcome, rates
from benchmarks.cases.http import CONNECTIONS, compare_servers
from benchmarks.load import LoadError, exchange
from benchmarks.servers import Server, asgi_server
from tests.postgres import dsn

__all__ = ["WRITE"]

EVENTS = 1_000_000
BY_HAND = "Starlette + asyncpg by hand"
PATH = "/api/company/crm/v202506/events"
PATCHED = 500
"""Events that patches go to in turn: more than are under way at a time."""
COMPANIES = {CALEVENTS: data.COMPANIES + 1, BY_HAND: data.COMPANIES + 2}
"""Each server writes to a company of its own, so that neither finds what the other left."""

Document = Mapping[str, Any]


def run(bench: Bench) -> Outcome:
    """Three kinds of writes, each with the servers side by side."""
    count = bench.scaled(EVENTS)
    url = bench.postgresql_events(count)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    comparisons: list[Comparison] = []
    measured: list[Measured] = []
    with ExitStack() as stack:
        servers = {
            CALEVENTS: stack.enter_context(asgi_server("calevents_api", DATABASE_URL=url)),
            BY_HAND: stack.enter_context(asgi_server("asyncpg_by_hand", DATABASE_URL=url)),
        }
        with bench.task("creating events to patch", PATCHED * len(servers)) as advance:
            numbers: dict[str, list[int]] = {}
            for name, server in servers.items():
                numbers[name] = []
                for number in range(PATCHED):
                    numbers[name].append(_create(server, name, _draft(start, number)))
                    advance(1)
        _check(url, servers, numbers)
        kinds: Mapping[str, tuple[int, Mapping[str, Iterator[bytes]]]] = {
            "create an event": (201, {name: _creates(name, start) for name in servers}),
            "patch its text": (200, {n: _text_patches(n, numbers[n]) for n in servers}),
            "patch its start": (200, {n: _moves(n, numbers[n], start) for n in servers}),
        }
        for title, (status, requests) in kinds.items():
            readings = compare_servers(bench, title, servers, requests, status=status)
            comparisons.append(
                rates(
                    f"{title}, PostgreSQL",
                    readings[CALEVENTS].rates,
                    readings[BY_HAND].rates,
                    against=BY_HAND,
                    unit="requests/s",
                    goal=0.7,
                )
            )
            for name, reading in readings.items():
                measured += reading.measured(f"{title}, {name}")
    settings = {"events": count, "connections": CONNECTIONS}
    return Outcome(comparisons=comparisons, measured=measured, settings=settings)


def _draft(start: datetime, number: int) -> Document:
    image = f"https://example.com/images/{number}.jpg"
    return {
        "title": f"Summer Product Launch {number}",
        "description": "Join us for the unveiling of our new summer collection!",
        "url": "https://example.com/events/summer-launch",
        "venue": "Virtual Event - Zoom",
        "color": "#FF5733",
        "start": _text(start),
        "end": _text(start + timedelta(hours=2)),
        "time_zone": "America/New_York",
        "images": [{"full": image, "mini": image, "detail": image}],
        "countries": ["US", "CA", "MX"],
    }


def _text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _request(method: str, path: str, name: str, document: Document) -> bytes:
    body = json.dumps(document).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {COMPANIES[name]} 0 -\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _create(server: Server, name: str, draft: Document) -> int:
    status, head, body = exchange(server.port, _request("POST", PATH, name, draft))
    found = re.search(rb"\r\nlocation: [^\r]*/(\d+)", head, re.IGNORECASE)
    if status != 201 or found is None:
        raise LoadError(f"{name}: {head.decode('latin-1')} {body[:500].decode(errors='replace')}")
    return int(found[1])


def _creates(name: str, start: datetime) -> Iterator[bytes]:
    for number in itertools.count():
        yield _request("POST", PATH, name, _draft(start, number))


def _text_patches(name: str, numbers: list[int]) -> Iterator[bytes]:
    for count, number in enumerate(itertools.cycle(numbers)):
        patch = {"title": f"Summer Product Launch, take {count}", "venue": f"Hall {count % 9}"}
        yield _request("PATCH", f"{PATH}/{number}", name, patch)


def _moves(name: str, numbers: list[int], start: datetime) -> Iterator[bytes]:
    for count, number in enumerate(itertools.cycle(numbers)):
        moved = start + timedelta(seconds=count + 1)
        patch = {"start": _text(moved), "end": _text(moved + timedelta(hours=2))}
        yield _request("PATCH", f"{PATH}/{number}", name, patch)


def _check(url: str, servers: Mapping[str, Server], numbers: Mapping[str, list[int]]) -> None:
    """See that both servers answer the same, and leave the same rows, after each kind of write.

    Raises:
        LoadError: they don't.
    """
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=5)
    patches: list[Document] = [
        {"title": "Checked", "description": None},
        {"start": _text(start), "end": _text(start + timedelta(hours=1))},
        {"countries": []},
    ]
    for patch in ({}, *patches):
        answers, stored = {}, {}
        for name, server in servers.items():
            path = f"{PATH}/{numbers[name][0]}"
            if patch:
                status, head, body = exchange(server.port, _request("PATCH", path, name, patch))
                if status != 200:
                    raise LoadError(f"{name}: {head.decode('latin-1')} {body[:500]!r}")
                answers[name] = _comparable(json.loads(body))
            stored[name] = asyncio.run(_rows(url, COMPANIES[name], numbers[name][0]))
        for found in (answers, stored):
            if found and found[CALEVENTS] != found[BY_HAND]:
                raise LoadError(f"after {patch} they differ: {found}")


def _comparable(event: dict[str, Any]) -> dict[str, Any]:
    images = [{**image, "id": 0} for image in event["images"]]
    return {**event, "id": 0, "company_id": 0, "images": images}


_MADE_BY_THE_SERVER = {"company_id", "id", "event_id", "created_at", "updated_at"}


async def _rows(url: str, company_id: int, number: int) -> list[list[dict[str, Any]]]:
    """What is stored of an event, without what the servers number and date themselves."""
    connection = await asyncpg.connect(dsn(url))
    try:
        found = []
        for table, key in (
            ("events", "id"),
            ("audiences", "event_id"),
            ("notifications", "event_id"),
        ):
            query = f"SELECT * FROM calevents_{table} WHERE company_id = $1 AND {key} = $2"
            records = await connection.fetch(query, company_id, number)
            rows = [
                {name: value for name, value in record.items() if name not in _MADE_BY_THE_SERVER}
                for record in records
            ]
            for row in rows:
                if row.get("images"):
                    row["images"] = [image[1:] for image in json.loads(row["images"])]
            found.append(sorted(rows, key=repr))
    finally:
        await connection.close()
    return found


WRITE = Case("write", "create and patch over HTTP", run)
