"""A ledger to be tested, and short names for what the tests do with it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import attrs
import pytest

from calevents.audience import Company
from calevents.event import Event
from calevents.ledger import (
    Claim,
    DeliveryState,
    NotificationKey,
    NotificationState,
    OnUncertain,
    PushExplanation,
    Resolution,
    Settlement,
)
from calevents.notification import Recipient
from calevents.ports import EventRepository, NotificationLedger
from calevents.testing.clock import FixedClock
from calevents.testing.events import NOON, an_event

__all__ = [
    "AFTER_LEASE",
    "AGAIN",
    "LEASE",
    "SENT",
    "TICK",
    "LedgerStorage",
    "Scene",
    "SceneFixtures",
    "key_of",
    "people",
]

TICK = timedelta(microseconds=1)
LEASE = 60.0
AFTER_LEASE = timedelta(seconds=LEASE)
SENT = Settlement(DeliveryState.SENT)
AGAIN = Settlement(DeliveryState.PENDING, delay=10.0)


@attrs.frozen
class LedgerStorage:
    """One empty storage: the ledger, and the repository that it belongs to."""

    repository: EventRepository
    ledger: NotificationLedger


@attrs.define
class Scene:
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
        return await self.ledger.begin(key, token=self.token(), lease=LEASE)

    async def record(
        self, resolution: Resolution, recipients: Sequence[Recipient], size: int = 8
    ) -> Resolution | None:
        return await self.ledger.record(resolution, recipients, batch_size=size, lease=LEASE)

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
            lease=LEASE,
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
                assert await self.ledger.settle(claim, [SENT] * len(claim.deliveries))
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


class SceneFixtures:
    """The fixtures of every part of the contract.

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
    def scene(self, storage: LedgerStorage, clock: FixedClock) -> Scene:
        """What the tests work with."""
        return Scene(storage, clock)
