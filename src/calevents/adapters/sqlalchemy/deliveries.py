"""Deliveries and their batches: what a transaction of the ledger does to those of one notification.

Set-based throughout: a claim and a result are each a few statements, however many the recipients.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Table,
    and_,
    case,
    insert,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.dialects import given_values
from calevents.adapters.sqlalchemy.notifications import is_of
from calevents.adapters.sqlalchemy.prepared import Prepared, driver_of
from calevents.adapters.sqlalchemy.statements import (
    PAGE_COLUMNS,
    SETTLED_COLUMNS,
    DeliveryStatements,
    deliveries_of,
    key_values,
)
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.event import Event
from calevents.identifiers import new_id
from calevents.ledger import (
    INTERRUPTED,
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


class Batch:
    """A batch that this transaction has locked."""

    def __init__(self, row: Any) -> None:
        self.id: int = row[0]
        self.size: int = row[1]
        self.token: str | None = row[2]


class Deliveries:
    """The deliveries of one notification, within one transaction that began at ``now``."""

    def __init__(
        self,
        connection: AsyncConnection,
        tables: Tables,
        statements: DeliveryStatements,
        key: NotificationKey,
        now: datetime,
    ) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._copies = connection.dialect.driver == "asyncpg"
        self._deliveries = tables.deliveries
        self._batches = tables.batches
        self._statements = statements
        self._key = key
        self._now = now
        self._values = {**key_values(key), "at": now}

    # Recipients

    async def add(
        self, event: Event, recipients: Sequence[Recipient], batch_size: int, *, passed: bool
    ) -> None:
        """Insert a page of recipients, and the batches that they are put into."""
        rows, sizes = _page(event, recipients, batch_size, passed=passed)
        if self._copies and await self._is_new(recipients):
            await self._copy(rows)
        else:
            given = given_values(self._dialect, PAGE_COLUMNS, rows)
            await self._run(self._statements.insert_page, **given)
        await self._insert_batches(dict.fromkeys(sizes, self._now), sizes)

    async def _is_new(self, recipients: Sequence[Recipient]) -> bool:
        """Whether no delivery to any of them can exist, nor come to exist in this transaction.

        Deliveries are added under the notification's lock alone.
        """
        if not all(one.id < following.id for one, following in pairwise(recipients)):
            return False
        last = await self._run(self._statements.last_recipient)
        return not last or last[0][0] < recipients[0].id

    async def _copy(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert deliveries of which none exists: COPY knows no conflicts, and costs half."""
        table, key, now = self._deliveries, self._key, self._now
        fixed = {
            "company_id": key.company_id,
            "event_id": key.event_id,
            "starts_at": key.start,
            "attempts": 0,
            "doubtful": False,
            "created_at": now,
        }
        alike, state = tuple(fixed.values()), [*PAGE_COLUMNS].index("state")
        await driver_of(self._connection).copy_records_to_table(
            table.name,
            schema_name=table.schema,
            columns=[*fixed, "finished_at", *PAGE_COLUMNS],
            records=[(*alike, None if row[state] is _PENDING else now, *row) for row in rows],
        )

    async def waiting(self) -> int:
        """How many batches anybody may claim, up to :data:`MOST_COUNTED`."""
        ((count,),) = await self._run(self._statements.waiting)
        return int(count)

    # Claims

    async def available(self, limit: int) -> list[Batch]:
        """Batches that anybody may claim, locked: one, or several if it holds less than ``limit``.

        What is locked is hidden from everybody else, who may then find nothing to claim.
        """
        for most in (1, _MOST_BATCHES):
            rows = await self._run(self._statements.available, most=most)
            batches = [Batch(row) for row in rows]
            if not batches or batches[0].size >= limit:
                break
        return batches

    async def take(
        self, batches: Sequence[Batch], limit: int, *, until: datetime, token: str, worker: str
    ) -> list[int]:
        """Write down who has the first of ``batches`` in hand, and until when."""
        claim = {"token": token, "worker": worker}
        if batches[0].size > limit:
            return [await self._split(batches[0], limit, until, claim)]
        chosen = _within(batches, limit)
        await self._run_on(chosen, self._statements.take, until=until, **claim)
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
        rows = await self._run_on(batches, self._statements.claimed)
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
        await self._run_on(batches, self._statements.remove)

    async def release(self, token: str) -> bool:
        """Make the batches of a claim available again; say whether there were any."""
        freed = await self._connection.execute(
            update(self._batches)
            .where(is_of(self._batches, self._key), self._batches.c.token == token)
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
        return {row[0] for row in await self._run(self._statements.let_go, token=token)}

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
            await self._run_on(
                sorted(held),
                self._statements.settle_alike,
                state=settlement.state,
                doubtful=settlement.doubtful,
                detail=settlement.detail,
            )
        else:
            await self._settle_each(pairs)

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
        if rows:
            given = given_values(self._dialect, SETTLED_COLUMNS, rows)
            await self._run(self._statements.settle_each, counted=attempts, **given)

    # Ends

    async def end(self, state: DeliveryState) -> int:
        """Bring batches that nobody has in hand to their end, without another attempt."""
        columns, deliveries = self._batches.c, self._deliveries
        free = or_(columns.token.is_(None), columns.available_at <= self._now)
        query = (
            select(columns.batch_id, columns.size, columns.token)
            .where(is_of(self._batches, self._key), free)
            .order_by(columns.available_at, columns.batch_id)
            .limit(_MOST_BATCHES)
            .with_for_update(skip_locked=True)
        )
        batches = [Batch(row) for row in await self._connection.execute(query)]
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

    async def _run(self, statement: Prepared, **values: object) -> Sequence[Sequence[Any]]:
        return await statement.rows(self._connection, {**self._values, **values})

    async def _run_on(
        self, batches: Sequence[int], statement: Prepared, **values: object
    ) -> Sequence[Sequence[Any]]:
        """Run a statement over ``batches``."""
        if self._dialect == "postgresql":
            return await self._run(statement, batches=list(batches), **values)
        each = [await self._run(statement, batches=batch_id, **values) for batch_id in batches]
        return [row for rows in each for row in rows]

    def _these(self, table: Table, batches: Sequence[int]) -> ColumnElement[bool]:
        in_batches = table.c.batch_id.in_(batches)
        if table is self._batches:
            return and_(is_of(table, self._key), in_batches)
        key = (self._key.company_id, self._key.event_id, self._key.start)
        return deliveries_of(self._dialect, table, key, in_batches)

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
