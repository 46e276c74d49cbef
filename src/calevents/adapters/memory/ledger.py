"""The notification ledger in memory: the reference."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

import attrs

from calevents.adapters.memory.repository import MemoryRepository
from calevents.event import NOTICE, Event
from calevents.ledger import (
    INTERRUPTED,
    MOST_COUNTED,
    NOT_A_RECIPIENT,
    NOT_A_RECIPIENT_NOW,
    Claim,
    ClaimedDelivery,
    DeliveryRecord,
    DeliveryState,
    Due,
    NotificationKey,
    NotificationState,
    OnUncertain,
    PushExplanation,
    Resolution,
    Settlement,
    Sweep,
    channels_of,
    explanation,
    visibility,
)
from calevents.notification import Recipient
from calevents.ports import Clock, LeaseRenewal

__all__ = ["MemoryLedger"]

_THE_BEGINNING = datetime.min.replace(tzinfo=UTC)
_MOST_SWEPT = 5_000
_RESOLVABLE = (NotificationState.WAITING, NotificationState.RESOLVING)
_CLAIMABLE = (*_RESOLVABLE, NotificationState.SENDING)


@attrs.define
class _Notification:
    state: NotificationState = NotificationState.WAITING
    opened: bool = False
    token: str | None = None
    lease_until: datetime | None = None
    after_id: int | None = None
    deliveries: "dict[tuple[int, str], _Delivery]" = attrs.field(factory=dict)
    batches: "dict[int, _Batch]" = attrs.field(factory=dict)

    @property
    def closed(self) -> bool:
        return self.state not in (*_CLAIMABLE, NotificationState.CANCELLING)


@attrs.define(kw_only=True)
class _Delivery:
    recipient: Recipient
    channel: str
    address: str | None
    created_at: datetime
    batch_id: int = 0
    state: DeliveryState = DeliveryState.PENDING
    attempts: int = 0
    doubtful: bool = False
    detail: str | None = None
    finished_at: datetime | None = None

    def end(self, state: DeliveryState, now: datetime, detail: str | None = None) -> None:
        self.state, self.finished_at, self.address = state, now, None
        self.detail = detail or self.detail


@attrs.define
class _Batch:
    available_at: datetime
    token: str | None = None
    deliveries: "list[_Delivery]" = attrs.field(factory=list)

    def add(self, batch_id: int, delivery: _Delivery) -> None:
        delivery.batch_id = batch_id
        self.deliveries.append(delivery)


class MemoryLedger:
    """A :class:`~calevents.ports.NotificationLedger` beside a :class:`MemoryRepository`.

    Like the repository it is for the tasks of one event loop.
    """

    def __init__(self, repository: MemoryRepository, *, clock: Clock | None = None) -> None:
        self._repository = repository
        self._now: Clock = clock or _utc_now
        self._notifications: dict[NotificationKey, _Notification] = {}
        self._batch_ids = count(1)
        repository.on_write.append(self._arm)

    def _arm(self, before: Event | None, after: Event | None) -> None:
        if before is not None and after is not None and _terms(before) == _terms(after):
            return
        moved = before is None or after is None or before.start != after.start
        if before is not None and before.active and (after is None or not after.active or moved):
            self._withdraw(_key(before))
        if after is not None and after.active:
            found = self._notifications.setdefault(_key(after), _Notification())
            if found.state is not NotificationState.SENT or moved:
                found.state = NotificationState.WAITING
                found.token = found.lease_until = found.after_id = None
        elif before is not None and after is not None and moved:
            forgotten = self._notifications.get(_key(after))
            if forgotten is not None and forgotten.state is NotificationState.SENT:
                forgotten.state = NotificationState.CANCELLED

    def _withdraw(self, key: NotificationKey) -> None:
        found = self._notifications.get(key)
        if found is None or found.state not in _CLAIMABLE:
            return
        if found.state is NotificationState.WAITING and not found.opened:
            del self._notifications[key]
        else:
            found.state = NotificationState.CANCELLING
            found.token = found.lease_until = None

    # What there is to do

    async def due(self, *, after: Due | None = None, limit: int) -> Sequence[Due]:
        """See :meth:`calevents.ports.NotificationLedger.due`."""
        now = self._now()
        listed = []
        for key, found in self._notifications.items():
            since = _due_at(key.start)
            if found.closed or since > now:
                continue
            passed = key.start <= now
            free = found.lease_until is None or found.lease_until <= now
            ready = any(batch.available_at <= now for batch in found.batches.values())
            listed.append(
                Due(
                    key,
                    since,
                    resolvable=found.state in _RESOLVABLE and free and (found.opened or not passed),
                    claimable=found.state in _CLAIMABLE and ready and not passed,
                    sweepable=passed
                    or found.state is NotificationState.CANCELLING
                    or (found.state is NotificationState.SENDING and not found.batches),
                    resolving=found.state is NotificationState.RESOLVING and not free,
                )
            )
        listed.sort(key=_order)
        return [due for due in listed if after is None or _order(due) > _order(after)][:limit]

    async def expire_missed(self, *, limit: int) -> int:
        """See :meth:`calevents.ports.NotificationLedger.expire_missed`."""
        now = self._now()
        missed = [
            found
            for key, found in self._notifications.items()
            if found.state is NotificationState.WAITING and not found.opened and key.start <= now
        ][:limit]
        for found in missed:
            found.state = NotificationState.EXPIRED
        return len(missed)

    # Recipients

    async def begin(self, key: NotificationKey, *, token: str, lease: float) -> Resolution | None:
        """See :meth:`calevents.ports.NotificationLedger.begin`."""
        now = self._now()
        found, event = self._notifications.get(key), self._event(key)
        if found is None or event is None or found.state not in _RESOLVABLE:
            return None
        if found.lease_until is not None and found.lease_until > now:
            return None
        if key.start <= now and not found.opened:
            return None
        found.state = NotificationState.RESOLVING
        found.opened, found.token, found.lease_until = True, token, now + timedelta(seconds=lease)
        return Resolution(key, token, event, found.after_id)

    async def record(
        self,
        resolution: Resolution,
        recipients: Sequence[Recipient],
        *,
        batch_size: int,
        lease: float,
    ) -> Resolution | None:
        """See :meth:`calevents.ports.NotificationLedger.record`."""
        key, found = resolution.key, self._held(resolution)
        if found is None:
            return None
        now = self._now()
        visible = visibility(resolution.event)
        batch_id, left = 0, 0
        for recipient in recipients:
            for channel, address in channels_of(recipient):
                known = found.deliveries.get((recipient.id, channel))
                new = _Delivery(
                    recipient=recipient, channel=channel, address=address, created_at=now
                )
                if key.start <= now:
                    new.end(DeliveryState.EXPIRED, now)
                elif not visible(recipient.id, recipient.country):
                    new.end(DeliveryState.CANCELLED, now, NOT_A_RECIPIENT)
                if known is not None:
                    if (known.state, new.state) != (DeliveryState.CANCELLED, DeliveryState.PENDING):
                        continue
                    new.attempts, new.created_at = known.attempts, known.created_at
                found.deliveries[recipient.id, channel] = new
                if new.state is DeliveryState.PENDING:
                    if not left:
                        batch_id, left = next(self._batch_ids), batch_size
                        found.batches[batch_id] = _Batch(now)
                    found.batches[batch_id].add(batch_id, new)
                    left -= 1
        found.after_id = recipients[-1].id
        found.lease_until = now + timedelta(seconds=lease)
        waiting = sum(batch.available_at <= now for batch in found.batches.values())
        return attrs.evolve(resolution, after=found.after_id, waiting=min(waiting, MOST_COUNTED))

    async def resolved(self, resolution: Resolution) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.resolved`."""
        found = self._held(resolution)
        if found is None:
            return False
        found.state = NotificationState.SENDING
        found.token = found.lease_until = None
        return True

    async def suspend(self, resolution: Resolution) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.suspend`."""
        found = self._held(resolution)
        if found is None:
            return False
        found.token = found.lease_until = None
        return True

    # Claims

    async def claim(
        self,
        key: NotificationKey,
        *,
        token: str,
        worker: str,
        limit: int,
        lease: float,
        on_uncertain: OnUncertain,
        max_attempts: int,
    ) -> Claim | None:
        """See :meth:`calevents.ports.NotificationLedger.claim`."""
        now = self._now()
        found, event = self._notifications.get(key), self._event(key)
        if found is None or event is None or found.state not in _CLAIMABLE or key.start <= now:
            return None
        for batch_id, batch in list(found.batches.items()):
            if batch.token is not None and batch.available_at <= now:
                most = 0 if on_uncertain == "skip" else max_attempts
                self._interrupt(found, batch_id, most, now)
        taken = self._take(found, limit, now, _Batch(now + timedelta(seconds=lease), token))
        if not taken:
            return None
        visible = visibility(event)
        claimed = []
        for delivery in taken:
            if visible(delivery.recipient.id, delivery.recipient.country):
                claimed.append(_claimed(delivery))
            else:
                doubtful = delivery.doubtful
                state = DeliveryState.UNCERTAIN if doubtful else DeliveryState.CANCELLED
                delivery.end(state, now, NOT_A_RECIPIENT_NOW)
        if not claimed:
            self._drop(found, token)
        return Claim(key, token, event, now, claimed)

    async def renew(self, key: NotificationKey, token: str, *, lease: float) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.renew`."""
        return self._set_available(key, token, self._now() + timedelta(seconds=lease), token)

    async def release(self, key: NotificationKey, token: str) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.release`."""
        return self._set_available(key, token, self._now(), None)

    async def settle(self, claim: Claim, settlements: Sequence[Settlement]) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.settle`."""
        found = self._notifications.get(claim.key)
        held = set() if found is None else self._drop(found, claim.token)
        if found is None or not held:
            return False
        now = self._now()
        again: dict[float, int] = {}
        for claimed, settlement in zip(claim.deliveries, settlements, strict=True):
            if claimed.batch_id not in held:
                continue
            delivery = found.deliveries[claimed.recipient_id, claimed.channel]
            delivery.attempts += 1
            delivery.doubtful, delivery.detail = settlement.doubtful, settlement.detail
            if settlement.state is not DeliveryState.PENDING:
                delivery.end(settlement.state, now)
                continue
            if settlement.delay not in again:
                again[settlement.delay] = next(self._batch_ids)
                found.batches[again[settlement.delay]] = _Batch(
                    now + timedelta(seconds=settlement.delay)
                )
            found.batches[again[settlement.delay]].add(again[settlement.delay], delivery)
        return True

    async def sweep(self, key: NotificationKey) -> Sweep:
        """See :meth:`calevents.ports.NotificationLedger.sweep`."""
        now = self._now()
        found = self._notifications.get(key)
        if found is None or found.closed:
            return Sweep()
        passed = key.start <= now
        if found.state is NotificationState.WAITING and passed and not found.opened:
            found.state = NotificationState.EXPIRED
            return Sweep(0, found.state)
        swept = 0
        if found.state is NotificationState.CANCELLING:
            swept = self._end(found, DeliveryState.CANCELLED, now)
        elif passed:
            swept = self._end(found, DeliveryState.EXPIRED, now)
        if found.batches:
            return Sweep(swept)
        if found.state is NotificationState.CANCELLING:
            found.state = NotificationState.CANCELLED
        elif found.state is NotificationState.SENDING:
            found.state = NotificationState.SENT
            self._repository.stamp(key.company_id, key.event_id, key.start, now)
        else:
            return Sweep(swept)
        return Sweep(swept, found.state)

    # For people

    async def explain(self, company_id: int, event_id: int, recipient_id: int) -> PushExplanation:
        """See :meth:`calevents.ports.NotificationLedger.explain`."""
        now = self._now()
        event = self._repository.find(company_id, event_id)
        records = []
        for key, found in self._notifications.items():
            if (key.company_id, key.event_id) != (company_id, event_id):
                continue
            for (recipient, channel), delivery in found.deliveries.items():
                if recipient == recipient_id:
                    batch = found.batches.get(delivery.batch_id)
                    claimed = (
                        delivery.state is DeliveryState.PENDING
                        and batch is not None
                        and batch.token is not None
                        and batch.available_at > now
                    )
                    records.append(
                        DeliveryRecord(
                            start=key.start,
                            recipient_id=recipient_id,
                            channel=channel,
                            state=DeliveryState.CLAIMED if claimed else delivery.state,
                            attempts=delivery.attempts,
                            detail=delivery.detail,
                            created_at=delivery.created_at,
                            finished_at=delivery.finished_at,
                        )
                    )
        records.sort(key=lambda record: record.channel)
        records.sort(key=lambda record: record.start, reverse=True)
        present = None if event is None else self._notifications.get(_key(event))
        return explanation(
            None if present is None else present.state,
            None if event is None else event.start,
            tuple(records),
        )

    async def purge(self, before: datetime, *, limit: int) -> int:
        """See :meth:`calevents.ports.NotificationLedger.purge`."""
        before = min(before, self._now())
        for key, found in self._notifications.items():
            if found.closed and key.start < before:
                doomed = sorted(found.deliveries)[:limit]
                for name in doomed:
                    del found.deliveries[name]
                if not found.deliveries:
                    del self._notifications[key]
                return len(doomed) + (not found.deliveries)
        return 0

    def detached(self) -> AbstractAsyncContextManager[LeaseRenewal] | None:
        """See :meth:`calevents.ports.NotificationLedger.detached`."""
        return self._detached()

    @asynccontextmanager
    async def _detached(self) -> AsyncIterator[LeaseRenewal]:
        # Renewing assigns to one attribute of a batch, which is safe from any thread.
        yield self

    # Parts

    def _event(self, key: NotificationKey) -> Event | None:
        event = self._repository.find(key.company_id, key.event_id)
        return event if event is not None and event.active and event.start == key.start else None

    def _held(self, resolution: Resolution) -> _Notification | None:
        found = self._notifications.get(resolution.key)
        return found if found is not None and found.token == resolution.token else None

    def _set_available(
        self, key: NotificationKey, token: str, available_at: datetime, after: str | None
    ) -> bool:
        found = self._notifications.get(key)
        batches = [] if found is None else list(found.batches.values())
        held = [batch for batch in batches if batch.token == token]
        for batch in held:
            batch.available_at, batch.token = available_at, after
        return bool(held)

    def _take(
        self, found: _Notification, limit: int, now: datetime, claimed: _Batch
    ) -> "list[_Delivery]":
        """Put what may be claimed into the batch ``claimed``."""
        ready = sorted(
            (batch.available_at, batch_id)
            for batch_id, batch in found.batches.items()
            if batch.available_at <= now
        )
        taken: list[_Delivery] = []
        for _, batch_id in ready:
            pending = list(_pending(found, batch_id))
            if taken and len(taken) + len(pending) > limit:
                break
            taken += pending[:limit]
            if len(pending) > limit:  # made for a greater claim size
                break
            del found.batches[batch_id]
        if taken:
            part = next(self._batch_ids)
            found.batches[part] = claimed
            for delivery in taken:
                claimed.add(part, delivery)
        return taken

    @staticmethod
    def _drop(found: _Notification, token: str) -> set[int]:
        held = {batch_id for batch_id, batch in found.batches.items() if batch.token == token}
        for batch_id in held:
            del found.batches[batch_id]
        return held

    @staticmethod
    def _interrupt(found: _Notification, batch_id: int, most: int, now: datetime) -> None:
        """Account for attempts whose worker was never heard of again."""
        left = False
        for delivery in _pending(found, batch_id):
            delivery.attempts += 1
            delivery.doubtful = True
            if delivery.attempts >= most:
                delivery.end(DeliveryState.UNCERTAIN, now, INTERRUPTED)
            else:
                left = True
        if left:
            found.batches[batch_id].token = None
        else:
            del found.batches[batch_id]

    @staticmethod
    def _end(found: _Notification, state: DeliveryState, now: datetime) -> int:
        """Bring batches that nobody has in hand to their end, without another attempt."""
        swept = 0
        for batch_id, batch in list(found.batches.items()):
            if batch.token is not None and batch.available_at > now:
                continue
            if swept >= _MOST_SWEPT:
                break
            for delivery in _pending(found, batch_id):
                swept += 1
                if batch.token is not None:
                    delivery.attempts += 1
                    delivery.doubtful, delivery.detail = True, INTERRUPTED
                delivery.end(DeliveryState.UNCERTAIN if delivery.doubtful else state, now)
            del found.batches[batch_id]
        return swept


def _pending(found: _Notification, batch_id: int) -> Iterator[_Delivery]:
    for delivery in found.batches[batch_id].deliveries:
        if delivery.batch_id == batch_id and delivery.state is DeliveryState.PENDING:
            yield delivery


def _claimed(delivery: _Delivery) -> ClaimedDelivery:
    return ClaimedDelivery(
        delivery.recipient.id,
        delivery.channel,
        delivery.address,
        delivery.recipient.locale,
        delivery.recipient.time_zone,
        delivery.attempts,
        delivery.doubtful,
        delivery.batch_id,
    )


def _key(event: Event) -> NotificationKey:
    return NotificationKey(event.company_id, event.id, event.start)


def _terms(event: Event) -> tuple[object, ...]:
    """What a notification depends on."""
    return event.start, event.active, event.user_id, frozenset(event.countries)


def _due_at(start: datetime) -> datetime:
    return start - NOTICE if start - _THE_BEGINNING > NOTICE else _THE_BEGINNING


def _order(due: Due) -> tuple[object, ...]:
    return due.since, due.key.company_id, due.key.event_id, due.key.start


def _utc_now() -> datetime:
    return datetime.now(UTC)
