"""Explaining, purging, and renewing from another thread."""

import asyncio
from datetime import timedelta

from calevents.ledger import (
    DeliveryState,
    NotificationState,
)
from calevents.testing.events import NOON
from calevents.testing.ledger_contract.scene import (
    AFTER_LEASE,
    LEASE,
    TICK,
    Scene,
    SceneFixtures,
    key_of,
    people,
)

__all__ = ["UpkeepContract"]


class UpkeepContract(SceneFixtures):
    """Explaining, purging, and renewing from another thread."""

    async def test_explaining(self, scene: Scene) -> None:
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

    async def test_explaining_an_event_that_moved(self, scene: Scene) -> None:
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

    async def test_purging(self, scene: Scene) -> None:
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
        while purged := await scene.ledger.purge(NOON + TICK, limit=2):
            steps.append(purged)
        assert max(steps) <= 3
        assert (await scene.explain(old, 1)).state is None
        assert (await scene.explain(unfinished, 1)).deliveries != ()
        assert (await scene.explain(recent, 1)).deliveries != ()
        assert (await scene.stored(old)).notification_sent_at is not None

    async def test_renewing_from_another_thread(self, scene: Scene) -> None:
        """With an event loop of its own, while this one is busy."""
        key = await scene.resolve(await scene.event(), people(1))
        claim = await scene.claimed(key)

        async def renew() -> bool | None:
            detached = scene.ledger.detached()
            if detached is None:
                return None
            async with detached as renewal:
                return await renewal.renew(key, claim.token, lease=2 * LEASE)

        if await asyncio.to_thread(lambda: asyncio.run(renew())) is not None:
            scene.clock.advance(2 * AFTER_LEASE - TICK)
            assert await scene.claim(key) is None
