"""How servers are compared over HTTP."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from benchmarks import data
from benchmarks.bench import Bench, Measured
from benchmarks.load import LoadError, exchange, put_load
from benchmarks.servers import Server

__all__ = ["CONNECTIONS", "Readings", "check_same_answers", "compare_servers", "list_requests"]

CONNECTIONS = 8
"""Users at a time."""
PATH = "/api/user/crm/v202506/events"


@attrs.define
class Readings:
    """What a server did in each round."""

    rates: list[float] = attrs.field(factory=list)
    """Requests per second."""
    cpu: list[float] = attrs.field(factory=list)
    """Processor time of the server, in milliseconds for one request."""
    p50: list[float] = attrs.field(factory=list)
    p99: list[float] = attrs.field(factory=list)
    """Milliseconds that a user waited."""

    def measured(self, subject: str) -> Sequence[Measured]:
        """The same as lines of the result."""
        return [
            Measured(subject=subject, values=self.rates, unit="requests/s"),
            Measured(subject=subject, values=self.cpu, unit="ms of server CPU/request"),
            Measured(subject=subject, values=self.p50, unit="ms, median wait"),
            Measured(subject=subject, values=self.p99, unit="ms, 99th percentile"),
        ]


def list_requests() -> list[bytes]:
    """A request for the active view of one user of each company."""
    found = []
    for company_id in range(1, data.COMPANIES + 1):
        user = data.member(company_id)
        head = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n"
        head += f"Authorization: Bearer {company_id} {user.id} {user.country}\r\n\r\n"
        found.append(head.encode())
    return found


def check_same_answers(servers: Mapping[str, Server], requests: Sequence[bytes]) -> None:
    """See that every server answers a sample of the requests with the same events.

    Raises:
        LoadError: one doesn't.
    """
    for request in (requests[0], requests[len(requests) // 2], requests[-1]):
        answers = {name: _events(name, server, request) for name, server in servers.items()}
        expected = next(iter(answers.values()))
        if len(expected) != data.VISIBLE:
            raise LoadError(f"{len(expected)} events are shown, not {data.VISIBLE}")
        for name, events in answers.items():
            if events != expected:
                differing = next(
                    (pair for pair in zip(events, expected, strict=False) if pair[0] != pair[1]),
                    (len(events), len(expected)),
                )
                raise LoadError(f"{name} answers otherwise: {differing}")


def _events(name: str, server: Server, request: bytes) -> list[dict[str, Any]]:
    try:
        status, head, body = exchange(server.port, request)
    except OSError as error:
        raise LoadError(f"{name} doesn't answer: {error}\n{server.log[-4000:]}") from error
    if status != 200 or b"\r\nx-request-id:" not in head.lower():
        raise LoadError(f"{head.decode('latin-1')} {body[:500].decode(errors='replace')}")
    document = json.loads(body)
    if list(document) != ["events", "meta"] or len(document["meta"]) != 3:
        raise LoadError(f"not a page: {list(document)}")
    events: list[dict[str, Any]] = document["events"]
    return events


def compare_servers(
    bench: Bench,
    title: str,
    servers: Mapping[str, Server],
    requests: Mapping[str, Iterator[bytes]],
    *,
    connections: int = CONNECTIONS,
    status: int = 200,
) -> dict[str, Readings]:
    """Put the same load on each server in turn."""
    readings = {name: Readings() for name in servers}
    with bench.task(f"{title}: warming up", len(servers)) as advance:
        for name, server in servers.items():
            put_load(server.port, requests[name], connections=connections, seconds=2, status=status)
            advance(1)
    for name in bench.turns(title, list(servers)):
        server, reading = servers[name], readings[name]
        before = server.cpu_seconds()
        sample = put_load(
            server.port,
            requests[name],
            connections=connections,
            seconds=bench.seconds,
            status=status,
        )
        cpu = server.cpu_seconds() - before
        waits = sorted(sample.latencies)
        reading.rates.append(sample.rate)
        reading.cpu.append(cpu / sample.requests * 1000)
        reading.p50.append(waits[len(waits) // 2] * 1000)
        reading.p99.append(waits[int(len(waits) * 0.99)] * 1000)
    return readings


def in_turn(requests: Sequence[bytes], names: Sequence[str]) -> dict[str, Iterator[bytes]]:
    """The requests over and over, for each server."""
    return {name: itertools.cycle(requests) for name in names}
