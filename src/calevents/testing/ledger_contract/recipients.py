"""Recipients: looked for once, recorded page by page."""

from calevents.event import NOTICE
from calevents.ledger import (
    MOST_COUNTED,
    DeliveryState,
    NotificationState,
)
from calevents.notification import DEFAULT_CHANNEL, Recipient
from calevents.testing.events import NOON
from calevents.testing.ledger_contract.scene import (
    AFTER_LEASE,
    AGAIN,
    TICK,
    Scene,
    SceneFixtures,
    key_of,
    people,
)

__all__ = ["RecipientsContract"]


class RecipientsContract(SceneFixtures):
    """Recipients: looked for once, recorded page by page."""

    async def test_one_resolver_at_a_time(self, scene: Scene) -> None:
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
        scene.clock.advance(AFTER_LEASE - TICK)
        assert await scene.begin(key) is None
        (listed,) = await scene.ledger.due(limit=2)
        assert (listed.resolvable, listed.resolving) == (False, True)
        scene.clock.advance(TICK)
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

    async def test_a_suspended_search_goes_on_at_once(self, scene: Scene) -> None:
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

    async def test_a_resolution_ends_when_the_event_changes(self, scene: Scene) -> None:
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

    async def test_a_resolution_survives_other_changes(self, scene: Scene) -> None:
        """A new title is no reason to begin again."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.change(event, title="Another")
        assert await scene.record(resolution, people(1)) is not None

    async def test_a_page_is_recorded_once(self, scene: Scene) -> None:
        """Even if it is read twice."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1, 2))
        await scene.record(resolution, people(1, 2, 3))
        assert await scene.ledger.resolved(resolution)
        assert sorted(await scene.send(key_of(event))) == [1, 2, 3]

    async def test_a_page_tells_what_waits_to_be_claimed(self, scene: Scene) -> None:
        """Not what is in somebody's hands, or waits for its next attempt; up to a bound."""
        event = await scene.event()
        other = await scene.begin(key_of(await scene.event()))
        resolution = await scene.begin(key_of(event))
        assert other is not None
        assert resolution is not None
        assert await scene.record(other, people(1), 1) is not None
        for page, waiting in (((1, 2, 3), 2), ((4,), 3)):
            resolution = await scene.record(resolution, people(*page), 2)
            assert resolution is not None
            assert resolution.waiting == waiting
        claim = await scene.claimed(key_of(event), limit=2)
        resolution = await scene.record(resolution, people(5), 2)
        assert resolution is not None
        assert resolution.waiting == 3
        assert await scene.ledger.settle(claim, [AGAIN] * 2)
        resolution = await scene.record(resolution, people(6), 2)
        assert resolution is not None
        assert resolution.waiting == 4
        many = people(*range(7, 7 + MOST_COUNTED))
        resolution = await scene.record(resolution, many, 1)
        assert resolution is not None
        assert resolution.waiting == MOST_COUNTED

    async def test_each_channel_is_a_delivery(self, scene: Scene) -> None:
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

    async def test_whom_the_event_is_not_for_is_never_sent_to(self, scene: Scene) -> None:
        """Whatever the directory says."""
        event = await scene.event(countries=("DE",))
        strangers = people(1) + people(2, country=None)
        key = await scene.resolve(event, [*strangers, *people(3, country="DE")])
        assert await scene.send(key) == [3]
        assert await scene.states(event, 1) == [DeliveryState.CANCELLED]
        assert await scene.states(event, 2) == [DeliveryState.CANCELLED]

    async def test_a_search_that_was_begun_is_completed(self, scene: Scene) -> None:
        """After the start the rest is recorded as expired, and the event stamped."""
        event = await scene.event()
        resolution = await scene.begin(key_of(event))
        assert resolution is not None
        await scene.record(resolution, people(1))
        scene.clock.now = NOON + AFTER_LEASE
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
