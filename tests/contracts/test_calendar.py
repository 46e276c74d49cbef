"""What the calendar adds to its storage: retries, preconditions, idempotency, paging."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from calevents import (
    Calendar,
    ConcurrentWrite,
    Event,
    EventDraft,
    EventNotFound,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    InvalidEvent,
    InvalidQuery,
    Member,
    PreconditionFailed,
    Scope,
)
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.sqlalchemy import Database
from calevents.audience import Viewer
from calevents.ports import EventRepository, IdempotencyKey
from calevents.testing import FixedClock
from calevents.testing.events import NOON

DRAFT = EventDraft(title="Launch", start=NOON, end=NOON + timedelta(hours=1))


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def repository(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[EventRepository]:
    if request.param == "memory":
        yield MemoryRepository()
        return
    url = f"sqlite+aiosqlite:///{tmp_path / 'calendar.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    async with Database(url) as database:
        await database.create_tables()
        yield database.repository


@pytest.fixture
def calendar(repository: EventRepository) -> Calendar:
    return Calendar(repository, clock=FixedClock(NOON))


@pytest.fixture
def company(calendar: Calendar) -> Scope:
    return calendar.company(1)


async def test_concurrent_patches_are_all_merged(company: Scope) -> None:
    event = await company.create(DRAFT)
    patches: list[dict[str, Any]] = [
        {"title": "T"},
        {"venue": "V"},
        {"description": "D"},
        {"color": "#ABCDEF"},
        {"url": "https://example.com/"},
        {"countries": ["US"]},
    ]
    await asyncio.gather(*(company.update(event.id, patch) for patch in patches))
    merged = await company.get(event.id)
    assert (merged.title, merged.venue, merged.description) == ("T", "V", "D")
    assert (merged.color, merged.url) == ("#ABCDEF", "https://example.com/")
    assert merged.countries == ("US",)
    assert merged.version == 1 + len(patches)


async def test_a_precondition_lets_one_of_many_writers_through(company: Scope) -> None:
    event = await company.create(DRAFT)
    answers = await asyncio.gather(
        *(company.update(event.id, {"title": str(i)}, if_match={1}) for i in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(answer, Event) for answer in answers) == 1
    assert sum(isinstance(answer, PreconditionFailed) for answer in answers) == 5


async def test_a_precondition_guards_deletion(company: Scope) -> None:
    event = await company.create(DRAFT)
    await company.update(event.id, {"title": "New"})
    with pytest.raises(PreconditionFailed):
        await company.delete(event.id, if_match={1})
    await company.delete(event.id, if_match={1, 2})
    with pytest.raises(EventNotFound):
        await company.get(event.id)


async def test_a_patch_that_changes_nothing_is_no_write(company: Scope) -> None:
    event = await company.create(DRAFT)
    assert await company.update(event.id, {"title": " Launch "}) == event
    assert (await company.get(event.id)).version == 1


async def test_nothing_is_stored_of_a_bad_draft_or_patch(company: Scope) -> None:
    with pytest.raises(InvalidEvent):
        await company.create({**DRAFT, "title": ""})
    with pytest.raises(InvalidEvent):
        await company.create_once({**DRAFT, "title": ""}, idempotency_key="k")
    event = (await company.create_once(DRAFT, idempotency_key="k")).event
    with pytest.raises(InvalidEvent):
        await company.update(event.id, {"title": "New", "end": NOON})
    assert (await company.list()).events == (event,)


@pytest.mark.parametrize("event_id", [0, -1, 2**63, 2**200])
async def test_an_id_that_can_t_be_is_not_found(company: Scope, event_id: int) -> None:
    for call in (
        company.get(event_id),
        company.update(event_id, {}),
        company.delete(event_id),
    ):
        with pytest.raises(EventNotFound):
            await call


async def test_a_key_creates_once_for_each_principal(calendar: Calendar) -> None:
    scopes = [
        calendar.company(1),
        calendar.company(2),
        calendar.user(Member(company_id=1, id=1, country="US")),
        calendar.user(Member(company_id=1, id=2, country="US")),
        calendar.user(Member(company_id=2, id=1, country="US")),
    ]
    ids = set()
    for scope in scopes:
        first = await scope.create_once(DRAFT, idempotency_key="k")
        again = await scope.create_once(dict(reversed(DRAFT.items())), idempotency_key="k")
        assert not first.replayed
        assert again.replayed
        assert again.event == first.event
        ids.add(first.event.id)
        with pytest.raises(IdempotencyKeyReused):
            await scope.create_once({**DRAFT, "title": "Other"}, idempotency_key="k")
    assert len(ids) == len(scopes)


@pytest.mark.parametrize("key", ["", "x" * 256, "a\nb", "é"])
async def test_a_bad_key_is_named(company: Scope, key: str) -> None:
    with pytest.raises(InvalidQuery, match="Idempotency-Key"):
        await company.create_once(DRAFT, idempotency_key=key)


async def test_filters_are_checked_in_python_too(calendar: Calendar, company: Scope) -> None:
    user = calendar.user(Member(company_id=1, id=1))
    for parameters in ({"limit": 0}, {"view": "soon"}, {"from_": "noon"}, {"colour": "red"}):
        with pytest.raises(InvalidQuery, match=next(iter(parameters)).rstrip("_")):
            await company.list(**parameters)
    with pytest.raises(InvalidQuery, match="country"):
        await user.list(country="US")


async def test_a_cursor_is_good_in_its_own_list_alone(calendar: Calendar) -> None:
    company = calendar.company(1)
    for _ in range(3):
        await company.create(DRAFT)
    cursor = (await company.list(limit=1)).next_cursor
    assert cursor is not None
    assert len((await company.list(limit=5, cursor=cursor)).events) == 2
    member = Member(company_id=1, id=1)
    for scope, parameters in [
        (calendar.company(2), {}),
        (calendar.user(member), {}),
        (company, {"sort": "-start"}),
    ]:
        with pytest.raises(InvalidQuery, match="cursor"):
            await scope.list(cursor=cursor, **parameters)
    for broken in (cursor[:-1], cursor + "A", "B" + cursor[1:], "", "é", "=" * 40, "A" * 31):
        with pytest.raises(InvalidQuery, match="cursor"):
            await company.list(cursor=broken)


class Faulty(MemoryRepository):
    """Its writes lose against others, or wait, as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.losses = 0
        self.entered = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    def loses(self) -> bool:
        self.losses -= 1
        return self.losses >= 0

    async def create(
        self, viewer: Viewer, event: Event, idempotency_key: IdempotencyKey | None = None
    ) -> Event:
        self.entered.set()
        await self.gate.wait()
        if self.loses():
            raise ConcurrentWrite("the id is taken")
        return await super().create(viewer, event, idempotency_key)

    async def replace(self, before: Event, after: Event) -> Event | None:
        return None if self.loses() else await super().replace(before, after)

    async def delete(self, event: Event) -> bool:
        return False if self.loses() else await super().delete(event)


async def test_lost_races_are_run_again_and_end() -> None:
    repository = Faulty()
    company = Calendar(repository).company(1)
    titles = itertools.count()
    for losses, ends in [(3, True), (10_000, False)]:
        repository.losses = 0
        event = await company.create(DRAFT)
        for call in (
            lambda: company.create(DRAFT),
            lambda event=event: company.update(event.id, {"title": str(next(titles))}),
            lambda event=event: company.delete(event.id),
        ):
            repository.losses = losses
            if ends:
                await call()
            else:
                with pytest.raises(ConcurrentWrite):
                    await call()


async def test_a_key_in_flight_is_refused() -> None:
    repository = Faulty()
    repository.gate.clear()
    calendar = Calendar(repository)
    moving = (Member(company_id=1, id=1, country="US"), Member(company_id=1, id=1, country="DE"))
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(calendar.user(moving[0]).create_once(DRAFT, idempotency_key="k"))
        await repository.entered.wait()
        with pytest.raises(IdempotencyKeyInFlight):
            await calendar.user(moving[1]).create_once(DRAFT, idempotency_key="k")
        repository.gate.set()
        await calendar.company(1).create_once(DRAFT, idempotency_key="k")
    assert not first.result().replayed
    again = await calendar.user(moving[1]).create_once(DRAFT, idempotency_key="k")
    assert again.replayed
