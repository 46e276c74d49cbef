"""Events to rows and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from json import dumps, loads
from typing import Any

from sqlalchemy import Table, Text, cast
from sqlalchemy.sql.expression import ColumnElement

from calevents.event import Event, Image

__all__ = ["COLUMNS", "columns_of", "event_from_json", "event_to_json", "from_row", "to_row"]

# In the order of from_row's arguments.
COLUMNS = (
    "id",
    "company_id",
    "user_id",
    "personal",
    "title",
    "description",
    "url",
    "venue",
    "color",
    "starts_at",
    "ends_at",
    "start_wall",
    "end_wall",
    "time_zone",
    "canonical_time_zone",
    "active",
    "images",
    "countries",
    "notification_sent_at",
    "version",
    "created_at",
    "updated_at",
)
_INSTANTS = ("starts_at", "ends_at", "notification_sent_at", "created_at", "updated_at")
_TIMES = (*_INSTANTS, "start_wall", "end_wall")


def columns_of(events: Table) -> list[ColumnElement[Any]]:
    """The columns to select for :func:`from_row`.

    The images come as text, to be decoded here alone: drivers decode JSON each in its own way.
    """
    return [
        cast(events.c.images, Text).label("images") if name == "images" else events.c[name]
        for name in COLUMNS
    ]


def from_row(row: Sequence[Any]) -> Event:
    """The event in a row of :func:`columns_of`."""
    return Event(
        id=row[0],
        company_id=row[1],
        user_id=row[2],
        personal=row[3],
        title=row[4],
        description=row[5],
        url=row[6],
        venue=row[7],
        color=row[8],
        start=_aware(row[9]),
        end=_aware(row[10]),
        start_wall=row[11],
        end_wall=row[12],
        time_zone=row[13],
        canonical_time_zone=row[14],
        active=row[15],
        images=() if row[16] is None else _images(loads(row[16])),
        countries=tuple(row[17].split()),
        notification_sent_at=row[18],
        version=row[19],
        created_at=row[20],
        updated_at=row[21],
    )


def to_row(event: Event) -> dict[str, Any]:
    """The columns of ``event``."""
    return {
        "id": event.id,
        "company_id": event.company_id,
        "user_id": event.user_id,
        "personal": event.personal,
        "title": event.title,
        "description": event.description,
        "url": event.url,
        "venue": event.venue,
        "color": event.color,
        "starts_at": event.start,
        "ends_at": event.end,
        "start_wall": event.start_wall,
        "end_wall": event.end_wall,
        "time_zone": event.time_zone,
        "canonical_time_zone": event.canonical_time_zone,
        "active": event.active,
        "images": [
            [image.id, image.position, image.mini, image.detail, image.full]
            for image in event.images
        ]
        or None,
        "countries": f" {' '.join(event.countries)} " if event.countries else "",
        "notification_sent_at": event.notification_sent_at,
        "version": event.version,
        "created_at": event.created_at,
        "updated_at": event.updated_at,
    }


def event_to_json(event: Event) -> dict[str, Any]:
    """The whole of ``event`` as JSON can hold it."""
    row = to_row(event)
    for name in _TIMES:
        row[name] = row[name] and row[name].isoformat()
    return row


def event_from_json(document: Mapping[str, Any]) -> Event:
    """The event that :func:`event_to_json` was given."""
    row = dict(document)
    for name in _TIMES:
        row[name] = row[name] and datetime.fromisoformat(row[name])
    row["images"] = row["images"] and dumps(row["images"])
    return from_row([row[name] for name in COLUMNS])


def _aware(instant: datetime) -> datetime:
    # asyncpg answers the first and last instant of all, stored as infinities, without a zone.
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def _images(rows: Sequence[Sequence[Any]]) -> tuple[Image, ...]:
    return tuple(
        [
            Image(id=image_id, position=position, mini=mini, detail=detail, full=full)
            for image_id, position, mini, detail, full in rows
        ]
    )
