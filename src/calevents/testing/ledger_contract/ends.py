"""Results, retries, and how a notification ends."""

import asyncio
from collections import Counter
from datetime import timedelta

import attrs

from calevents.ledger import (
    Claim,
    DeliveryState,
    NotificationKey,
    NotificationState,
    Settlement,
    Sweep,
)
from calevents.testing.events import NOON
from calevents.testing.ledger_contract.scene import (
    AFTER_LEASE,
    AGAIN,
    SENT,
    TICK,
    Scene,
    SceneFixtures,
    key_of,
    people,
)

__all__ = ["EndsContract"]


class EndsContract(SceneFixtures):
    """Results, retries, and how a notification ends."""

    async def test_each_delivery_has_its_own_end(self, scene: Scene) -> None:
        """In one call, whatever the mixture."""
        event = await scene.event()
        key = await scene.resolve(event, people(*range(1, 7)))
        claim = await scene.claimed(key)
        ends = [
            Settlement(DeliveryState.SENT),
            Settlement(DeliveryState.REJECTED, detail="no such address"),
            Settlement(DeliveryState.DEAD),
            Settlement(DeliveryState.UNCERTAIN, doubtful=True),
            AGAIN,
            attrs.evolve(AGAIN, delay=20.5, detail='quotes " and \\ and ü'),
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

    async def test_another_attempt_comes_after_its_delay(self, scene: Scene) -> None:
        """To the microsecond, and with all that the first one had."""
        key = await scene.resolve(await scene.event(), people(1, 2))
        first = await scene.claimed(key)
        later = attrs.evolve(AGAIN, delay=20.0, doubtful=True)
        assert await scene.ledger.settle(first, [AGAIN, later])
        scene.clock.advance(timedelta(seconds=10) - TICK)
        assert await scene.claim(key) is None
        assert not (await scene.ledger.due(limit=1))[0].claimable
        scene.clock.advance(TICK)
        second = await scene.claimed(key)
        assert [d[:5] for d in second.deliveries] == [first.deliveries[0][:5]]
        assert [(d.attempts, bool(d.doubtful)) for d in second.deliveries] == [(1, False)]
        scene.clock.advance(timedelta(seconds=10))
        third = await scene.claimed(key)
        assert [(d.attempts, bool(d.doubtful)) for d in third.deliveries] == [(1, True)]

    async def test_all_may_wait_for_another_attempt(self, scene: Scene) -> None:
        """A provider that is down."""
        key = await scene.resolve(await scene.event(), people(*range(1, 6)))
        claim = await scene.claimed(key)
        assert await scene.ledger.settle(claim, [AGAIN] * 5)
        scene.clock.advance(timedelta(seconds=10))
        assert sorted(await scene.send(key)) == [1, 2, 3, 4, 5]
        assert await scene.finish(key) is NotificationState.SENT

    async def test_what_is_in_doubt_never_ends_as_unsent(self, scene: Scene) -> None:
        """Expired and cancelled mean that nobody was called; this may have arrived."""
        expired, off = await scene.event(), await scene.event()
        for event in (expired, off):
            key = await scene.resolve(event, people(1))
            claim = await scene.claimed(key)
            doubtful = attrs.evolve(AGAIN, delay=9_999.0, doubtful=True)
            assert await scene.ledger.settle(claim, [doubtful])
        await scene.change(off, active=False)
        scene.clock.now = NOON
        for event in (expired, off):
            assert await scene.finish(key_of(event)) is not None
            assert await scene.states(event, 1) == [DeliveryState.UNCERTAIN]

    async def test_at_the_start_the_rest_expires(self, scene: Scene) -> None:
        """Except what a worker has in hand; after its lease that is uncertain."""
        event = await scene.event()
        key = await scene.resolve(event, people(*range(1, 6)), size=1)
        scene.clock.now = NOON - TICK
        held, sent = await scene.claimed(key, limit=1), await scene.claimed(key, limit=1)
        scene.clock.now = NOON
        assert await scene.finish(key) is None
        assert await scene.ledger.settle(sent, [SENT])
        scene.clock.advance(AFTER_LEASE - TICK)
        assert await scene.finish(key) is NotificationState.SENT
        states = Counter([(await scene.states(event, n))[0] for n in range(1, 6)])
        assert states == {
            DeliveryState.EXPIRED: 3,
            DeliveryState.SENT: 1,
            DeliveryState.UNCERTAIN: 1,
        }
        assert not await scene.ledger.settle(held, [SENT])
        assert (await scene.stored(event)).notification_sent_at == scene.clock.now

    async def test_the_stamp_waits_for_the_last_delivery(self, scene: Scene) -> None:
        """And for the last recipient to be found; it leaves the version alone."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1))
        assert await scene.send(key_of(event)) == [1]
        assert await scene.finish(key_of(event)) is None
        assert await scene.ledger.resolved(resolution)
        scene.clock.advance(TICK)
        assert await scene.ledger.sweep(key_of(event)) == Sweep(0, NotificationState.SENT)
        stored = await scene.stored(event)
        assert stored == attrs.evolve(event, notification_sent_at=scene.clock.now)
        scene.clock.advance(TICK)
        assert await scene.ledger.sweep(key_of(event)) == Sweep()
        assert await scene.stored(event) == stored
        assert await scene.due() == []
        assert await scene.begin(key_of(event)) is None

    async def test_an_event_for_nobody_is_stamped(self, scene: Scene) -> None:
        """All of no recipients have been notified."""
        event = await scene.event()
        await scene.resolve(event, [])
        assert await scene.finish(key_of(event)) is NotificationState.SENT
        assert (await scene.stored(event)).notification_sent_at is not None

    async def test_no_stamp_is_lost_among_workers(self, scene: Scene) -> None:
        """Two that settle the last two claims at the same time both look for what is left."""
        keys = [await scene.resolve(await scene.event(), people(1, 2), 1) for _ in range(20)]
        claims = [[await scene.claimed(key, limit=1) for _ in range(2)] for key in keys]

        async def worker(key: NotificationKey, claim: Claim) -> Sweep:
            assert await scene.ledger.settle(claim, [SENT])
            return await scene.ledger.sweep(key)

        swept = await asyncio.gather(
            *(worker(key, claim) for key, pair in zip(keys, claims, strict=True) for claim in pair)
        )
        assert Counter(sweep.closed for sweep in swept)[NotificationState.SENT] == 20
        assert await scene.due() == []
