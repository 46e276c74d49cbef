"""What every :class:`~calevents.ports.NotificationLedger` must do."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from calevents.audience import Company
from calevents.event import NOTICE, Event
from calevents.ledger import (
    Claim,
    DeliveryState,
    NotificationKey,
    NotificationState,
    OnUncertain,
    PushExplanation,
    Resolution,
    Settlement,
    Sweep,
)
from calevents.notification import DEFAULT_CHANNEL, Recipient
from calevents.ports import EventRepository, NotificationLedger
from calevents.testing.clock import FixedClock
from calevents.testing.events import NOON, an_event

__all__ = ["LedgerStorage", "NotificationLedgerContract"]

_TICK = timedelta(microseconds=1)
_LEASE = 60.0
_AFTER_LEASE = timedelta(seconds=_LEASE)
_SENT = Settlement(DeliveryState.SENT)
_AGAIN = Settlement(DeliveryState.PENDING, delay=10.0)


@attrs.frozen
class LedgerStorage:
    """One empty storage: the ledger, and the repository that it belongs to."""

    repository: EventRepository
    ledger: NotificationLedger


@attrs.define
class _Scene:
    """A storage, its clock, and short names for what the tests do with them."""

    storage: LedgerStorage
    clock: FixedClock
    tokens: int = 0

    @property
    def ledger(self) -> NotificationLedger:
        return self.storage.ledger

    def token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    async def event(self, **fields: Any) -> Event:
        event = an_event(**fields)
        return await self.storage.repository.create(Company(event.company_id), event)

    async def change(self, event: Event, **fields: Any) -> Event:
        if "start" in fields:
            fields["end"] = fields["start"] + timedelta(hours=2)
        after = attrs.evolve(event, version=event.version + 1, **fields)
        stored = await self.storage.repository.replace(event, after)
        assert stored is not None
        return stored

    async def stored(self, event: Event) -> Event:
        found = await self.storage.repository.get(Company(event.company_id), event.id)
        assert found is not None
        return found

    async def due(self) -> list[NotificationKey]:
        return [due.key for due in await self.ledger.due(limit=100)]

    async def begin(self, key: NotificationKey) -> Resolution | None:
        return await self.ledger.begin(key, token=self.token(), lease=_LEASE)

    async def record(
        self, resolution: Resolution, recipients: Sequence[Recipient], size: int = 8
    ) -> Resolution | None:
        return await self.ledger.record(resolution, recipients, batch_size=size, lease=_LEASE)

    async def resolve(
        self, event: Event, recipients: Sequence[Recipient], size: int = 8
    ) -> NotificationKey:
        key = key_of(event)
        resolution = await self.begin(key)
        assert resolution is not None
        if recipients:
            resolution = await self.record(resolution, recipients, size)
            assert resolution is not None
        assert await self.ledger.resolved(resolution)
        return key

    async def claim(
        self,
        key: NotificationKey,
        limit: int = 8,
        on_uncertain: OnUncertain = "retry",
        max_attempts: int = 3,
    ) -> Claim | None:
        return await self.ledger.claim(
            key,
            token=self.token(),
            worker="worker",
            limit=limit,
            lease=_LEASE,
            on_uncertain=on_uncertain,
            max_attempts=max_attempts,
        )

    async def claimed(self, key: NotificationKey, **options: Any) -> Claim:
        claim = await self.claim(key, **options)
        assert claim is not None
        return claim

    async def send(self, key: NotificationKey, limit: int = 8) -> list[int]:
        """Send whatever can be claimed; answer the recipients."""
        sent = []
        while (claim := await self.claim(key, limit)) is not None:
            sent += [delivery.recipient_id for delivery in claim.deliveries]
            if claim.deliveries:
                assert await self.ledger.settle(claim, [_SENT] * len(claim.deliveries))
        return sent

    async def finish(self, key: NotificationKey) -> NotificationState | None:
        """Sweep until nothing changes; answer the state in which the notification was closed."""
        while True:
            sweep = await self.ledger.sweep(key)
            if sweep.closed is not None or not sweep.swept:
                return sweep.closed

    async def explain(self, event: Event, recipient_id: int) -> PushExplanation:
        return await self.ledger.explain(event.company_id, event.id, recipient_id)

    async def states(self, event: Event, recipient_id: int) -> list[DeliveryState]:
        explanation = await self.explain(event, recipient_id)
        return [record.state for record in explanation.deliveries]


def key_of(event: Event) -> NotificationKey:
    """The key of the notification for the event's present start."""
    return NotificationKey(event.company_id, event.id, event.start)


def people(*ids: int, country: str | None = "US") -> list[Recipient]:
    """Recipients with these ids, each with an address."""
    return [Recipient(id=n, country=country, addresses={"push": f"to-{n}"}) for n in ids]


class NotificationLedgerContract:
    """Subclass it, and override :meth:`storage`.

    The event of most tests starts at noon, and the clock stands half an hour before.
    """

    @pytest.fixture
    def clock(self) -> FixedClock:
        """The ledger's clock."""
        return FixedClock(NOON - timedelta(minutes=30))

    @pytest.fixture
    def storage(self, clock: FixedClock) -> LedgerStorage:
        """An empty storage whose ledger tells the time by ``clock``."""
        raise NotImplementedError("override the fixture `storage`")

    @pytest.fixture
    def scene(self, storage: LedgerStorage, clock: FixedClock) -> _Scene:
        """What the tests work with."""
        return _Scene(storage, clock)

    # What is due

    @pytest.mark.parametrize(
        ("before_start", "due"),
        [
            (NOTICE + _TICK, False),
            (NOTICE, True),
            (NOTICE - _TICK, True),
            (_TICK, True),
        ],
    )
    async def test_due_from_one_hour_before_the_start(
        self, scene: _Scene, before_start: timedelta, *, due: bool
    ) -> None:
        """To the microsecond."""
        event = await scene.event()
        scene.clock.now = NOON - before_start
        assert await scene.due() == ([key_of(event)] if due else [])
        assert await scene.ledger.expire_missed(limit=10) == 0

    @pytest.mark.parametrize("late", [timedelta(0), _TICK])
    async def test_never_begun_at_or_after_the_start(self, scene: _Scene, late: timedelta) -> None:
        """A missed notification is closed; nobody is notified late."""
        event = await scene.event()
        scene.clock.now = NOON + late
        assert await scene.begin(key_of(event)) is None
        assert not any(due.resolvable for due in await scene.ledger.due(limit=10))
        assert await scene.ledger.expire_missed(limit=10) == 1
        assert await scene.due() == []
        assert (await scene.explain(event, 1)).state is NotificationState.EXPIRED
        assert (await scene.stored(event)).notification_sent_at is None

    async def test_a_sweep_closes_what_was_missed_too(self, scene: _Scene) -> None:
        """However a worker comes upon it."""
        event = await scene.event()
        scene.clock.now = NOON
        assert await scene.ledger.sweep(key_of(event)) == Sweep(0, NotificationState.EXPIRED)
        assert await scene.ledger.sweep(key_of(event)) == Sweep()

    async def test_inactive_and_deleted_events_are_not_due(self, scene: _Scene) -> None:
        """Nor are those that are switched off later."""
        await scene.event(active=False)
        deleted, off = await scene.event(), await scene.event()
        assert await scene.storage.repository.delete(deleted)
        await scene.change(off, active=False)
        assert await scene.due() == []
        assert await scene.begin(key_of(off)) is None

    async def test_switching_on_arms(self, scene: _Scene) -> None:
        """And the start may have moved meanwhile."""
        event = await scene.event(active=False)
        event = await scene.change(event, active=True, start=NOON + timedelta(minutes=5))
        assert await scene.due() == [key_of(event)]

    async def test_moving_arms_the_new_start_alone(self, scene: _Scene) -> None:
        """Into the hour: due at once. Out of it: not due."""
        event = await scene.event()
        event = await scene.change(event, start=NOON + timedelta(days=1))
        assert await scene.due() == []
        event = await scene.change(event, start=NOON + timedelta(minutes=10))
        assert await scene.due() == [key_of(event)]

    async def test_due_is_ordered_and_paged(self, scene: _Scene) -> None:
        """Over the tenants, whose events may have the same ids."""
        events = [
            await scene.event(company_id=company, id=number, start=NOON + timedelta(minutes=shift))
            for shift in (3, 1, 2)
            for company, number in ((1, 10 + shift), (2, 10 + shift))
        ]
        expected = sorted(map(key_of, events), key=lambda k: (k.start, k.company_id, k.event_id))
        listed, after = [], None
        while page := await scene.ledger.due(after=after, limit=2):
            assert len(page) <= 2
            listed += [due.key for due in page]
            after = page[-1]
        assert listed == expected

    # Recipients

    async def test_one_resolver_at_a_time(self, scene: _Scene) -> None:
        """Until its lease lapses, to the microsecond; then where it was left."""
        event = await scene.event()
        key = key_of(event)
        first = await scene.begin(key)
        assert first is not None
        assert first.after is None
        assert first.event == event
        first = await scene.record(first, people(1, 2))
        assert first is not None
        assert first.after == 2
        scene.clock.advance(_AFTER_LEASE - _TICK)
        assert await scene.begin(key) is None
        (listed,) = await scene.ledger.due(limit=2)
        assert (listed.resolvable, listed.resolving) == (False, True)
        scene.clock.advance(_TICK)
        (listed,) = await scene.ledger.due(limit=2)
        assert (listed.resolvable, listed.resolving) == (True, False)
        second = await scene.begin(key)
        assert second is not None
        assert second.after == 2
        assert await scene.record(first, people(3)) is None
        assert not await scene.ledger.resolved(first)
        assert not await scene.ledger.suspend(first)
        assert await scene.states(event, 3) == []
        assert await scene.record(second, people(4)) is not None

    async def test_a_suspended_search_goes_on_at_once(self, scene: _Scene) -> None:
        """Where it was left."""
        key = key_of(await scene.event())
        resolution = await scene.begin(key)
        assert resolution is not None
        resolution = await scene.record(resolution, people(1, 2))
        assert resolution is not None
        assert await scene.ledger.suspend(resolution)
        again = await scene.begin(key)
        assert again is not None
        assert again.after == 2

    async def test_a_resolution_ends_when_the_event_changes(self, scene: _Scene) -> None:
        """Moved, switched off, deleted, or meant for others."""
        for change in ({"start": NOON + NOTICE}, {"active": False}, {"user_id": 5}, None):
            event = await scene.event()
            resolution = await scene.begin(key_of(event))
            assert resolution is not None
            if change is None:
                assert await scene.storage.repository.delete(event)
            else:
                await scene.change(event, **change)
            assert await scene.record(resolution, people(1)) is None
            assert not await scene.ledger.resolved(resolution)

    async def test_a_resolution_survives_other_changes(self, scene: _Scene) -> None:
        """A new title is no reason to begin again."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.change(event, title="Another")
        assert await scene.record(resolution, people(1)) is not None

    async def test_a_page_is_recorded_once(self, scene: _Scene) -> None:
        """Even if it is read twice."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1, 2))
        await scene.record(resolution, people(1, 2, 3))
        assert await scene.ledger.resolved(resolution)
        assert sorted(await scene.send(key_of(event))) == [1, 2, 3]

    async def test_each_channel_is_a_delivery(self, scene: _Scene) -> None:
        """Without addresses there is one, on the default channel."""
        event = await scene.event()
        both = Recipient(
            id=1, locale="de", time_zone="Europe/Berlin", addresses={"mail": "a", "push": "b"}
        )
        key = await scene.resolve(event, [both, Recipient(id=2)])
        claim = await scene.claimed(key)
        assert sorted(delivery[:5] for delivery in claim.deliveries if delivery[0] == 1) == [
            (1, "mail", "a", "de", "Europe/Berlin"),
            (1, "push", "b", "de", "Europe/Berlin"),
        ]
        assert [delivery[:5] for delivery in claim.deliveries if delivery[0] == 2] == [
            (2, DEFAULT_CHANNEL, None, "en", "UTC")
        ]

    async def test_whom_the_event_is_not_for_is_never_sent_to(self, scene: _Scene) -> None:
        """Whatever the directory says."""
        event = await scene.event(countries=("DE",))
        strangers = people(1) + people(2, country=None)
        key = await scene.resolve(event, [*strangers, *people(3, country="DE")])
        assert await scene.send(key) == [3]
        assert await scene.states(event, 1) == [DeliveryState.CANCELLED]
        assert await scene.states(event, 2) == [DeliveryState.CANCELLED]

    async def test_a_search_that_was_begun_is_completed(self, scene: _Scene) -> None:
        """After the start the rest is recorded as expired, and the event stamped."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1))
        scene.clock.now = NOON + _AFTER_LEASE
        again = await scene.begin(key_of(event))
        assert again is not None
        assert await scene.claim(key_of(event)) is None
        assert await scene.finish(key_of(event)) is None
        await scene.record(again, people(2))
        assert await scene.ledger.resolved(again)
        assert await scene.finish(key_of(event)) is NotificationState.SENT
        assert await scene.states(event, 1) == [DeliveryState.EXPIRED]
        assert await scene.states(event, 2) == [DeliveryState.EXPIRED]
        assert (await scene.stored(event)).notification_sent_at == scene.clock.now

    # Claims

    async def test_a_claim_holds_at_most_its_limit(self, scene: _Scene) -> None:
        """Batches of another size are joined and split."""
        for size in (1, 2, 3, 7, 100):
            key = await scene.resolve(await scene.event(), people(*range(1, 21)), size)
            claimed: list[int] = []
            while (claim := await scene.claim(key, limit=4)) is not None:
                assert 0 < len(claim.deliveries) <= 4
                claimed += [delivery.recipient_id for delivery in claim.deliveries]
            assert sorted(claimed) == list(range(1, 21))

    async def test_what_is_claimed_is_claimed_once(self, scene: _Scene) -> None:
        """Whoever asks at the same time."""
        key = await scene.resolve(await scene.event(), people(*range(1, 101)), 5)
        claimed: Counter[int] = Counter()

        async def worker() -> None:
            while True:
                claim = await scene.claim(key, limit=5)
                if claim is None:
                    # Others may have had the rest locked for a moment.
                    if not (await scene.ledger.due(limit=1))[0].claimable:
                        return
                    continue
                claimed.update(delivery.recipient_id for delivery in claim.deliveries)

        await asyncio.gather(*(worker() for _ in range(4)))
        assert claimed == Counter(range(1, 101))

    async def test_a_claim_is_for_one_company(self, scene: _Scene) -> None:
        """Two companies may have an event with the same id at the same time."""
        ours = await scene.event(company_id=1, id=7)
        theirs = await scene.event(company_id=2, id=7)
        key = await scene.resolve(ours, people(1, 2))
        other = await scene.resolve(theirs, people(1, 3))
        claim = await scene.claimed(key)
        assert {delivery.recipient_id for delivery in claim.deliveries} == {1, 2}
        assert claim.event.company_id == 1
        assert not await scene.ledger.release(other, claim.token)
        assert await scene.ledger.settle(claim, [_SENT, _SENT])
        assert await scene.finish(key) is NotificationState.SENT
        assert await scene.finish(other) is None
        assert await scene.states(theirs, 1) == [DeliveryState.PENDING]
        assert (await scene.stored(theirs)).notification_sent_at is None

    @pytest.mark.parametrize("left", [_TICK, timedelta(0)])
    async def test_no_claim_at_or_after_the_start(self, scene: _Scene, left: timedelta) -> None:
        """To the microsecond."""
        key = await scene.resolve(await scene.event(), people(1))
        scene.clock.now = NOON - left
        assert (await scene.claim(key) is not None) == bool(left)

    @pytest.mark.parametrize("change", [{"active": False}, {"start": NOON + NOTICE}, None])
    async def test_no_claim_of_an_event_that_is_gone(
        self, scene: _Scene, change: dict[str, Any] | None
    ) -> None:
        """What is left is cancelled; what was sent stays sent."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2, 3), size=1)
        claim = await scene.claimed(key, limit=1)
        assert await scene.ledger.settle(claim, [_SENT])
        if change is None:
            assert await scene.storage.repository.delete(event)
        else:
            await scene.change(event, **change)
        assert await scene.claim(key) is None
        assert [due.sweepable for due in await scene.ledger.due(limit=5) if due.key == key] == [
            True
        ]
        assert await scene.finish(key) is NotificationState.CANCELLED
        states = Counter([(await scene.states(event, n))[0] for n in (1, 2, 3)])
        assert states == {DeliveryState.SENT: 1, DeliveryState.CANCELLED: 2}
        assert key not in await scene.due()
        if change is not None:
            assert (await scene.stored(event)).notification_sent_at is None

    async def test_a_claim_in_hand_is_not_cancelled(self, scene: _Scene) -> None:
        """Its worker says what became of it."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        claim = await scene.claimed(key)
        await scene.change(event, active=False)
        assert await scene.finish(key) is None
        assert await scene.ledger.settle(claim, [_SENT])
        assert await scene.finish(key) is NotificationState.CANCELLED
        assert await scene.states(event, 1) == [DeliveryState.SENT]

    async def test_switching_off_and_on_goes_on(self, scene: _Scene) -> None:
        """What was sent isn't sent again, what was cancelled is sent after all."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2, 3), size=1)
        claim = await scene.claimed(key, limit=1)
        assert await scene.ledger.settle(claim, [_SENT])
        off = await scene.change(event, active=False)
        assert await scene.finish(key) is NotificationState.CANCELLED
        on = await scene.change(off, active=True)
        await scene.resolve(on, people(1, 2, 3), size=1)
        assert len(await scene.send(key)) == 2
        assert await scene.finish(key) is NotificationState.SENT
        assert [await scene.states(on, n) for n in (1, 2, 3)] == [[DeliveryState.SENT]] * 3

    async def test_moving_to_and_fro(self, scene: _Scene) -> None:
        """A new start is a new push; an old one doesn't repeat what was sent for it."""
        event = await scene.event()
        first = await scene.resolve(event, people(1, 2), size=1)
        claim = await scene.claimed(first, limit=1)
        once = claim.deliveries[0].recipient_id
        assert await scene.ledger.settle(claim, [_SENT])
        there = await scene.change(event, start=NOON + timedelta(minutes=5))
        second = await scene.resolve(there, people(1, 2))
        assert sorted(await scene.send(second)) == [1, 2]
        assert await scene.finish(second) is NotificationState.SENT
        assert await scene.finish(first) is NotificationState.CANCELLED
        there = await scene.stored(there)
        assert there.notification_sent_at == scene.clock.now
        back = await scene.change(there, start=NOON)
        assert back.notification_sent_at is None
        assert await scene.resolve(back, people(1, 2)) == first
        assert await scene.send(first) == [3 - once]
        assert await scene.finish(first) is NotificationState.SENT
        assert (await scene.stored(back)).notification_sent_at == scene.clock.now

    async def test_moving_to_and_fro_while_switched_off(self, scene: _Scene) -> None:
        """The stamp is gone with the move; switched on, the event is due again."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        assert await scene.send(key) == [1]
        assert await scene.finish(key) is NotificationState.SENT
        event = await scene.change(await scene.stored(event), active=False)
        event = await scene.change(event, start=NOON + timedelta(minutes=5))
        event = await scene.change(event, start=NOON)
        assert await scene.due() == []
        event = await scene.change(event, active=True)
        assert event.notification_sent_at is None
        assert await scene.resolve(event, people(1, 2)) == key
        assert await scene.send(key) == [2]
        assert await scene.finish(key) is NotificationState.SENT
        assert (await scene.stored(event)).notification_sent_at is not None

    async def test_retargeting_during_the_push(self, scene: _Scene) -> None:
        """Those whom it isn't for any more are cancelled, those whom it is for now are found."""
        event = await scene.event(countries=("DE", "US"))
        everybody = people(1, 2) + people(3, 4, country="DE") + people(5, country="FR")
        key = await scene.resolve(event, everybody[:4], size=1)
        event = await scene.change(event, countries=("DE", "FR"))
        await scene.resolve(event, everybody[2:], size=1)
        assert sorted(await scene.send(key)) == [3, 4, 5]
        assert await scene.finish(key) is NotificationState.SENT
        assert await scene.states(event, 1) == [DeliveryState.CANCELLED]
        event = await scene.stored(event)
        # Once all have been notified, those who come later aren't: the push went out.
        await scene.change(event, countries=("US",))
        assert await scene.due() == []

    async def test_retargeting_and_back(self, scene: _Scene) -> None:
        """What was cancelled meanwhile comes back."""
        event = await scene.event(countries=("US",))
        key = await scene.resolve(event, people(1, 2))
        event = await scene.change(event, countries=("DE",))
        claim = await scene.claimed(key)
        assert claim.deliveries == []
        event = await scene.change(event, countries=("US",))
        await scene.resolve(event, people(1, 2))
        assert sorted(await scene.send(key)) == [1, 2]

    async def test_the_claimed_event_is_the_present_one(self, scene: _Scene) -> None:
        """A new title is what is sent."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        event = await scene.change(event, title="Another")
        claim = await scene.claimed(key)
        assert claim.event == event
        assert claim.now == scene.clock.now

    async def test_a_released_claim_is_as_it_was(self, scene: _Scene) -> None:
        """No attempt was made."""
        key = await scene.resolve(await scene.event(), people(1))
        first = await scene.claimed(key)
        assert await scene.ledger.release(key, first.token)
        assert not await scene.ledger.release(key, first.token)
        second = await scene.claimed(key)
        assert second.deliveries[0].attempts == 0
        assert not second.deliveries[0].doubtful
        assert not await scene.ledger.settle(first, [_SENT])
        assert await scene.ledger.settle(second, [_SENT])

    async def test_a_lease_lapses_unless_it_is_renewed(self, scene: _Scene) -> None:
        """To the microsecond."""
        key = await scene.resolve(await scene.event(), people(1))
        claim = await scene.claimed(key)
        scene.clock.advance(_AFTER_LEASE - _TICK)
        assert await scene.claim(key) is None
        assert await scene.ledger.renew(key, claim.token, lease=_LEASE)
        scene.clock.advance(_AFTER_LEASE - _TICK)
        assert await scene.claim(key) is None
        scene.clock.advance(_TICK)
        assert await scene.claim(key) is not None
        assert not await scene.ledger.renew(key, claim.token, lease=_LEASE)
        assert not await scene.ledger.release(key, claim.token)

    async def test_a_lapsed_claim_counts_as_an_attempt(self, scene: _Scene) -> None:
        """That may have been taken; a stale worker changes nothing any more."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2))
        stale = await scene.claimed(key)
        assert await scene.states(event, 1) == [DeliveryState.CLAIMED]
        scene.clock.advance(_AFTER_LEASE)
        assert await scene.states(event, 1) == [DeliveryState.PENDING]
        claim = await scene.claimed(key)
        assert [(d.attempts, bool(d.doubtful)) for d in claim.deliveries] == [(1, True)] * 2
        assert not await scene.ledger.settle(stale, [_SENT] * 2)
        assert await scene.states(event, 1) == [DeliveryState.CLAIMED]
        assert await scene.ledger.settle(claim, [Settlement(DeliveryState.REJECTED), _SENT])
        assert not await scene.ledger.settle(stale, [_SENT] * 2)
        first, second = claim.deliveries
        assert await scene.states(event, first.recipient_id) == [DeliveryState.REJECTED]
        assert await scene.states(event, second.recipient_id) == [DeliveryState.SENT]

    async def test_after_the_last_attempt_it_stays_uncertain(self, scene: _Scene) -> None:
        """No more calls are made for it."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        for attempts in range(3):
            claim = await scene.claimed(key, max_attempts=3)
            assert claim.deliveries[0].attempts == attempts
            scene.clock.advance(_AFTER_LEASE)
        last = await scene.claim(key, max_attempts=3)
        assert last is None or not last.deliveries
        assert await scene.states(event, 1) == [DeliveryState.UNCERTAIN]
        assert await scene.claim(key, max_attempts=3) is None
        assert await scene.finish(key) is NotificationState.SENT

    async def test_skipping_leaves_a_lapsed_claim_uncertain(self, scene: _Scene) -> None:
        """At most one call, ever."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2), size=1)
        await scene.claimed(key, limit=1, on_uncertain="skip")
        scene.clock.advance(_AFTER_LEASE)
        assert len((await scene.claimed(key, on_uncertain="skip")).deliveries) == 1
        states = {(await scene.states(event, n))[0] for n in (1, 2)}
        assert states == {DeliveryState.UNCERTAIN, DeliveryState.CLAIMED}

    # Results

    async def test_each_delivery_has_its_own_end(self, scene: _Scene) -> None:
        """In one call, whatever the mixture."""
        event = await scene.event()
        key = await scene.resolve(event, people(*range(1, 7)))
        claim = await scene.claimed(key)
        ends = [
            Settlement(DeliveryState.SENT),
            Settlement(DeliveryState.REJECTED, detail="no such address"),
            Settlement(DeliveryState.DEAD),
            Settlement(DeliveryState.UNCERTAIN, doubtful=True),
            _AGAIN,
            attrs.evolve(_AGAIN, delay=20.5, detail='quotes " and \\ and ü'),
        ]
        assert await scene.ledger.settle(claim, ends)
        for delivery, end in zip(claim.deliveries, ends, strict=True):
            explanation = await scene.explain(event, delivery.recipient_id)
            (record,) = explanation.deliveries
            assert (record.state, record.attempts) == (end.state, 1)
            assert record.detail == end.detail
            finished = None if end.state is DeliveryState.PENDING else scene.clock.now
            assert record.finished_at == finished
            assert record.start == NOON
        assert await scene.finish(key) is None
        assert (await scene.stored(event)).notification_sent_at is None

    async def test_another_attempt_comes_after_its_delay(self, scene: _Scene) -> None:
        """To the microsecond, and with all that the first one had."""
        key = await scene.resolve(await scene.event(), people(1, 2))
        first = await scene.claimed(key)
        later = attrs.evolve(_AGAIN, delay=20.0, doubtful=True)
        assert await scene.ledger.settle(first, [_AGAIN, later])
        scene.clock.advance(timedelta(seconds=10) - _TICK)
        assert await scene.claim(key) is None
        assert not (await scene.ledger.due(limit=1))[0].claimable
        scene.clock.advance(_TICK)
        second = await scene.claimed(key)
        assert [d[:5] for d in second.deliveries] == [first.deliveries[0][:5]]
        assert [(d.attempts, bool(d.doubtful)) for d in second.deliveries] == [(1, False)]
        scene.clock.advance(timedelta(seconds=10))
        third = await scene.claimed(key)
        assert [(d.attempts, bool(d.doubtful)) for d in third.deliveries] == [(1, True)]

    async def test_all_may_wait_for_another_attempt(self, scene: _Scene) -> None:
        """A provider that is down."""
        key = await scene.resolve(await scene.event(), people(*range(1, 6)))
        claim = await scene.claimed(key)
        assert await scene.ledger.settle(claim, [_AGAIN] * 5)
        scene.clock.advance(timedelta(seconds=10))
        assert sorted(await scene.send(key)) == [1, 2, 3, 4, 5]
        assert await scene.finish(key) is NotificationState.SENT

    async def test_what_is_in_doubt_never_ends_as_unsent(self, scene: _Scene) -> None:
        """Expired and cancelled mean that nobody was called; this may have arrived."""
        expired, off = await scene.event(), await scene.event()
        for event in (expired, off):
            key = await scene.resolve(event, people(1))
            claim = await scene.claimed(key)
            doubtful = attrs.evolve(_AGAIN, delay=9_999.0, doubtful=True)
            assert await scene.ledger.settle(claim, [doubtful])
        await scene.change(off, active=False)
        scene.clock.now = NOON
        for event in (expired, off):
            assert await scene.finish(key_of(event)) is not None
            assert await scene.states(event, 1) == [DeliveryState.UNCERTAIN]

    # Ends

    async def test_at_the_start_the_rest_expires(self, scene: _Scene) -> None:
        """Except what a worker has in hand; after its lease that is uncertain."""
        event = await scene.event()
        key = await scene.resolve(event, people(*range(1, 6)), size=1)
        scene.clock.now = NOON - _TICK
        held, sent = await scene.claimed(key, limit=1), await scene.claimed(key, limit=1)
        scene.clock.now = NOON
        assert await scene.finish(key) is None
        assert await scene.ledger.settle(sent, [_SENT])
        scene.clock.advance(_AFTER_LEASE - _TICK)
        assert await scene.finish(key) is NotificationState.SENT
        states = Counter([(await scene.states(event, n))[0] for n in range(1, 6)])
        assert states == {
            DeliveryState.EXPIRED: 3,
            DeliveryState.SENT: 1,
            DeliveryState.UNCERTAIN: 1,
        }
        assert not await scene.ledger.settle(held, [_SENT])
        assert (await scene.stored(event)).notification_sent_at == scene.clock.now

    async def test_the_stamp_waits_for_the_last_delivery(self, scene: _Scene) -> None:
        """And for the last recipient to be found; it leaves the version alone."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1))
        assert await scene.send(key_of(event)) == [1]
        assert await scene.finish(key_of(event)) is None
        assert await scene.ledger.resolved(resolution)
        scene.clock.advance(_TICK)
        assert await scene.ledger.sweep(key_of(event)) == Sweep(0, NotificationState.SENT)
        stored = await scene.stored(event)
        assert stored == attrs.evolve(event, notification_sent_at=scene.clock.now)
        scene.clock.advance(_TICK)
        assert await scene.ledger.sweep(key_of(event)) == Sweep()
        assert await scene.stored(event) == stored
        assert await scene.due() == []
        assert await scene.begin(key_of(event)) is None

    async def test_an_event_for_nobody_is_stamped(self, scene: _Scene) -> None:
        """All of no recipients have been notified."""
        event = await scene.event()
        await scene.resolve(event, [])
        assert await scene.finish(key_of(event)) is NotificationState.SENT
        assert (await scene.stored(event)).notification_sent_at is not None

    async def test_no_stamp_is_lost_among_workers(self, scene: _Scene) -> None:
        """Two that settle the last two claims at the same time both look for what is left."""
        keys = [await scene.resolve(await scene.event(), people(1, 2), 1) for _ in range(20)]
        claims = [[await scene.claimed(key, limit=1) for _ in range(2)] for key in keys]

        async def worker(key: NotificationKey, claim: Claim) -> Sweep:
            assert await scene.ledger.settle(claim, [_SENT])
            return await scene.ledger.sweep(key)

        swept = await asyncio.gather(
            *(worker(key, claim) for key, pair in zip(keys, claims, strict=True) for claim in pair)
        )
        assert Counter(sweep.closed for sweep in swept)[NotificationState.SENT] == 20
        assert await scene.due() == []

    # For people

    async def test_explaining(self, scene: _Scene) -> None:
        """Why a user was or wasn't pushed, and nothing of other users and companies."""
        event = await scene.event(id=7)
        other = await scene.event(company_id=2, id=7)
        before = await scene.explain(event, 1)
        assert (before.state, before.deliveries) == (NotificationState.WAITING, ())
        key = await scene.resolve(event, people(1, 2))
        await scene.send(key)
        await scene.finish(key)
        after = await scene.explain(event, 1)
        assert after.state is NotificationState.SENT
        assert [record.recipient_id for record in after.deliveries] == [1]
        assert "to-1" not in repr(after)
        nobody = await scene.explain(event, 3)
        assert (nobody.state, nobody.deliveries) == (NotificationState.SENT, ())
        assert (await scene.explain(other, 1)).deliveries == ()
        assert len({before.detail, after.detail, nobody.detail}) == 3
        gone = await scene.ledger.explain(1, 8, 1)
        assert (gone.state, gone.deliveries) == (None, ())

    async def test_explaining_an_event_that_moved(self, scene: _Scene) -> None:
        """Every start is told of, the latest first."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        await scene.send(key)
        moved = await scene.change(event, start=NOON + timedelta(minutes=5))
        await scene.resolve(moved, people(1))
        explanation = await scene.explain(moved, 1)
        assert explanation.state is NotificationState.SENDING
        assert [(record.start, record.state) for record in explanation.deliveries] == [
            (moved.start, DeliveryState.PENDING),
            (NOON, DeliveryState.SENT),
        ]

    async def test_purging(self, scene: _Scene) -> None:
        """Closed and old, in bounded steps; the stamp on the event stays."""
        old = await scene.event()
        unfinished = await scene.event()
        recent = await scene.event(start=NOON + timedelta(minutes=1))
        for event in (old, unfinished, recent):
            await scene.resolve(event, people(*range(1, 6)))
        for event in (old, recent):
            await scene.send(key_of(event))
            assert await scene.finish(key_of(event)) is NotificationState.SENT
        # What could still be sent is kept, however old the caller calls it.
        assert await scene.ledger.purge(NOON + timedelta(days=1), limit=2) == 0
        scene.clock.now = NOON + timedelta(days=1)
        steps = []
        while purged := await scene.ledger.purge(NOON + _TICK, limit=2):
            steps.append(purged)
        assert max(steps) <= 3
        assert (await scene.explain(old, 1)).state is None
        assert (await scene.explain(unfinished, 1)).deliveries != ()
        assert (await scene.explain(recent, 1)).deliveries != ()
        assert (await scene.stored(old)).notification_sent_at is not None

    async def test_renewing_from_another_thread(self, scene: _Scene) -> None:
        """With an event loop of its own, while this one is busy."""
        key = await scene.resolve(await scene.event(), people(1))
        claim = await scene.claimed(key)

        async def renew() -> bool | None:
            detached = scene.ledger.detached()
            if detached is None:
                return None
            async with detached as renewal:
                return await renewal.renew(key, claim.token, lease=2 * _LEASE)

        if await asyncio.to_thread(lambda: asyncio.run(renew())) is not None:
            scene.clock.advance(2 * _AFTER_LEASE - _TICK)
            assert await scene.claim(key) is None
