"""The calendar from threads: one loop behind it, opened once, closed by who opened it."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from inspect import iscoroutinefunction, signature
from pathlib import Path
from types import FrameType
from typing import Never

import pytest

from calevents import (
    Calendar,
    EventDraft,
    EventNotFound,
    Forbidden,
    InvalidEvent,
    InvalidQuery,
    Member,
    PreconditionFailed,
    Scope,
    StorageUnavailable,
)
from calevents.adapters.anyio import BlockingCalendar, BlockingScope, _Call
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.sqlalchemy import Database
from calevents.audience import Viewer
from calevents.event import Event
from calevents.testing import FixedClock
from calevents.testing.events import NOON

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON + timedelta(hours=1))
MEMBER = Member(company_id=1, id=7, country="US")


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def calendar(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockingCalendar]:
    url = f"sqlite+aiosqlite:///{tmp_path / 'calendar.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")

    @asynccontextmanager
    async def open_calendar() -> AsyncIterator[Calendar]:
        if request.param == "memory":
            yield Calendar(MemoryRepository(), clock=FixedClock(NOON))
            return
        async with Database(url) as database:
            await database.create_tables()
            yield Calendar(database.repository, clock=FixedClock(NOON))

    with BlockingCalendar(open_calendar) as calendar:
        yield calendar


class Opened:
    """Opens a calendar in memory, and keeps an account of it."""

    def __init__(self, repository: MemoryRepository | None = None) -> None:
        self.repository = repository or MemoryRepository()
        self.log: list[tuple[str, str, asyncio.Task[object] | None]] = []

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[Calendar]:
        self.log.append(("open", threading.current_thread().name, asyncio.current_task()))
        try:
            yield Calendar(self.repository)
        finally:
            self.log.append(("close", threading.current_thread().name, asyncio.current_task()))


# What it does


def test_an_event_from_its_creation_to_its_end(calendar: BlockingCalendar) -> None:
    company, user = calendar.company(1), calendar.user(MEMBER)
    event = company.create({**DRAFT, "countries": ["US"]})
    assert user.get(event.id) == event
    assert user.list().events == (event,)
    assert [shown["id"] for shown in user.list_represented().events] == [event.id]
    changed = company.update(event.id, {"venue": "Cologne"}, if_match=[event.version])
    assert user.get(event.id) == changed
    assert changed.venue == "Cologne"
    company.delete(event.id)
    with pytest.raises(EventNotFound):
        user.get(event.id)


def test_an_idempotency_key_is_kept(calendar: BlockingCalendar) -> None:
    company = calendar.company(1)
    first = company.create_once(DRAFT, idempotency_key="a")
    again = company.create_once(DRAFT, idempotency_key="a")
    assert (first.replayed, again.replayed) == (False, True)
    assert again.event == first.event


def test_iterate_goes_through_every_page(calendar: BlockingCalendar) -> None:
    company = calendar.company(1)
    events = [
        company.create({**DRAFT, "start": NOON - timedelta(minutes=minutes)})
        for minutes in range(7)
    ]
    assert list(company.iterate(limit=3)) == events[::-1]
    assert list(company.iterate(limit=3, sort="-start")) == events
    first = company.list(limit=3)
    assert list(company.iterate(limit=2, cursor=first.next_cursor)) == events[3::-1]
    assert next(company.iterate(limit=2)) == events[-1]  # and the rest is never asked for


def test_companies_and_users_stay_apart(calendar: BlockingCalendar) -> None:
    ours = calendar.company(1).create(DRAFT)
    theirs = calendar.company(2).create(DRAFT)
    own = calendar.user(MEMBER).create(DRAFT)
    stranger = Member(company_id=2, id=MEMBER.id, country="US")
    assert calendar.company(1).list().events == (ours,)
    assert calendar.company(2).list().events == (theirs,)
    assert set(calendar.user(MEMBER).list().events) == {ours, own}
    assert calendar.user(stranger).list().events == (theirs,)
    for scope, event in [
        (calendar.company(2), ours),
        (calendar.company(1), own),
        (calendar.user(stranger), ours),
        (calendar.user(stranger), own),
    ]:
        with pytest.raises(EventNotFound):
            scope.get(event.id)
        with pytest.raises(EventNotFound):
            scope.update(event.id, {"title": "Mine now"})
        with pytest.raises(EventNotFound):
            scope.delete(event.id)


def test_errors_are_those_of_the_calendar(calendar: BlockingCalendar) -> None:
    company = calendar.company(1)
    event = company.create(DRAFT)
    with pytest.raises(InvalidEvent) as invalid:
        company.create({"title": "", "start": "soon"})
    assert [fault.pointer for fault in invalid.value.faults] == ["/start", "/end", "/title"]
    with pytest.raises(InvalidQuery, match="limit"):
        company.list(limit=101)
    with pytest.raises(InvalidQuery, match="colour"):
        next(company.iterate(colour="red"))
    with pytest.raises(PreconditionFailed):
        company.update(event.id, {"title": "Later"}, if_match=[event.version + 1])
    with pytest.raises(Forbidden):
        calendar.user(MEMBER).delete(event.id)
    with pytest.raises(ValueError, match="id must be from 1"):
        calendar.company(0)
    assert company.list().events == (event,)


def test_threads_share_it(calendar: BlockingCalendar) -> None:
    def work(company_id: int) -> set[Event]:
        company = calendar.company(company_id)
        return {company.create(DRAFT) for _ in range(5)}

    with ThreadPoolExecutor(8) as pool:
        created = list(pool.map(work, [1, 2, 1, 2, 1, 2, 1, 2]))
    for company_id in (1, 2):
        expected = set().union(*created[company_id - 1 :: 2])
        assert len(expected) == 20
        assert set(calendar.company(company_id).iterate(limit=3)) == expected


# How it is opened and closed


def test_the_first_calls_open_it_once_in_a_loop_of_its_own() -> None:
    opened = Opened()
    calendar = BlockingCalendar(opened)
    assert opened.log == []
    together = threading.Barrier(4)

    def work() -> None:
        together.wait()
        calendar.company(1).create(DRAFT)

    threads = [threading.Thread(target=work) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calendar.company(1).list().events) == together.parties
    calendar.close()
    calendar.close()
    (_, thread_name, task), closed = opened.log
    assert thread_name == "calevents"
    assert closed == ("close", thread_name, task)
    assert "calevents" not in {thread.name for thread in threading.enumerate()}


def test_it_is_closed_for_good() -> None:
    opened = Opened()
    with BlockingCalendar(opened) as calendar:
        company = calendar.company(1)
    assert [what for what, *_ in opened.log] == ["open", "close"]
    for use in (company.list, lambda: calendar.call(asyncio.sleep, 0), calendar.__enter__):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    assert [what for what, *_ in opened.log] == ["open", "close"]


def test_closing_waits_for_the_calls_under_way() -> None:
    opened = Opened()
    calendar = BlockingCalendar(opened)
    begun = threading.Event()

    async def work() -> list[str]:
        begun.set()
        for _ in range(100):  # closing, if it didn't wait, would be done by then
            await asyncio.sleep(0)
        return [what for what, *_ in opened.log]

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(calendar.call, work)
        begun.wait()
        calendar.close()
    assert answer.result() == ["open"]
    assert [what for what, *_ in opened.log] == ["open", "close"]


def test_a_failure_to_open_is_told_and_may_be_tried_again() -> None:
    opened = Opened()
    failures = [StorageUnavailable("no route"), StorageUnavailable("not yet")]

    @asynccontextmanager
    async def open_calendar() -> AsyncIterator[Calendar]:
        if failures:
            raise failures.pop(0)
        async with opened() as calendar:
            yield calendar

    calendar = BlockingCalendar(open_calendar)
    with pytest.raises(StorageUnavailable, match="no route"):
        calendar.company(1).list()
    with pytest.raises(StorageUnavailable, match="not yet"), calendar:
        pass
    assert "calevents" not in {thread.name for thread in threading.enumerate()}
    with calendar:
        assert calendar.company(1).list().events == ()


def test_an_error_in_the_block_closes_it_and_passes() -> None:
    opened = Opened()
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, BlockingCalendar(opened):
        raise error
    assert raised.value is error
    assert [what for what, *_ in opened.log] == ["open", "close"]


# What may go wrong


class Failing(MemoryRepository):
    """Fails with the very same error each time."""

    error = StorageUnavailable("the disk is gone", retry_after=30)

    async def get(self, viewer: Viewer, event_id: int) -> Never:
        raise self.error


def test_an_error_is_the_same_object() -> None:
    with BlockingCalendar(Opened(Failing())) as calendar:
        with pytest.raises(StorageUnavailable) as raised:
            calendar.company(1).get(1)
        assert raised.value is Failing.error
        assert calendar.company(1).list().events == ()


async def test_it_refuses_to_block_a_running_loop() -> None:
    opened = Opened()
    calendar = BlockingCalendar(opened)
    for use in (calendar.company(1).list, calendar.__enter__):
        with pytest.raises(RuntimeError, match="await the methods of Calendar"):
            use()
    assert opened.log == []
    # A thread of that loop is another matter.
    assert (await asyncio.to_thread(calendar.company(1).list)).events == ()
    await asyncio.to_thread(calendar.close)


def test_it_refuses_to_be_called_from_its_own_loop() -> None:
    with BlockingCalendar(Opened()) as calendar:

        async def nested() -> None:
            calendar.company(1).list()

        with pytest.raises(RuntimeError, match="await the methods of Calendar"):
            calendar.call(nested)


class Interrupted(Exception):
    """What a task engine raises in a thread that took too long."""


@pytest.fixture
def interrupting() -> Iterator[Callable[[], None]]:
    """Interrupts the main thread with an exception, at once and wherever it is."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield lambda: os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


# Interrupted as it starts, which its thread may not know yet, or while it is waited for.
@pytest.mark.parametrize("rounds", [0, 1, 5, 1_000])
def test_an_interrupted_call_is_cancelled(interrupting: Callable[[], None], rounds: int) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        for _ in range(rounds):
            await asyncio.sleep(0)
        interrupting()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with BlockingCalendar(Opened()) as calendar:
        with pytest.raises(Interrupted):
            calendar.call(work)
        assert cancelled.wait(timeout=30)
        assert calendar.company(1).list().events == ()


async def test_a_call_that_is_abandoned_before_it_starts_never_does() -> None:
    begun: list[str] = []

    async def work() -> None:
        begun.append("work")

    call = _Call(work)
    call.abandon()
    with pytest.raises(asyncio.CancelledError):
        await call.run()
    assert begun == []


def run(script: str, *arguments: str) -> str:
    """What ``script`` prints in a process of its own, which has to end."""
    ran = subprocess.run(
        # Forking beside a thread is deprecated, and what servers do.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


OPEN = textwrap.dedent("""
    import os, sys
    from contextlib import asynccontextmanager
    from calevents import Calendar
    from calevents.adapters.anyio import BlockingCalendar
    from calevents.adapters.sqlalchemy import Database

    @asynccontextmanager
    async def open_calendar():
        async with Database("sqlite+aiosqlite:///" + sys.argv[1]) as database:
            await database.create_tables()
            yield Calendar(database.repository)

    def create(title):
        calendar.company(1).create(
            {"title": title, "start": "2025-06-15T14:00Z", "end": "2025-06-15T16:00Z"}
        )

    calendar = BlockingCalendar(open_calendar)
    create("parent")
""")
FORK = """
if os.fork() == 0:
    create("child")
    calendar.close()
    os._exit(0)
_, status = os.wait()
assert status == 0, status
create("parent again")
calendar.close()
print(*[event.title for event in BlockingCalendar(open_calendar).company(1).iterate()], sep=", ")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_process_opens_its_own(tmp_path: Path) -> None:
    assert run(OPEN + FORK, str(tmp_path / "calendar.db")) == "parent, child, parent again\n"


def test_a_process_ends_though_nobody_closed_it(tmp_path: Path) -> None:
    assert run(OPEN + "print('end')", str(tmp_path / "calendar.db")) == "end\n"


# What it is made of


@pytest.mark.parametrize(
    "name",
    ["get", "list", "list_represented", "create", "create_once", "update", "delete"],
)
def test_methods_are_those_of_the_scope(name: str) -> None:
    blocking, awaited = getattr(BlockingScope, name), getattr(Scope, name)
    assert signature(blocking) == signature(awaited)
    assert blocking.__doc__ == awaited.__doc__
    assert not iscoroutinefunction(blocking)
    assert blocking.__qualname__ == f"BlockingScope.{name}"


def test_no_method_of_the_scope_is_missing() -> None:
    public = {name for name in vars(Scope) if not name.startswith("_")}
    assert public - set(vars(BlockingScope)) == set()
