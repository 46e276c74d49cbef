"""A calendar in use, against a model that knows only the pure rules.

Two companies and their members create, patch, delete and page through events while the clock
moves; whatever the storage, every answer is the model's.
"""

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from calevents import (
    Calendar,
    Company,
    Event,
    EventNotFound,
    Forbidden,
    Member,
    PreconditionFailed,
    Status,
    View,
)
from calevents.adapters.memory import MemoryRepository
from calevents.adapters.sqlalchemy import Database
from calevents.audience import Viewer, may_change, sees
from calevents.listing import Sort, matches, position_of, query_for
from calevents.testing import FixedClock
from calevents.testing.events import NOON

VIEWERS: list[Viewer] = [
    Company(1),
    Company(2),
    Member(company_id=1, id=1, country="US"),
    Member(company_id=1, id=2, country="DE"),
    Member(company_id=2, id=1, country="US"),
    Member(company_id=2, id=3),
]
HALF_HOURS = st.integers(-6, 6).map(lambda count: NOON + count * timedelta(minutes=30))
TARGETS = st.sampled_from(
    [
        {},
        {"countries": ["US"]},
        {"countries": ["DE", "US"]},
        {"user_id": 1},
        {"countries": [], "user_id": None},
    ]
)


class CalendarMachine(RuleBasedStateMachine):
    """Rules that every storage must follow; a subclass opens one."""

    events = Bundle("events")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FixedClock(NOON)
        self.model: dict[int, Event] = {}
        self.gone: set[int] = set()

    def open(self) -> Calendar:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.calendar = self.open()

    def scope(self, viewer: Viewer) -> Any:
        if isinstance(viewer, Member):
            return self.calendar.user(viewer)
        return self.calendar.company(viewer.id)

    def seen(self, viewer: Viewer, event_id: int) -> Event | None:
        event = self.model.get(event_id)
        return event if event is not None and sees(viewer, event) else None

    @rule(
        target=events,
        viewer=st.sampled_from(VIEWERS),
        start=HALF_HOURS,
        length=st.sampled_from([1, 30, 60, 240]),
        target_=TARGETS,
        active=st.booleans(),
    )
    def create(
        self, viewer: Viewer, start: Any, length: int, target_: dict[str, Any], active: bool
    ) -> int:
        draft = {"title": "x", "start": start, "end": start + timedelta(minutes=length)}
        draft["active"] = active
        if isinstance(viewer, Company):
            draft |= target_
        event: Event = self.runner.run(self.scope(viewer).create(draft))
        assert event.id not in self.model
        assert event.id not in self.gone
        self.model[event.id] = event
        return event.id

    @rule(
        event_id=events,
        viewer=st.sampled_from(VIEWERS),
        patch=st.sampled_from(
            [{}, {"title": "y"}, {"active": False}, {"active": True}, {"countries": ["FR"]}]
        ),
        stale=st.booleans(),
    )
    def update(self, event_id: int, viewer: Viewer, patch: dict[str, Any], stale: bool) -> None:
        event = self.seen(viewer, event_id)
        if event is not None and "countries" in patch:
            patch = {"title": "z"} if isinstance(viewer, Member) else {**patch, "user_id": None}
        version = None if event is None else {event.version + stale}
        change = self.scope(viewer).update(event_id, patch, if_match=version)
        if event is None:
            with pytest.raises(EventNotFound):
                self.runner.run(change)
        elif not may_change(viewer, event):
            with pytest.raises(Forbidden):
                self.runner.run(change)
        elif stale:
            with pytest.raises(PreconditionFailed):
                self.runner.run(change)
        else:
            changed = self.runner.run(change)
            assert changed.version == event.version + (changed != event)
            for key, value in patch.items():
                assert getattr(changed, key) == (tuple(value) if key == "countries" else value)
            self.model[event_id] = changed

    @rule(event_id=events, viewer=st.sampled_from(VIEWERS), start=HALF_HOURS)
    def move(self, event_id: int, viewer: Viewer, start: Any) -> None:
        event = self.seen(viewer, event_id)
        if event is not None and may_change(viewer, event):
            patch = {"start": start, "end": start + (event.end - event.start)}
            self.model[event_id] = self.runner.run(self.scope(viewer).update(event_id, patch))
            assert self.model[event_id].start == start

    @rule(event_id=consumes(events), viewer=st.sampled_from(VIEWERS))
    def delete(self, event_id: int, viewer: Viewer) -> None:
        event = self.seen(viewer, event_id)
        if event is None:
            expected: type[Exception] | None = EventNotFound
        else:
            expected = None if may_change(viewer, event) else Forbidden
        if expected is None:
            self.runner.run(self.scope(viewer).delete(event_id))
            del self.model[event_id]
            self.gone.add(event_id)
            expected = EventNotFound
        with pytest.raises(expected):
            self.runner.run(self.scope(viewer).delete(event_id))

    @rule(event_id=events)
    def get(self, event_id: int) -> None:
        for viewer in VIEWERS:
            expected = self.seen(viewer, event_id)
            if expected is None:
                with pytest.raises(EventNotFound):
                    self.runner.run(self.scope(viewer).get(event_id))
            else:
                assert self.runner.run(self.scope(viewer).get(event_id)) == expected

    @rule(
        viewer=st.sampled_from(VIEWERS),
        view=st.sampled_from([None, *View]),
        status=st.sampled_from([None, *Status]),
        sort=st.sampled_from(list(Sort)),
        after=st.none() | HALF_HOURS,
        limit=st.integers(1, 4),
    )
    def page_through(
        self, *, viewer: Viewer, view: Any, status: Any, sort: Sort, after: Any, limit: int
    ) -> None:
        asked = {"view": view, "status": status, "sort": sort, "from": after}
        query = query_for(viewer, asked)
        expected = [
            event
            for event in self.model.values()
            if sees(viewer, event) and matches(query, event, self.clock())
        ]
        expected.sort(key=position_of, reverse=sort is Sort.START_DESCENDING)
        assert self.runner.run(self.all_pages(viewer, limit, asked)) == expected

    async def all_pages(self, viewer: Viewer, limit: int, asked: dict[str, Any]) -> list[Event]:
        return [event async for event in self.scope(viewer).iterate(limit=limit, **asked)]

    @rule(minutes=st.integers(-90, 90))
    def wait(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes))

    def teardown(self) -> None:
        self.runner.close()


class MemoryMachine(CalendarMachine):
    def open(self) -> Calendar:
        return Calendar(MemoryRepository(), clock=self.clock)


class SQLiteMachine(CalendarMachine):
    def open(self) -> Calendar:
        self.stack = ExitStack()
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.database = Database(f"sqlite+aiosqlite:///{folder / 'calendar.db'}")
        self.runner.run(self.database.create_tables())
        return Calendar(self.database.repository, clock=self.clock)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.runner.run(self.database.close())
            self.stack.close()
        super().teardown()


@pytest.mark.parametrize(("machine", "examples"), [(MemoryMachine, 60), (SQLiteMachine, 15)])
def test_every_storage_agrees_with_the_model(machine: type[CalendarMachine], examples: int) -> None:
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None)
    )
