"""What is due, and what no longer is."""

from datetime import timedelta

import pytest

from calevents.event import NOTICE
from calevents.ledger import (
    NotificationState,
    Sweep,
)
from calevents.testing.events import NOON
from calevents.testing.ledger_contract.scene import (
    TICK,
    Scene,
    SceneFixtures,
    key_of,
)

__all__ = ["DueContract"]


class DueContract(SceneFixtures):
    """What is due, and what no longer is."""

    @pytest.mark.parametrize(
        ("before_start", "due"),
        [
            (NOTICE + TICK, False),
            (NOTICE, True),
            (NOTICE - TICK, True),
            (TICK, True),
        ],
    )
    async def test_due_from_one_hour_before_the_start(
        self, scene: Scene, before_start: timedelta, *, due: bool
    ) -> None:
        """To the microsecond."""
        event = await scene.event()
        scene.clock.now = NOON - before_start
        assert await scene.due() == ([key_of(event)] if due else [])
        assert await scene.ledger.expire_missed(limit=10) == 0

    @pytest.mark.parametrize("late", [timedelta(0), TICK])
    async def test_never_begun_at_or_after_the_start(self, scene: Scene, late: timedelta) -> None:
        """A missed notification is closed; nobody is notified late."""
        event = await scene.event()
        scene.clock.now = NOON + late
        assert await scene.begin(key_of(event)) is None
        assert not any(due.resolvable for due in await scene.ledger.due(limit=10))
        assert await scene.ledger.expire_missed(limit=10) == 1
        assert await scene.due() == []
        assert (await scene.explain(event, 1)).state is NotificationState.EXPIRED
        assert (await scene.stored(event)).notification_sent_at is None

    async def test_a_sweep_closes_what_was_missed_too(self, scene: Scene) -> None:
        """However a worker comes upon it."""
        event = await scene.event()
        scene.clock.now = NOON
        assert await scene.ledger.sweep(key_of(event)) == Sweep(0, NotificationState.EXPIRED)
        assert await scene.ledger.sweep(key_of(event)) == Sweep()

    async def test_inactive_and_deleted_events_are_not_due(self, scene: Scene) -> None:
        """Nor are those that are switched off later."""
        await scene.event(active=False)
        deleted, off = await scene.event(), await scene.event()
        assert await scene.storage.repository.delete(deleted)
        await scene.change(off, active=False)
        assert await scene.due() == []
        assert await scene.begin(key_of(off)) is None

    async def test_switching_on_arms(self, scene: Scene) -> None:
        """And the start may have moved meanwhile."""
        event = await scene.event(active=False)
        event = await scene.change(event, active=True, start=NOON + timedelta(minutes=5))
        assert await scene.due() == [key_of(event)]

    async def test_moving_arms_the_new_start_alone(self, scene: Scene) -> None:
        """Into the hour: due at once. Out of it: not due."""
        event = await scene.event()
        event = await scene.change(event, start=NOON + timedelta(days=1))
        assert await scene.due() == []
        event = await scene.change(event, start=NOON + timedelta(minutes=10))
        assert await scene.due() == [key_of(event)]

    async def test_due_is_ordered_and_paged(self, scene: Scene) -> None:
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
