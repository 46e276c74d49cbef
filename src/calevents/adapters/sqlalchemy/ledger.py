"""The notification ledger in the database.

Rows are locked in one order, notification before event before deliveries, so that no two
transactions wait for each other in a circle; batches are never waited for (``SKIP LOCKED``). On
SQLite every transaction holds the one write lock from its beginning, and row locks are no-ops.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    StaticPool,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from calevents.adapters.sqlalchemy.deliveries import Deliveries
from calevents.adapters.sqlalchemy.dialects import current_instant
from calevents.adapters.sqlalchemy.notifications import CLAIMABLE, Notifications, is_of
from calevents.adapters.sqlalchemy.statements import DeliveryStatements
from calevents.adapters.sqlalchemy.tables import Instant
from calevents.event import Event
from calevents.ledger import (
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
    explanation,
    visibility,
)
from calevents.notification import Recipient
from calevents.ports import Clock, LeaseRenewal

if TYPE_CHECKING:
    from calevents.adapters.sqlalchemy.database import Database

__all__ = ["SQLAlchemyLedger"]

_RESOLVABLE = (NotificationState.WAITING, NotificationState.RESOLVING)
_CLOSED = (NotificationState.SENT, NotificationState.EXPIRED, NotificationState.CANCELLED)


class SQLAlchemyLedger:
    """A :class:`~calevents.ports.NotificationLedger` over a :class:`Database`.

    ``clock`` stands in for the database's own clock; for tests alone, since the clocks of several
    machines never agree.
    """

    def __init__(self, database: "Database", *, clock: Clock | None = None) -> None:
        self.database = database
        self._clock = clock
        tables = database.tables
        self._events = tables.events
        self._notifications = tables.notifications
        self._deliveries = tables.deliveries
        self._batches = tables.batches
        self._now: ColumnElement[datetime] = (
            current_instant(database.dialect)
            if clock is None
            else bindparam("now", callable_=clock, type_=Instant)
        )
        self._select_now = select(self._now)
        dialect = database.engine.dialect
        self._rows = Notifications(tables, dialect, self._now, clock)
        self._statements = DeliveryStatements(tables, dialect)

    # What there is to do

    async def due(self, *, after: Due | None = None, limit: int) -> Sequence[Due]:
        """See :meth:`calevents.ports.NotificationLedger.due`."""
        columns = self._notifications.c
        batches = exists().where(
            self._batches.c.company_id == columns.company_id,
            self._batches.c.event_id == columns.event_id,
            self._batches.c.starts_at == columns.starts_at,
        )
        order = (columns.due_at, columns.company_id, columns.event_id, columns.starts_at)
        now = self._now
        query = (
            select(
                *order,
                columns.state,
                columns.opened,
                or_(columns.lease_until.is_(None), columns.lease_until <= now),
                columns.starts_at <= now,
                batches.where(self._batches.c.available_at <= now),
                batches,
            )
            .where(columns.due_at <= now)
            .order_by(*order)
            .limit(limit)
        )
        if after is not None:
            key = after.key
            last = (after.since, key.company_id, key.event_id, key.start)
            query = query.where(
                columns.due_at >= after.since,
                tuple_(*order)
                > tuple_(*(literal(v, c.type) for v, c in zip(last, order, strict=True))),
            )
        async with self.database.reading() as connection:
            return [_due(row) for row in await connection.execute(query)]

    async def expire_missed(self, *, limit: int) -> int:
        """See :meth:`calevents.ports.NotificationLedger.expire_missed`."""
        columns = self._notifications.c
        key = (columns.company_id, columns.event_id, columns.starts_at)
        now = self._now
        missed = and_(
            columns.due_at <= now,
            columns.starts_at <= now,
            columns.state == NotificationState.WAITING,
            columns.opened.is_(False),
        )
        async with self.database.transaction() as connection:
            chosen = await connection.execute(
                select(*key).where(missed).limit(limit).with_for_update(skip_locked=True)
            )
            keys = [tuple(row) for row in chosen]
            if keys:
                await connection.execute(
                    update(self._notifications)
                    .where(tuple_(*key).in_(keys))
                    .values(state=NotificationState.EXPIRED, due_at=None)
                )
        return len(keys)

    # Recipients

    async def begin(self, key: NotificationKey, *, token: str, lease: float) -> Resolution | None:
        """See :meth:`calevents.ports.NotificationLedger.begin`."""
        async with self.database.transaction() as connection:
            found = await self._rows.lock(connection, key)
            if found is None or found.state not in _RESOLVABLE or found.leased:
                return None
            event = found.event
            if event is None or (found.passed and not found.opened):
                return None
            await self._rows.set(
                connection,
                key,
                state=NotificationState.RESOLVING,
                opened=True,
                token=token,
                lease_until=found.now + timedelta(seconds=lease),
            )
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
        key = resolution.key
        last = recipients[-1].id
        async with self.database.transaction() as connection:
            found = await self._rows.lock(connection, key)
            if found is None or found.token != resolution.token:
                return None
            deliveries = self._deliveries_of(connection, key, found.now)
            await deliveries.add(resolution.event, recipients, batch_size, passed=found.passed)
            await self._rows.set(
                connection,
                key,
                after_id=last,
                lease_until=found.now + timedelta(seconds=lease),
            )
            waiting = await deliveries.waiting()
        return Resolution(key, resolution.token, resolution.event, last, waiting)

    async def resolved(self, resolution: Resolution) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.resolved`."""
        async with self.database.transaction() as connection:
            found = await self._rows.lock(connection, resolution.key)
            if found is None or found.token != resolution.token:
                return False
            await self._rows.set(
                connection,
                resolution.key,
                state=NotificationState.SENDING,
                token=None,
                lease_until=None,
            )
            return True

    async def suspend(self, resolution: Resolution) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.suspend`."""
        table, columns = self._notifications, self._notifications.c
        statement = (
            update(table)
            .where(is_of(table, resolution.key), columns.token == resolution.token)
            .values(token=None, lease_until=None)
        )
        async with self.database.transaction() as connection:
            return bool((await connection.execute(statement)).rowcount)

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
        while True:
            async with self.database.transaction() as connection:
                found = await self._rows.find(connection, key)
                if found is None or not found.sendable or found.event is None:
                    return None
                deliveries = self._deliveries_of(connection, key, found.now)
                batches = await deliveries.available(limit)
                lapsed = [batch.id for batch in batches if batch.token is not None]
                if lapsed:
                    await deliveries.interrupt(lapsed, on_uncertain, max_attempts)
                    continue  # in a transaction of its own
                if not batches:
                    return None
                until = found.now + timedelta(seconds=lease)
                chosen = await deliveries.take(
                    batches, limit, until=until, token=token, worker=worker
                )
                rows = await deliveries.claimed(chosen)
                event, seen = found.event, _seen(found.event, rows)
                if len(seen) < len(rows):
                    # The event may have changed since, and then changed back: look again while
                    # nobody can.
                    locked = await self._rows.lock(connection, key)
                    if locked is None or locked.event is None:
                        await deliveries.release(token)
                        return None
                    event, seen = locked.event, _seen(locked.event, rows)
                    kept = set(seen)
                    await deliveries.cancel([row for row, _ in rows if row not in kept])
                if not seen:
                    await deliveries.remove(chosen)
                return Claim(key, token, event, found.now, seen)

    async def renew(self, key: NotificationKey, token: str, *, lease: float) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.renew`."""
        async with self.database.reading() as connection:
            now = await self._time(connection)
            renewed = await connection.execute(
                update(self._batches)
                .where(is_of(self._batches, key), self._batches.c.token == token)
                .values(available_at=now + timedelta(seconds=lease))
            )
            return bool(renewed.rowcount)

    async def release(self, key: NotificationKey, token: str) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.release`."""
        async with self.database.transaction() as connection:
            now = await self._time(connection)
            return await self._deliveries_of(connection, key, now).release(token)

    async def settle(self, claim: Claim, settlements: Sequence[Settlement]) -> bool:
        """See :meth:`calevents.ports.NotificationLedger.settle`."""
        async with self.database.transaction() as connection:
            now = await self._time(connection)
            deliveries = self._deliveries_of(connection, claim.key, now)
            held = await deliveries.let_go(claim.token)
            if held:
                await deliveries.settle(held, claim.deliveries, settlements)
            return bool(held)

    async def sweep(self, key: NotificationKey) -> Sweep:
        """See :meth:`calevents.ports.NotificationLedger.sweep`."""
        async with self.database.transaction() as connection:
            # Not locked at first: while recipients are recorded there is nothing to clear up, and
            # whoever records them holds the lock most of the time.
            found = await self._rows.find(connection, key)
            if found is None or found.is_being_resolved:
                return Sweep()
            found = await self._rows.lock(connection, key)
            if found is None or found.state in _CLOSED:
                return Sweep()
            state = found.state
            if state is NotificationState.WAITING and found.passed and not found.opened:
                await self._rows.set(connection, key, state=NotificationState.EXPIRED, due_at=None)
                return Sweep(0, NotificationState.EXPIRED)
            if state is not NotificationState.CANCELLING and found.event is None:
                # Somebody wrote to the events without the repository.
                state = NotificationState.CANCELLING
                await self._rows.set(connection, key, state=state, token=None, lease_until=None)
            deliveries, swept = self._deliveries_of(connection, key, found.now), 0
            if state is NotificationState.CANCELLING:
                swept = await deliveries.end(DeliveryState.CANCELLED)
            elif found.passed:
                swept = await deliveries.end(DeliveryState.EXPIRED)
            left = select(exists().where(is_of(self._batches, key)))
            if (await connection.execute(left)).scalar_one():
                return Sweep(swept)
            if state is NotificationState.CANCELLING:
                closed = NotificationState.CANCELLED
            elif state is NotificationState.SENDING:
                closed = NotificationState.SENT
                await self._rows.stamp(connection, key, found.now)
            else:
                return Sweep(swept)
            await self._rows.set(connection, key, state=closed, due_at=None)
            return Sweep(swept, closed)

    # For people

    async def explain(self, company_id: int, event_id: int, recipient_id: int) -> PushExplanation:
        """See :meth:`calevents.ports.NotificationLedger.explain`."""
        notifications, events = self._notifications, self._events
        deliveries, batches = self._deliveries, self._batches
        states = (
            select(
                notifications.c.starts_at,
                notifications.c.state,
                events.c.starts_at == notifications.c.starts_at,
            )
            .join_from(
                notifications,
                events,
                and_(
                    events.c.company_id == notifications.c.company_id,
                    events.c.id == notifications.c.event_id,
                ),
                isouter=True,
            )
            .where(notifications.c.company_id == company_id, notifications.c.event_id == event_id)
        )
        claimed = exists().where(
            self._joined(batches, deliveries),
            batches.c.batch_id == deliveries.c.batch_id,
            batches.c.token.is_not(None),
            batches.c.available_at > self._now,
        )
        async with self.database.reading() as connection:
            found = (await connection.execute(states)).all()
            present = next((NotificationState(row[1]) for row in found if row[2]), None)
            query = (
                select(
                    deliveries.c.starts_at,
                    deliveries.c.channel,
                    deliveries.c.state,
                    deliveries.c.attempts,
                    deliveries.c.detail,
                    deliveries.c.created_at,
                    deliveries.c.finished_at,
                    and_(deliveries.c.state == DeliveryState.PENDING, claimed),
                )
                .where(
                    deliveries.c.company_id == company_id,
                    deliveries.c.event_id == event_id,
                    deliveries.c.starts_at.in_([row[0] for row in found]),
                    deliveries.c.recipient_id == recipient_id,
                )
                .order_by(deliveries.c.starts_at.desc(), deliveries.c.channel)
            )
            records = tuple(
                DeliveryRecord(
                    start=row[0],
                    recipient_id=recipient_id,
                    channel=row[1],
                    state=DeliveryState.CLAIMED if row[7] else DeliveryState(row[2]),
                    attempts=row[3],
                    detail=row[4],
                    created_at=row[5],
                    finished_at=row[6],
                )
                for row in await connection.execute(query)
            )
        start = next((row[0] for row in found if row[2]), None)
        return explanation(present, start, records)

    async def purge(self, before: datetime, *, limit: int) -> int:
        """See :meth:`calevents.ports.NotificationLedger.purge`."""
        notifications, deliveries = self._notifications, self._deliveries
        columns = notifications.c
        async with self.database.transaction() as connection:
            oldest = (
                select(columns.company_id, columns.event_id, columns.starts_at)
                .where(
                    columns.due_at.is_(None),
                    columns.starts_at < before,
                    columns.starts_at < self._now,
                )
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            row = (await connection.execute(oldest)).first()
            if row is None:
                return 0
            key = NotificationKey(*row)
            this = is_of(deliveries, key)
            page = (
                select(deliveries.c.recipient_id)
                .where(this)
                .order_by(deliveries.c.recipient_id)
                .offset(limit - 1)
                .limit(1)
            )
            last = (await connection.execute(page)).scalar_one_or_none()
            doomed = delete(deliveries).where(this)
            if last is not None:
                doomed = doomed.where(deliveries.c.recipient_id <= last)
            purged = (await connection.execute(doomed)).rowcount
            if last is None:
                await connection.execute(delete(notifications).where(is_of(notifications, key)))
                purged += 1
            return purged

    def detached(self) -> AbstractAsyncContextManager[LeaseRenewal] | None:
        """See :meth:`calevents.ports.NotificationLedger.detached`."""
        if isinstance(self.database.engine.pool, StaticPool):
            return None  # a database in memory has one connection, and that is the loop's
        return self._detached()

    @asynccontextmanager
    async def _detached(self) -> AsyncIterator[LeaseRenewal]:
        from calevents.adapters.sqlalchemy.database import Database

        engine, tables = self.database.engine, self.database.tables
        # The same way of connecting, whatever the host made it do, on connections of its own.
        own = create_async_engine(engine.url, pool=engine.sync_engine.pool.recreate())
        database = Database(own, schema=tables.metadata.schema, table_prefix=tables.prefix)
        try:
            yield SQLAlchemyLedger(database, clock=self._clock)
        finally:
            await own.dispose()

    # Parts of statements

    async def _time(self, connection: AsyncConnection) -> datetime:
        now: datetime = (await connection.execute(self._select_now)).scalar_one()
        return now

    def _deliveries_of(
        self, connection: AsyncConnection, key: NotificationKey, now: datetime
    ) -> Deliveries:
        return Deliveries(connection, self.database.tables, self._statements, key, now)

    @staticmethod
    def _joined(left: Table | FromClause, right: Table) -> ColumnElement[bool]:
        return and_(
            left.c.company_id == right.c.company_id,
            left.c.event_id == right.c.event_id,
            left.c.starts_at == right.c.starts_at,
        )


def _seen(
    event: Event, rows: Sequence[tuple[ClaimedDelivery, str | None]]
) -> list[ClaimedDelivery]:
    """Those whom the event is for."""
    visible = visibility(event)
    return [delivery for delivery, country in rows if visible(delivery.recipient_id, country)]


def _due(row: Any) -> Due:
    since, company_id, event_id, start, state, opened, free, passed, ready, filled = row
    return Due(
        NotificationKey(company_id, event_id, start),
        since,
        resolvable=state in _RESOLVABLE and bool(free) and bool(opened or not passed),
        claimable=state in CLAIMABLE and bool(ready) and not passed,
        sweepable=bool(passed)
        or state == NotificationState.CANCELLING
        or (state == NotificationState.SENDING and not filled),
        resolving=state == NotificationState.RESOLVING and not free,
    )
