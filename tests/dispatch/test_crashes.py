"""A worker that ends at any point of its work, one test for each point."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from calevents.adapters.memory import MemoryDirectory
from calevents.event import Event
from calevents.ledger import DeliveryState
from calevents.notification import Delivery, Result
from calevents.testing import RecordingNotifier
from tests.dispatch.mortals import EndedError, Mortal, MortalLedger
from tests.dispatch.scenes import Scene, any_scene, people
from tests.postgres import Postgres

RECIPIENTS = range(1, 8)
CLAIM = 3
LEASE = 60.0
MOST_POINTS = 200


class _MortalNotifier(RecordingNotifier):
    def __init__(self, sink: RecordingNotifier, mortal: Mortal) -> None:
        super().__init__(claim_size=CLAIM)
        self.sink = sink
        self.mortal = mortal

    async def send(self, event: Event, deliveries: Sequence[Delivery]) -> Sequence[Result]:
        self.mortal.point()
        results = await self.sink.send(event, deliveries)
        self.mortal.point()
        return results


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    def new_url() -> str:
        postgres: Postgres = request.getfixturevalue("postgres")
        return postgres.create_database()

    async with any_scene(request.param, tmp_path, new_url) as scene:
        scene.directory = MemoryDirectory({1: people(len(RECIPIENTS))})
        scene.notifier = RecordingNotifier(claim_size=CLAIM)
        yield scene


@pytest.mark.parametrize("on_uncertain", ["retry", "skip"])
async def test_a_crash_at_every_point(scene: Scene, on_uncertain: str) -> None:
    """Nothing is lost or unstamped, and what is in doubt is one claim at the most."""
    options: dict[str, Any] = {"on_uncertain": on_uncertain, "lease": LEASE, "page_size": 4}
    for ends_at in range(1, MOST_POINTS):
        event = await scene.event(id=ends_at)
        mortal = Mortal(ends_at)
        first = scene.dispatcher(
            ledger=MortalLedger(scene, mortal),
            notifier=_MortalNotifier(scene.notifier, mortal),
            **options,
        )
        scene.notifier.calls.clear()
        with suppress(EndedError):
            await first.run_once()
        scene.clock.advance(timedelta(seconds=LEASE))
        await scene.dispatcher(**options).run_once()

        states = Counter(await scene.states(event, RECIPIENTS))
        assert states.total() == len(RECIPIENTS), ends_at
        assert set(states) <= {DeliveryState.SENT, DeliveryState.UNCERTAIN}, ends_at
        assert (await scene.stored(event)).notification_sent_at is not None, ends_at
        calls = Counter(delivery.idempotency_key for delivery in scene.notifier.deliveries)
        repeated = sum(number - 1 for number in calls.values())
        if on_uncertain == "retry":
            assert states[DeliveryState.UNCERTAIN] == 0, ends_at
            assert len(calls) == len(RECIPIENTS), ends_at
            assert repeated <= CLAIM, ends_at
        else:
            assert states[DeliveryState.UNCERTAIN] <= CLAIM, ends_at
            assert repeated == 0, ends_at
        # Half an hour is left for all of the points.
        scene.clock.advance(-timedelta(seconds=LEASE))
        if not mortal.ended:
            return
    pytest.fail("the worker never came to its end by itself")
