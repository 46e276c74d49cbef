"""Claims: what is in whose hands, and for whom it still is."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from calevents.event import NOTICE
from calevents.ledger import (
    DeliveryState,
    NotificationState,
    Settlement,
)
from calevents.testing.events import NOON
from calevents.testing.ledger_contract.scene import (
    AFTER_LEASE,
    LEASE,
    SENT,
    TICK,
    Scene,
    SceneFixtures,
    people,
)

__all__ = ["ClaimsContract"]


class ClaimsContract(SceneFixtures):
    """Claims: what is in whose hands, and for whom it still is."""

    async def test_a_claim_holds_at_most_its_limit(self, scene: Scene) -> None:
        """Batches of another size are joined and split."""
        for size in (1, 2, 3, 7, 100):
            key = await scene.resolve(await scene.event(), people(*range(1, 21)), size)
            claimed: list[int] = []
            while (claim := await scene.claim(key, limit=4)) is not None:
                assert 0 < len(claim.deliveries) <= 4
                claimed += [delivery.recipient_id for delivery in claim.deliveries]
            assert sorted(claimed) == list(range(1, 21))

    async def test_what_is_claimed_is_claimed_once(self, scene: Scene) -> None:
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

    async def test_a_claim_is_for_one_company(self, scene: Scene) -> None:
        """Two companies may have an event with the same id at the same time."""
        ours = await scene.event(company_id=1, id=7)
        theirs = await scene.event(company_id=2, id=7)
        key = await scene.resolve(ours, people(1, 2))
        other = await scene.resolve(theirs, people(1, 3))
        claim = await scene.claimed(key)
        assert {delivery.recipient_id for delivery in claim.deliveries} == {1, 2}
        assert claim.event.company_id == 1
        assert not await scene.ledger.release(other, claim.token)
        assert await scene.ledger.settle(claim, [SENT, SENT])
        assert await scene.finish(key) is NotificationState.SENT
        assert await scene.finish(other) is None
        assert await scene.states(theirs, 1) == [DeliveryState.PENDING]
        assert (await scene.stored(theirs)).notification_sent_at is None

    @pytest.mark.parametrize("left", [TICK, timedelta(0)])
    async def test_no_claim_at_or_after_the_start(self, scene: Scene, left: timedelta) -> None:
        """To the microsecond."""
        key = await scene.resolve(await scene.event(), people(1))
        scene.clock.now = NOON - left
        assert (await scene.claim(key) is not None) == bool(left)

    @pytest.mark.parametrize("change", [{"active": False}, {"start": NOON + NOTICE}, None])
    async def test_no_claim_of_an_event_that_is_gone(
        self, scene: Scene, change: dict[str, Any] | None
    ) -> None:
        """What is left is cancelled; what was sent stays sent."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2, 3), size=1)
        claim = await scene.claimed(key, limit=1)
        assert await scene.ledger.settle(claim, [SENT])
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

    async def test_a_claim_in_hand_is_not_cancelled(self, scene: Scene) -> None:
        """Its worker says what became of it."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        claim = await scene.claimed(key)
        await scene.change(event, active=False)
        assert await scene.finish(key) is None
        assert await scene.ledger.settle(claim, [SENT])
        assert await scene.finish(key) is NotificationState.CANCELLED
        assert await scene.states(event, 1) == [DeliveryState.SENT]

    async def test_switching_off_and_on_goes_on(self, scene: Scene) -> None:
        """What was sent isn't sent again, what was cancelled is sent after all."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2, 3), size=1)
        claim = await scene.claimed(key, limit=1)
        assert await scene.ledger.settle(claim, [SENT])
        off = await scene.change(event, active=False)
        assert await scene.finish(key) is NotificationState.CANCELLED
        on = await scene.change(off, active=True)
        await scene.resolve(on, people(1, 2, 3), size=1)
        assert len(await scene.send(key)) == 2
        assert await scene.finish(key) is NotificationState.SENT
        assert [await scene.states(on, n) for n in (1, 2, 3)] == [[DeliveryState.SENT]] * 3

    async def test_moving_to_and_fro(self, scene: Scene) -> None:
        """A new start is a new push; an old one doesn't repeat what was sent for it."""
        event = await scene.event()
        first = await scene.resolve(event, people(1, 2), size=1)
        claim = await scene.claimed(first, limit=1)
        once = claim.deliveries[0].recipient_id
        assert await scene.ledger.settle(claim, [SENT])
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

    async def test_moving_to_and_fro_while_switched_off(self, scene: Scene) -> None:
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

    async def test_retargeting_during_the_push(self, scene: Scene) -> None:
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

    async def test_retargeting_and_back(self, scene: Scene) -> None:
        """What was cancelled meanwhile comes back."""
        event = await scene.event(countries=("US",))
        key = await scene.resolve(event, people(1, 2))
        event = await scene.change(event, countries=("DE",))
        claim = await scene.claimed(key)
        assert claim.deliveries == []
        event = await scene.change(event, countries=("US",))
        await scene.resolve(event, people(1, 2))
        assert sorted(await scene.send(key)) == [1, 2]

    async def test_the_claimed_event_is_the_present_one(self, scene: Scene) -> None:
        """A new title is what is sent."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        event = await scene.change(event, title="Another")
        claim = await scene.claimed(key)
        assert claim.event == event
        assert claim.now == scene.clock.now

    async def test_a_released_claim_is_as_it_was(self, scene: Scene) -> None:
        """No attempt was made."""
        key = await scene.resolve(await scene.event(), people(1))
        first = await scene.claimed(key)
        assert await scene.ledger.release(key, first.token)
        assert not await scene.ledger.release(key, first.token)
        second = await scene.claimed(key)
        assert second.deliveries[0].attempts == 0
        assert not second.deliveries[0].doubtful
        assert not await scene.ledger.settle(first, [SENT])
        assert await scene.ledger.settle(second, [SENT])

    async def test_a_lease_lapses_unless_it_is_renewed(self, scene: Scene) -> None:
        """To the microsecond."""
        key = await scene.resolve(await scene.event(), people(1))
        claim = await scene.claimed(key)
        scene.clock.advance(AFTER_LEASE - TICK)
        assert await scene.claim(key) is None
        assert await scene.ledger.renew(key, claim.token, lease=LEASE)
        scene.clock.advance(AFTER_LEASE - TICK)
        assert await scene.claim(key) is None
        scene.clock.advance(TICK)
        assert await scene.claim(key) is not None
        assert not await scene.ledger.renew(key, claim.token, lease=LEASE)
        assert not await scene.ledger.release(key, claim.token)

    async def test_a_lapsed_claim_counts_as_an_attempt(self, scene: Scene) -> None:
        """That may have been taken; a stale worker changes nothing any more."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2))
        stale = await scene.claimed(key)
        assert await scene.states(event, 1) == [DeliveryState.CLAIMED]
        scene.clock.advance(AFTER_LEASE)
        assert await scene.states(event, 1) == [DeliveryState.PENDING]
        claim = await scene.claimed(key)
        assert [(d.attempts, bool(d.doubtful)) for d in claim.deliveries] == [(1, True)] * 2
        assert not await scene.ledger.settle(stale, [SENT] * 2)
        assert await scene.states(event, 1) == [DeliveryState.CLAIMED]
        assert await scene.ledger.settle(claim, [Settlement(DeliveryState.REJECTED), SENT])
        assert not await scene.ledger.settle(stale, [SENT] * 2)
        first, second = claim.deliveries
        assert await scene.states(event, first.recipient_id) == [DeliveryState.REJECTED]
        assert await scene.states(event, second.recipient_id) == [DeliveryState.SENT]

    async def test_after_the_last_attempt_it_stays_uncertain(self, scene: Scene) -> None:
        """No more calls are made for it."""
        event = await scene.event()
        key = await scene.resolve(event, people(1))
        for attempts in range(3):
            claim = await scene.claimed(key, max_attempts=3)
            assert claim.deliveries[0].attempts == attempts
            scene.clock.advance(AFTER_LEASE)
        last = await scene.claim(key, max_attempts=3)
        assert last is None or not last.deliveries
        assert await scene.states(event, 1) == [DeliveryState.UNCERTAIN]
        assert await scene.claim(key, max_attempts=3) is None
        assert await scene.finish(key) is NotificationState.SENT

    async def test_skipping_leaves_a_lapsed_claim_uncertain(self, scene: Scene) -> None:
        """At most one call, ever."""
        event = await scene.event()
        key = await scene.resolve(event, people(1, 2), size=1)
        await scene.claimed(key, limit=1, on_uncertain="skip")
        scene.clock.advance(AFTER_LEASE)
        assert len((await scene.claimed(key, on_uncertain="skip")).deliveries) == 1
        states = {(await scene.states(event, n))[0] for n in (1, 2)}
        assert states == {DeliveryState.UNCERTAIN, DeliveryState.CLAIMED}
