"""What the worker processes run: ``python -m calevents dispatch chaos.worker:dispatcher``.

The sink tells each worker on its first connection how it is to behave and where it is to die. A
worker dies by SIGKILL, from its own hand, so that the point is hit exactly.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from calevents.adapters.sqlalchemy import Database
from calevents.dispatcher import DispatchDetails, Dispatcher
from calevents.event import Event
from calevents.notification import Delivery, Outcome, Recipient, Result

OPERATIONS = ("begin", "record", "resolved", "claim", "settle", "sweep", "release", "suspend")
AFTER = ("opened", "recorded", "resolved", "claimed", "sending", "answered", "settled", "closed")
POINTS = (
    *(f"before {operation} commits" for operation in OPERATIONS[:6]),
    *(f"after {kind}" for kind in AFTER),
    "before a send",
    "after a send",
)
"""Where a worker may be told to die. What follows a commit is told by the dispatcher's hook."""

_operation: ContextVar[str] = ContextVar("operation", default="")
_asked: ContextVar[float] = ContextVar("asked", default=0.0)


class Orders:
    """How this worker is to behave."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self.url: str = orders["url"]
        self.claim_size: int = orders["claim_size"]
        self.lease: float = orders["lease"]
        self.policy: Any = orders["policy"]
        self.clock: float = orders["clock"]
        self.full: bool = orders["full"]
        self._point: str | None = orders["point"]
        self._passes: int = orders["passes"]

    def passed(self, point: str) -> None:
        """Die here, if it is the point and it was passed often enough."""
        if point == self._point:
            self._passes -= 1
            if self._passes <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Sink:
    """The worker's side of the sink: one line for a call, one for the answer."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def connect(self) -> Orders:
        """Ask for orders."""
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        return Orders(await self.ask({"pid": os.getpid()}))

    async def ask(self, question: dict[str, Any]) -> Any:
        self._writer.write(json.dumps(question).encode() + b"\n")
        await self._writer.drain()
        return json.loads(await self._reader.readline())

    async def recipients(self, company_id: int, **options: Any) -> Sequence[Recipient]:
        """The directory: the controller knows who there is."""
        reader, writer = await asyncio.open_unix_connection(self._path)
        try:
            question = {"directory": company_id, **options, "countries": [*options["countries"]]}
            writer.write(json.dumps(question).encode() + b"\n")
            return [
                Recipient(id=number, country=country, addresses={"push": f"to-{number}"})
                for number, country in json.loads(await reader.readline())
            ]
        finally:
            writer.close()


class Notifier:
    """One call for each delivery, one after the other."""

    def __init__(self, sink: Sink, orders: Orders) -> None:
        self._sink = sink
        self._orders = orders
        self.claim_size = orders.claim_size

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        results = []
        for delivery in deliveries:
            self._orders.passed("before a send")
            answer = await self._sink.ask(
                {
                    "key": delivery.idempotency_key,
                    "company": event.company_id,
                    "event": event.id,
                    "start": event.start.isoformat(),
                    "recipient": delivery.recipient_id,
                    "asked": _asked.get(),
                }
            )
            self._orders.passed("after a send")
            outcome = Outcome.ACCEPTED if answer == "accepted" else Outcome.TRANSIENT
            results.append(Result(outcome))
        return results


class Ledger:
    """Says which operation commits, and when the claim was asked for."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        if name not in OPERATIONS:
            return method

        async def operation(*arguments: Any, **options: Any) -> Any:
            _operation.set(name)
            if name == "claim":
                _asked.set(time.monotonic())
            try:
                return await method(*arguments, **options)
            finally:
                _operation.set("")

        return operation


class WatchedDatabase(Database):
    """Passes a point before each commit."""

    def __init__(self, engine: AsyncEngine, orders: Orders) -> None:
        super().__init__(engine)
        self._orders = orders

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with super().transaction() as connection:
            yield connection
            self._orders.passed(f"before {_operation.get()} commits")


def _engine(orders: Orders) -> AsyncEngine:
    options: dict[str, Any] = {}
    if orders.url.startswith("sqlite"):
        options["connect_args"] = {"timeout": 0.5}
    engine = create_async_engine(orders.url, **options)
    if orders.full:

        def connected(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA page_count")
            pages = cursor.fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            cursor.close()

        sqlalchemy_event.listen(engine.sync_engine, "connect", connected)
    return engine


def _shift_the_clock(by: float) -> None:
    """Let this process's own idea of the time be wrong; the ledger's is the database's."""
    now, now_ns = time.time, time.time_ns
    time.time = lambda: now() + by
    time.time_ns = lambda: now_ns() + int(by * 1e9)


@asynccontextmanager
async def dispatcher() -> AsyncIterator[Dispatcher]:
    """What the command line is given. The sink listens in the working directory."""
    sink = Sink(str(Path.cwd() / "sink"))
    orders = await sink.connect()
    _shift_the_clock(orders.clock)

    def hook(details: DispatchDetails) -> None:
        orders.passed(f"after {details.kind}")

    engine = _engine(orders)
    try:
        async with WatchedDatabase(engine, orders) as database:
            yield Dispatcher(
                Ledger(database.ledger),
                sink,
                Notifier(sink, orders),
                on_uncertain=orders.policy,
                max_attempts=100,
                lease=orders.lease,
                page_size=17,
                poll_interval=0.1,
                backoff=0.2,
                longest_backoff=0.5,
                hook=hook,
            )
    finally:
        await engine.dispose()
