"""Deliveries and their batches: what a transaction of the ledger does to those of one notification.

Set-based throughout: a claim and a result are each a few statements, however many the recipients.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Integer,
    Interval,
    String,
    Table,
    Text,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from calevents.adapters.sqlalchemy.dialects import given_rows, given_values, insert_into
from calevents.adapters.sqlalchemy.notifications import is_of
from calevents.adapters.sqlalchemy.tables import Instant, Tables
from calevents.event import Event
from calevents.identifiers import new_id
from calevents.ledger import (
    INTERRUPTED,
    MOST_COUNTED,
    NOT_A_RECIPIENT,
    NOT_A_RECIPIENT_NOW,
    ClaimedDelivery,
    DeliveryState,
    NotificationKey,
    OnUncertain,
    Settlement,
    channels_of,
    visibility,
)
from calevents.notification import Recipient

__all__ = ["Batch", "Deliveries"]

_MOST_BATCHES = 64
"""Batches that one transaction takes up at most."""

_MOST_ENDED = 5_000
"""Deliveries that one transaction expires or cancels at most, unless one batch holds more."""

_PENDING = DeliveryState.PENDING

_PAGE_COLUMNS: dict[str, TypeEngine[Any]] = {
    "recipient_id": BigInteger(),
    "channel": String(),
    "batch_id": BigInteger(),
    "state": String(),
    "address": Text(),
    "locale": String(),
    "time_zone": String(),
    "country": String(),
    "detail": Text(),
}
_SETTLED_COLUMNS: dict[str, TypeEngine[Any]] = {
    "recipient_id": BigInteger(),
    "channel": String(),
    "batch_id": BigInteger(),
    "state": String(),
    "detail": Text(),
    "doubtful": Boolean(),
}


class Batch:
    """A batch that this transaction has locked."""

    def __init__(self, row: Any) -> None:
        self.id: int = row[0]
        self.size: int = row[1]
        self.token: str | None = row[2]


class Deliveries:
    """The deliveries of one notification, within one transaction that began at ``now``."""

    def __init__(
        self, connection: AsyncConnection, tables: Tables, key: NotificationKey, now: datetime
    ) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._deliveries = tables.deliveries
        self._batches = tables.batches
        self._key = key
        self._now = now

    # Recipients

    async def add(
        self, event: Event, recipients: Sequence[Recipient], batch_size: int, *, passed: bool
    ) -> None:
        """Insert a page of recipients, and the batches that they are put into."""
        rows, sizes = _page(event, recipients, batch_size, passed=passed)
        statement = self._insert_page()
        await self._connection.execute(statement, given_values(self._dialect, _PAGE_COLUMNS, rows))
        await self._insert_batches(dict.fromkeys(sizes, self._now), sizes)

    def _insert_page(self) -> Any:
        key, deliveries = self._key, self._deliveries
        given = given_rows(self._dialect, _PAGE_COLUMNS)
        now = literal(self._now, Instant)
        fixed: dict[str, ColumnElement[Any]] = {
            "company_id": literal(key.company_id, BigInteger),
            "event_id": literal(key.event_id, BigInteger),
            "starts_at": literal(key.start, Instant),
            "attempts": literal(0, Integer),
            "doubtful": literal(value=False),
            "created_at": now,
            "finished_at": case((given.c.state == _PENDING, null()), else_=now),
        }
        # SQLite can't tell ON CONFLICT from a join's ON without a WHERE between them.
        rows = select(*[*fixed.values(), *given.c]).where(given.c.recipient_id.is_not(None))
        statement = insert_into(self._dialect, deliveries).from_select(
            [*fixed, *_PAGE_COLUMNS], rows
        )
        new = statement.excluded
        # What was cancelled was never sent, and comes back when its recipient does.
        return statement.on_conflict_do_update(
            index_elements=[column.name for column in deliveries.primary_key],
            set_={
                "batch_id": new.batch_id,
                "state": new.state,
                "address": new.address,
                "locale": new.locale,
                "time_zone": new.time_zone,
                "country": new.country,
                "detail": None,
                "finished_at": None,
            },
            where=and_(deliveries.c.state == DeliveryState.CANCELLED, new.state == _PENDING),
        )

    async def waiting(self) -> int:
        """How many batches anybody may claim, up to :data:`MOST_COUNTED`."""
        some = (
            select(self._batches.c.batch_id)
            .where(self._these(self._batches), self._batches.c.available_at <= self._now)
            .limit(MOST_COUNTED)
            .subquery()
        )
        counted = await self._connection.execute(select(func.count()).select_from(some))
        return int(counted.scalar_one())

    # Claims

    async def available(self, limit: int) -> list[Batch]:
        """Batches that anybody may claim, locked: one, or several if it holds less than ``limit``.

        What is locked is hidden from everybody else, who may then find nothing to claim.
        """
        when = self._batches.c.available_at <= self._now
        batches = await self._lock(when, most=1)
        if batches and batches[0].size < limit:
            batches = await self._lock(when)
        return batches

    async def _lock(self, when: ColumnElement[bool], most: int = _MOST_BATCHES) -> list[Batch]:
        """Lock batches; those that others have locked are left out, not waited for."""
        columns = self._batches.c
        query = (
            select(columns.batch_id, columns.size, columns.token)
            .where(self._these(self._batches), when)
            .order_by(columns.available_at, columns.batch_id)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        return [Batch(row) for row in await self._connection.execute(query)]

    async def take(
        self, batches: Sequence[Batch], limit: int, *, until: datetime, token: str, worker: str
    ) -> list[int]:
        """Write down who has the first of ``batches`` in hand, and until when."""
        claim = {"token": token, "worker": worker}
        if batches[0].size > limit:
            return [await self._split(batches[0], limit, until, claim)]
        chosen = _within(batches, limit)
        await self._connection.execute(
            update(self._batches)
            .where(self._these(self._batches, chosen))
            .values(available_at=until, **claim)
        )
        return chosen

    async def _split(self, batch: Batch, limit: int, until: datetime, claim: dict[str, str]) -> int:
        """Claim ``limit`` deliveries of a batch that was made for a greater claim size."""
        deliveries = self._deliveries
        order = (deliveries.c.recipient_id, deliveries.c.channel)
        pending = and_(self._these(deliveries, [batch.id]), deliveries.c.state == _PENDING)
        query = select(*order).where(pending).order_by(*order).offset(limit - 1).limit(1)
        last = (await self._connection.execute(query)).first()
        part = _new_batch_id()
        move = update(deliveries).where(pending).values(batch_id=part)
        if last is not None:
            move = move.where(tuple_(*order) <= tuple_(literal(last[0], BigInteger), last[1]))
        await self._connection.execute(move)
        await self._insert_batches({part: until}, {part: limit}, claim)
        await self._connection.execute(
            update(self._batches)
            .where(self._these(self._batches, [batch.id]))
            .values(size=batch.size - limit)
        )
        return part

    async def claimed(self, batches: Sequence[int]) -> list[tuple[ClaimedDelivery, str | None]]:
        """What is pending in ``batches``, each with the recipient's country."""
        columns = self._deliveries.c
        query = select(
            columns.recipient_id,
            columns.channel,
            columns.address,
            columns.locale,
            columns.time_zone,
            columns.attempts,
            columns.doubtful,
            columns.batch_id,
            columns.country,
        ).where(self._these(self._deliveries, batches), columns.state == _PENDING)
        rows = await self._connection.execute(query)
        return [(ClaimedDelivery._make(row[:8]), row[8]) for row in rows]

    async def cancel(self, unseen: Sequence[ClaimedDelivery]) -> None:
        """Cancel what the event isn't meant for any more."""
        rows = [
            (
                delivery.recipient_id,
                delivery.channel,
                delivery.batch_id,
                DeliveryState.UNCERTAIN if delivery.doubtful else DeliveryState.CANCELLED,
                NOT_A_RECIPIENT_NOW,
                bool(delivery.doubtful),
            )
            for delivery in unseen
        ]
        await self._write_each(rows, attempts=0)

    async def remove(self, batches: Sequence[int]) -> None:
        """Delete batches that hold nothing pending any more."""
        await self._connection.execute(
            delete(self._batches).where(self._these(self._batches, batches))
        )

    async def release(self, token: str) -> bool:
        """Make the batches of a claim available again; say whether there were any."""
        freed = await self._connection.execute(
            update(self._batches)
            .where(self._these(self._batches), self._batches.c.token == token)
            .values(token=None, worker=None, available_at=self._now)
        )
        return bool(freed.rowcount)

    async def interrupt(
        self, lapsed: Sequence[int], on_uncertain: OnUncertain, max_attempts: int
    ) -> None:
        """Account for attempts whose worker was never heard of again."""
        deliveries, batches = self._deliveries, self._batches
        ended = update(deliveries).where(
            self._these(deliveries, lapsed), deliveries.c.state == _PENDING
        )
        attempted = {"attempts": deliveries.c.attempts + 1, "doubtful": True}
        uncertain = {
            "state": DeliveryState.UNCERTAIN,
            "address": None,
            "detail": INTERRUPTED,
            "finished_at": self._now,
            **attempted,
        }
        if on_uncertain == "skip":
            await self._connection.execute(ended.values(uncertain))
            await self.remove(lapsed)
            return
        last = deliveries.c.attempts + 1 >= max_attempts
        await self._connection.execute(ended.where(last).values(uncertain))
        await self._connection.execute(ended.values(attempted))
        await self._connection.execute(
            update(batches).where(self._these(batches, lapsed)).values(token=None, worker=None)
        )

    # Results

    async def let_go(self, token: str) -> set[int]:
        """End a claim; answer which of its batches were still held."""
        batches = self._batches
        held = await self._connection.execute(
            delete(batches)
            .where(self._these(batches), batches.c.token == token)
            .returning(batches.c.batch_id)
        )
        return set(held.scalars())

    async def settle(
        self, held: set[int], deliveries: Sequence[ClaimedDelivery], settled: Sequence[Settlement]
    ) -> None:
        """Write down what became of those of ``deliveries`` that are in the batches ``held``."""
        pairs = [
            (delivery, settlement)
            for delivery, settlement in zip(deliveries, settled, strict=True)
            if delivery.batch_id in held
        ]
        alike = {settlement for _, settlement in pairs}
        if len(alike) == 1 and (settlement := alike.pop()).state is not _PENDING:
            await self._settle_alike(sorted(held), settlement)
        else:
            await self._settle_each(pairs)

    async def _settle_alike(self, held: Sequence[int], settlement: Settlement) -> None:
        deliveries = self._deliveries
        await self._connection.execute(
            update(deliveries)
            .where(self._these(deliveries, held), deliveries.c.state == _PENDING)
            .values(
                state=settlement.state,
                attempts=deliveries.c.attempts + 1,
                doubtful=settlement.doubtful,
                address=None,
                detail=settlement.detail,
                finished_at=self._now,
            )
        )

    async def _settle_each(self, pairs: Sequence[tuple[ClaimedDelivery, Settlement]]) -> None:
        """Write one statement for all of them, and one batch for each delay."""
        again: dict[float, int] = {}
        sizes: dict[int, int] = {}
        rows: list[tuple[object, ...]] = []
        for delivery, settlement in pairs:
            batch_id = delivery.batch_id
            if settlement.state is _PENDING:
                if settlement.delay not in again:
                    again[settlement.delay] = _new_batch_id()
                batch_id = again[settlement.delay]
                sizes[batch_id] = sizes.get(batch_id, 0) + 1
            rows.append(
                (
                    delivery.recipient_id,
                    delivery.channel,
                    batch_id,
                    settlement.state,
                    settlement.detail,
                    settlement.doubtful,
                )
            )
        await self._write_each(rows, attempts=1)
        available = {
            batch_id: self._now + timedelta(seconds=delay) for delay, batch_id in again.items()
        }
        await self._insert_batches(available, sizes)

    async def _write_each(self, rows: Sequence[tuple[object, ...]], *, attempts: int) -> None:
        if not rows:
            return
        deliveries = self._deliveries
        given = given_rows(self._dialect, _SETTLED_COLUMNS)
        pending = given.c.state == _PENDING
        statement = (
            update(deliveries)
            .where(
                self._these(deliveries),
                deliveries.c.recipient_id == given.c.recipient_id,
                deliveries.c.channel == given.c.channel,
                deliveries.c.state == _PENDING,
            )
            .values(
                state=given.c.state,
                batch_id=given.c.batch_id,
                attempts=deliveries.c.attempts + attempts,
                doubtful=given.c.doubtful,
                detail=given.c.detail,
                address=case((pending, deliveries.c.address), else_=null()),
                finished_at=case((pending, null()), else_=literal(self._now, Instant)),
            )
        )
        await self._connection.execute(
            statement, given_values(self._dialect, _SETTLED_COLUMNS, rows)
        )

    # Ends

    async def end(self, state: DeliveryState) -> int:
        """Bring batches that nobody has in hand to their end, without another attempt."""
        columns, deliveries = self._batches.c, self._deliveries
        batches = await self._lock(or_(columns.token.is_(None), columns.available_at <= self._now))
        if not batches:
            return 0
        chosen = _within(batches, _MOST_ENDED) or [batches[0].id]
        interrupted = deliveries.c.batch_id.in_(
            [batch.id for batch in batches if batch.token is not None]
        )
        doubtful = or_(deliveries.c.doubtful.is_(True), interrupted)
        ended = await self._connection.execute(
            update(deliveries)
            .where(self._these(deliveries, chosen), deliveries.c.state == _PENDING)
            .values(
                state=case((doubtful, DeliveryState.UNCERTAIN.value), else_=state.value),
                attempts=deliveries.c.attempts + case((interrupted, 1), else_=0),
                detail=case((interrupted, INTERRUPTED), else_=deliveries.c.detail),
                doubtful=doubtful,
                address=None,
                finished_at=self._now,
            )
        )
        await self.remove(chosen)
        return ended.rowcount

    # Parts

    def _these(self, table: Table, batches: Sequence[int] | None = None) -> ColumnElement[bool]:
        if batches is None:
            return is_of(table, self._key)
        in_batches = table.c.batch_id.in_(batches)
        if table is self._batches:
            return and_(is_of(table, self._key), in_batches)
        # A new event is unknown to PostgreSQL's statistics, and then the primary key looks as good
        # as the index of the batches: every claim would read all recipients of the event. A sum
        # can't be looked up in an index, so that the batches are, and the event is only checked.
        starts_at: ColumnElement[Any] = table.c.starts_at
        if self._dialect == "postgresql":  # which can also skip to a start within an index
            starts_at = starts_at + literal(timedelta(0), Interval)
        return and_(
            table.c.company_id == self._key.company_id,
            table.c.event_id + 0 == self._key.event_id,
            starts_at == self._key.start,
            in_batches,
        )

    async def _insert_batches(
        self,
        available: dict[int, datetime],
        sizes: dict[int, int],
        claim: dict[str, str] | None = None,
    ) -> None:
        key = self._key
        rows = [
            {
                "company_id": key.company_id,
                "event_id": key.event_id,
                "starts_at": key.start,
                "batch_id": batch_id,
                "size": sizes[batch_id],
                "available_at": available_at,
                **(claim or {}),
            }
            for batch_id, available_at in available.items()
        ]
        if rows:
            await self._connection.execute(insert(self._batches), rows)


def _within(batches: Sequence[Batch], limit: int) -> list[int]:
    """The first of ``batches`` that hold ``limit`` deliveries together."""
    chosen, total = [], 0
    for batch in batches:
        total += batch.size
        if total > limit:
            break
        chosen.append(batch.id)
    return chosen


def _page(
    event: Event, recipients: Sequence[Recipient], batch_size: int, *, passed: bool
) -> tuple[list[tuple[object, ...]], dict[int, int]]:
    """The rows of a page, and the batches that they are put into, with their sizes."""
    rows: list[tuple[object, ...]] = []
    sizes: dict[int, int] = {}
    batch_id, left = 0, 0
    visible = visibility(event)
    for recipient in recipients:
        for channel, address in channels_of(recipient):
            state, detail = _PENDING, None
            if passed:
                state = DeliveryState.EXPIRED
            elif not visible(recipient.id, recipient.country):
                state, detail = DeliveryState.CANCELLED, NOT_A_RECIPIENT
            elif not left:
                batch_id, left = _new_batch_id(), batch_size
            if state is _PENDING:
                sizes[batch_id] = sizes.get(batch_id, 0) + 1
                left -= 1
            rows.append(
                (
                    recipient.id,
                    channel,
                    batch_id,
                    state,
                    address if state is _PENDING else None,
                    recipient.locale,
                    recipient.time_zone,
                    recipient.country,
                    detail,
                )
            )
    return rows, sizes


def _new_batch_id() -> int:
    """An id that no other process draws: the time, and some luck."""
    return new_id() << 10 | secrets.randbits(10)
