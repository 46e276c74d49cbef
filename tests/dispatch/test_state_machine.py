"""Events written, moved and deleted, workers that tick, crash and pause: against a simple model.

The model knows the events, who may see them and the clock. It doesn't know how the ledger works:
it says who may be called, how often, and what has to be true when all is done.
"""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import delete

from calevents.adapters.memory import MemoryDirectory
from calevents.adapters.sqlalchemy import Database, SQLAlchemyLedger
from calevents.audience import Company, Member, sees
from calevents.event import NOTICE, Event
from calevents.ledger import Claim, DeliveryState, NotificationKey, Settlement
from calevents.notification import Delivery, Recipient, Result
from calevents.testing import FixedClock, RecordingNotifier, an_event
from calevents.testing.events import NOON
from tests.dispatch.mortals import EndedError, Mortal, MortalLedger
from tests.dispatch.scenes import Scene, memory_scene
from tests.postgres import Postgres

LEASE = 60.0
CLAIM = 2
COUNTRIES: dict[int, str | None] = {1: "US", 2: "DE", 3: "US", 4: None, 5: "FR"}
TARGETS = st.sampled_from([(), ("US",), ("DE", "US")])
# Few enough that events come back to where they were.
MINUTES = st.sampled_from([-31, 0, 0, 0, 5, 31])
COMPANIES = st.sampled_from([1, 2])

Call = tuple[NotificationKey, int]


class _Notifier(RecordingNotifier):
    """Tells the machine of every call, and may end its worker."""

    def __init__(self, machine: "Machine", mortal: Mortal | None = None) -> None:
        super().__init__(claim_size=CLAIM)
        self.machine = machine
        self.mortal = mortal

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        assert len(deliveries) <= CLAIM
        if self.mortal is not None:
            self.mortal.point()
        for delivery in deliveries:
            self.machine.called(event, delivery.recipient_id)
        results = await super().send(event, deliveries)
        if self.mortal is not None:
            self.mortal.point()
        return results


@attrs.define
class Modelled:
    """What the model knows of one event."""

    event: Event
    """As it was last written; ``notification_sent_at`` is what the model expects, or learned."""
    deleted: bool = False


class Machine(RuleBasedStateMachine):
    """The rules; subclasses have a storage."""

    policy: ClassVar[Literal["retry", "skip"]] = "retry"
    events = Bundle("events")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.scene = self.make_scene()
        self.scene.directory = MemoryDirectory(
            {
                company: [Recipient(id=n, country=c) for n, c in COUNTRIES.items()]
                for company in (1, 2)
            }
        )
        self.modelled: dict[tuple[int, int], Modelled] = {}
        self.calls: Counter[Call] = Counter()
        self.withdrawn: set[tuple[int, int]] = set()
        self.doubts = 0
        self.tokens = 0

    def make_scene(self) -> Scene:
        raise NotImplementedError

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        raise NotImplementedError

    @property
    def now(self) -> Any:
        return self.scene.clock.now

    # What is allowed

    def called(self, event: Event, recipient_id: int) -> None:
        """Only what is due, and only whom it is for, by the model's own events."""
        known = self.modelled[event.company_id, event.id]
        assert not known.deleted
        assert known.event.active
        assert event.start == known.event.start
        assert event.start - NOTICE <= self.now < event.start
        assert recipient_id in self.recipients(known.event)
        self.calls[NotificationKey(event.company_id, event.id, event.start), recipient_id] += 1

    @staticmethod
    def recipients(event: Event) -> set[int]:
        return {
            number
            for number, country in COUNTRIES.items()
            if sees(Member(company_id=event.company_id, id=number, country=country), event)
        }

    # Events

    @initialize(target=events)
    def begin(self) -> tuple[int, int]:
        """There is something to push from the beginning."""
        return self.create_event(1, 0, (), None, active=True)

    @rule(
        target=events,
        company=COMPANIES,
        minutes=MINUTES,
        countries=TARGETS,
        active=st.sampled_from([True, True, True, False]),
        user_id=st.sampled_from([None, None, None, 2]),
    )
    def create(
        self,
        company: int,
        minutes: int,
        countries: tuple[str, ...],
        active: bool,
        user_id: int | None,
    ) -> tuple[int, int]:
        return self.create_event(company, minutes, countries, user_id, active=active)

    def create_event(
        self,
        company: int,
        minutes: int,
        countries: tuple[str, ...],
        user_id: int | None,
        *,
        active: bool,
    ) -> tuple[int, int]:
        event = an_event(
            id=len(self.modelled) + 1,
            company_id=company,
            start=NOON + timedelta(minutes=minutes),
            countries=() if user_id else countries,
            user_id=user_id,
            active=active,
        )
        self.run(self.scene.repository.create(Company(company), event))
        self.modelled[company, event.id] = Modelled(event)
        return company, event.id

    def write(self, key: tuple[int, int], **fields: Any) -> None:
        known = self.modelled[key]
        if known.deleted:
            return
        after = attrs.evolve(known.event, version=known.event.version + 1, **fields)
        stored = self.run(self.scene.repository.replace(known.event, after))
        assert stored is not None
        if fields.keys() & {"start", "active", "countries"}:
            self.withdrawn.add(key)
        if after.start != known.event.start:
            assert stored.notification_sent_at is None
        known.event = stored

    @rule(key=events, minutes=MINUTES)
    def move(self, key: tuple[int, int], minutes: int) -> None:
        start = NOON + timedelta(minutes=minutes)
        self.write(key, start=start, end=start + timedelta(hours=2))

    @rule(key=events, active=st.booleans())
    def switch(self, key: tuple[int, int], active: bool) -> None:
        self.write(key, active=active)

    @rule(key=events, countries=TARGETS)
    def retarget(self, key: tuple[int, int], countries: tuple[str, ...]) -> None:
        self.write(key, countries=countries, user_id=None)

    @rule(key=events)
    def rename(self, key: tuple[int, int]) -> None:
        self.write(key, title="Another title")

    @rule(key=events)
    def delete(self, key: tuple[int, int]) -> None:
        known = self.modelled[key]
        if not known.deleted:
            assert self.run(self.scene.repository.delete(known.event))
            known.deleted = True

    @rule(seconds=st.sampled_from([1, 60, 60, 1_200]))
    def advance(self, seconds: int) -> None:
        self.scene.clock.advance(timedelta(seconds=seconds))

    # Workers

    def work(self, mortal: Mortal | None = None) -> None:
        ledger = self.scene.ledger if mortal is None else MortalLedger(self.scene, mortal)
        dispatcher = self.scene.dispatcher(
            ledger=ledger,
            notifier=_Notifier(self, mortal),
            lease=LEASE,
            page_size=2,
            on_uncertain=self.policy,
            max_attempts=1_000,
        )
        with suppress(EndedError):
            self.run(dispatcher.run_once())

    @rule()
    def tick(self) -> None:
        self.work()
        self.learn()

    @rule(point=st.integers(5, 40))
    def crash(self, point: int) -> None:
        mortal = Mortal(point)
        self.work(mortal)
        self.doubts += mortal.ended
        self.learn()

    @rule(
        key=events,
        point=st.integers(8, 30),
        change=st.sampled_from(["switch", "move", "retarget"]),
        swept=st.booleans(),
    )
    def change_under_way(self, key: tuple[int, int], point: int, change: str, swept: bool) -> None:
        """Half of an event is pushed, it changes, and changes back."""
        before = self.modelled[key].event
        self.crash(point)
        match change:
            case "switch":
                self.write(key, active=not before.active)
            case "move":
                self.move(key, 31)
            case _:
                self.retarget(key, ("DE",))
        if swept:
            self.scene.clock.advance(timedelta(seconds=LEASE))
            self.tick()
        self.write(
            key,
            active=before.active,
            start=before.start,
            end=before.end,
            countries=before.countries,
            user_id=before.user_id,
        )

    @rule(target=held, key=events)
    def pause(self, key: tuple[int, int]) -> Claim | None:
        """A worker claims, makes its calls, and is frozen before it can say so."""
        known = self.modelled[key]
        self.tokens += 1
        claim: Claim | None = self.run(
            self.scene.ledger.claim(
                NotificationKey(*key, known.event.start),
                token=f"paused-{self.tokens}",
                worker="paused",
                limit=CLAIM,
                lease=LEASE,
                on_uncertain=self.policy,
                max_attempts=1_000,
            )
        )
        if claim is not None:
            self.doubts += 1
            for delivery in claim.deliveries:
                self.called(claim.event, delivery.recipient_id)
        return claim

    @rule(claim=consumes(held))
    def resume(self, claim: Claim | None) -> None:
        """It goes on, perhaps long after its lease."""
        if claim is not None and claim.deliveries:
            sent = [Settlement(DeliveryState.SENT)] * len(claim.deliveries)
            self.run(self.scene.ledger.settle(claim, sent))

    # What has to be true

    def learn(self) -> None:
        """A stamp may have come; then all of the event's recipients are dealt with."""
        for known in self.modelled.values():
            if known.deleted:
                continue
            stored = self.run(self.scene.stored(known.event))
            before, after = known.event.notification_sent_at, stored.notification_sent_at
            assert stored == attrs.evolve(known.event, notification_sent_at=after)
            if before is not None:
                assert after == before
            elif after is not None:
                self.check_ledger(stored)
            known.event = stored

    @rule()
    def come_to_rest(self) -> None:
        """With one live worker, and no lease left, everything ends."""
        self.scene.clock.advance(timedelta(seconds=LEASE))
        self.work()
        self.learn()
        assert self.run(self.scene.ledger.due(limit=100)) == []
        for known in self.modelled.values():
            event = known.event
            if known.deleted or not event.active:
                continue
            if event.start - NOTICE <= self.now < event.start:
                assert event.notification_sent_at is not None

    def check_ledger(self, event: Event) -> None:
        """Stamped just now: everyone whom it is for has one row, in an end state that is true."""
        key = NotificationKey(event.company_id, event.id, event.start)
        for recipient_id in self.recipients(event):
            (record,) = [
                record
                for record in self.run(self.scene.records(event, [recipient_id]))
                if record.start == event.start
            ]
            started = event.start <= self.now
            withdrawn = (event.company_id, event.id) in self.withdrawn
            match record.state:
                case DeliveryState.SENT:
                    assert self.calls[key, recipient_id] >= 1
                case DeliveryState.EXPIRED:
                    assert started
                case DeliveryState.CANCELLED:
                    # It came back too late.
                    assert started
                    assert withdrawn
                case state:
                    assert state is DeliveryState.UNCERTAIN
                    # What was in doubt when the event was withdrawn stays so if it comes back.
                    assert started or self.policy == "skip" or (withdrawn and self.doubts)

    @invariant()
    def repetitions_are_bounded(self) -> None:
        """By the crashes and pauses, a claim each; with ``skip`` there are none at all."""
        repeated = sum(number - 1 for number in self.calls.values())
        assert repeated <= (self.doubts * CLAIM if self.policy == "retry" else 0)


def examples(number: int) -> settings:
    """So many runs of 25 steps."""
    return settings(
        max_examples=number,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize("policy", ["retry", "skip"])
def test_in_memory(policy: Any) -> None:
    loop = asyncio.new_event_loop()

    class InMemory(Machine):
        def make_scene(self) -> Scene:
            return memory_scene()

        def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
            return loop.run_until_complete(coroutine)

    InMemory.policy = policy
    try:
        run_state_machine_as_test(InMemory, settings=examples(40))
    finally:
        loop.close()


@pytest.mark.parametrize("policy", ["retry", "skip"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_in_a_database(
    kind: str, policy: Any, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if kind == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/calendar.db"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database()
    loop = asyncio.new_event_loop()
    database = Database(url)
    tables = database.tables

    async def empty() -> None:
        async with database.transaction() as connection:
            for table in (
                tables.events,
                tables.audiences,
                tables.notifications,
                tables.deliveries,
                tables.batches,
            ):
                await connection.execute(delete(table))

    class InDatabase(Machine):
        def make_scene(self) -> Scene:
            clock = FixedClock(NOON - timedelta(minutes=30))
            loop.run_until_complete(empty())
            return Scene(database.repository, SQLAlchemyLedger(database, clock=clock), clock)

        def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
            return loop.run_until_complete(coroutine)

    InDatabase.policy = policy
    try:
        loop.run_until_complete(database.create_tables())
        run_state_machine_as_test(InDatabase, settings=examples(8))
    finally:
        loop.run_until_complete(database.close())
        loop.close()
