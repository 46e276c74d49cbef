"""What an event's write does to its notification, within the same transaction."""

from datetime import UTC, datetime

from sqlalchemy import and_, delete, literal, or_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from calevents.adapters.sqlalchemy.dialects import insert_into
from calevents.adapters.sqlalchemy.tables import Tables
from calevents.event import NOTICE, Event
from calevents.ledger import NotificationState

__all__ = ["arm"]

_THE_BEGINNING = datetime.min.replace(tzinfo=UTC)
_OPEN = (NotificationState.WAITING, NotificationState.RESOLVING, NotificationState.SENDING)


async def arm(
    connection: AsyncConnection, tables: Tables, before: Event | None, after: Event | None
) -> None:
    """Arm, move or cancel the notification: at most a few rows, however many the recipients.

    To be called before the event itself is written, since the ledger locks the notification first
    and the event second when it stamps.
    """
    if before is not None and after is not None and _terms(before) == _terms(after):
        return
    withdrawn = before if before is not None and before.active else None
    armed = after if after is not None and after.active else None
    if withdrawn is not None and armed is not None and withdrawn.start == armed.start:
        withdrawn = None  # meant for others now: the recipients are looked for again
    # Two writers that move an event to and fro lock its notifications in the same order.
    if withdrawn is not None and (armed is None or withdrawn.start < armed.start):
        await _withdraw(connection, tables, withdrawn)
        withdrawn = None
    if armed is not None:
        moved = before is None or before.start != armed.start
        await _arm(connection, tables, armed, moved=moved)
    if withdrawn is not None:
        await _withdraw(connection, tables, withdrawn)


def _terms(event: Event) -> tuple[object, ...]:
    """What a notification depends on."""
    return event.start, event.active, event.user_id, frozenset(event.countries)


async def _withdraw(connection: AsyncConnection, tables: Tables, event: Event) -> None:
    columns = tables.notifications.c
    this = and_(
        columns.company_id == event.company_id,
        columns.event_id == event.id,
        columns.starts_at == event.start,
    )
    # Most were never opened and leave nothing behind.
    unopened = delete(tables.notifications).where(
        this, columns.state == NotificationState.WAITING, columns.opened.is_(False)
    )
    if (await connection.execute(unopened)).rowcount == 0:
        cancelling = (
            update(tables.notifications)
            .where(this, columns.state.in_(_OPEN))
            .values(state=NotificationState.CANCELLING, token=None, lease_until=None)
        )
        await connection.execute(cancelling)


async def _arm(connection: AsyncConnection, tables: Tables, event: Event, *, moved: bool) -> None:
    table = tables.notifications
    values = {
        "state": NotificationState.WAITING,
        "due_at": due_at(event.start),
        "token": None,
        "lease_until": None,
        "after_id": None,
    }
    key = {"company_id": event.company_id, "event_id": event.id, "starts_at": event.start}
    statement = insert_into(connection.dialect.name, table).values(**key, **values, opened=False)
    # What was sent stays sent, unless the event has moved away and come back.
    anew = or_(table.c.state != NotificationState.SENT, literal(moved))
    statement = statement.on_conflict_do_update(index_elements=list(key), set_=values, where=anew)
    await connection.execute(statement)


def due_at(start: datetime) -> datetime:
    """When a notification for ``start`` becomes due."""
    return start - NOTICE if start - _THE_BEGINNING > NOTICE else _THE_BEGINNING
