"""Events to rows and back."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json import dumps, loads
from typing import Any

from sqlalchemy import Table, Text, cast
from sqlalchemy.sql.expression import ColumnElement

from calevents.event import Event, Image
from calevents.representation import document, image_documents

__all__ = [
    "COLUMNS",
    "SHOWN",
    "columns_of",
    "event_from_json",
    "event_to_json",
    "from_row",
    "represent_row",
    "to_row",
]

SHOWN = (
    "id",
    "company_id",
    "user_id",
    "title",
    "description",
    "url",
    "venue",
    "color",
    "starts_at",
    "ends_at",
    "time_zone",
    "canonical_time_zone",
    "active",
    "images",
    "countries",
    "notification_sent_at",
)
"""The columns that an event's representation is made of."""

COLUMNS = (
    *SHOWN,
    "personal",
    "start_wall",
    "end_wall",
    "version",
    "created_at",
    "updated_at",
)
"""All columns of an event."""

_START, _END = SHOWN.index("starts_at"), SHOWN.index("ends_at")
_IMAGES, _COUNTRIES = SHOWN.index("images"), SHOWN.index("countries")
_INSTANTS = ("starts_at", "ends_at", "notification_sent_at", "created_at", "updated_at")
_TIMES = (*_INSTANTS, "start_wall", "end_wall")


def columns_of(events: Table, names: Sequence[str] = COLUMNS) -> list[ColumnElement[Any]]:
    """The columns to select for :func:`from_row`, or, of ``SHOWN``, for :func:`represent_row`.

    The images come as text, to be decoded here alone: drivers decode JSON each in its own way.
    """
    return [
        cast(events.c.images, Text).label("images") if name == "images" else events.c[name]
        for name in names
    ]


def from_row(row: Sequence[Any]) -> Event:
    """The event in a row of :func:`columns_of`."""
    return Event(
        id=row[0],
        company_id=row[1],
        user_id=row[2],
        title=row[3],
        description=row[4],
        url=row[5],
        venue=row[6],
        color=row[7],
        start=_aware(row[8]),
        end=_aware(row[9]),
        time_zone=row[10],
        canonical_time_zone=row[11],
        active=row[12],
        images=() if row[13] is None else _images(row[13]),
        countries=tuple(row[14].split()),
        notification_sent_at=row[15],
        personal=row[16],
        start_wall=row[17],
        end_wall=row[18],
        version=row[19],
        created_at=row[20],
        updated_at=row[21],
    )


def represent_row(row: Sequence[Any], now: datetime) -> dict[str, Any]:
    """What ``represent_natively`` gives for the event in a row of the ``SHOWN`` columns."""
    shown = list(row)
    shown[_START], shown[_END] = _aware(shown[_START]), _aware(shown[_END])
    images = shown[_IMAGES]
    shown[_IMAGES] = () if images is None else _image_documents(images)
    shown[_COUNTRIES] = shown[_COUNTRIES].split()
    return document(now, *shown)


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


# The members of a company read the same events again and again: what was decoded from a text is
# kept for the next time. It follows from the text alone, so it can't be out of date.
@lru_cache(maxsize=4096)
def _images(text: str) -> tuple[Image, ...]:
    return tuple(
        [
            Image(id=image_id, position=position, mini=mini, detail=detail, full=full)
            for image_id, position, mini, detail, full in loads(text)
        ]
    )


@lru_cache(maxsize=4096)
def _image_documents(text: str) -> Sequence[dict[str, Any]]:
    return image_documents(_images(text))
