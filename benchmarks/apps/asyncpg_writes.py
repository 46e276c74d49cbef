"""Hand-written create and patch: what a team without the library would have, over its tables.

A struct checks the body; one transaction writes the event, its audiences and its notification.
"""

import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4
from zoneinfo import available_timezones

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.apps.by_hand import COLUMNS, HOUR, encode, event_json, require_caller, utc_now

PATH = "/api/company/crm/v202506/events"
TIME_ZONES = available_timezones()
COUNTRY = re.compile("[A-Z]{2}")

Title = Annotated[str, Meta(min_length=1, max_length=255)]
Link = Annotated[str, Meta(max_length=2048, pattern="^https?://[^ ]+$")]
Instant = Annotated[datetime, Meta(tz=True)]


class ImageIn(Struct, forbid_unknown_fields=True):
    """An image of a body."""

    full: Link
    mini: Link | None = None
    detail: Link | None = None
    position: int | None = None


class EventIn(Struct, forbid_unknown_fields=True):
    """A patch; a draft must have three of its fields."""

    title: Title | UnsetType = UNSET
    start: Instant | UnsetType = UNSET
    end: Instant | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=10000)] | UnsetType | None = UNSET
    url: Link | UnsetType | None = UNSET
    venue: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    color: Annotated[str, Meta(pattern="^#[0-9A-F]{6}$")] | UnsetType | None = UNSET
    time_zone: str | UnsetType = UNSET
    active: bool | UnsetType = UNSET
    images: Annotated[list[ImageIn], Meta(max_length=20)] | UnsetType = UNSET
    countries: list[str] | UnsetType = UNSET
    user_id: Annotated[int, Meta(gt=0)] | UnsetType | None = UNSET


decode = msgspec.json.Decoder(EventIn).decode

STORED = """company_id, id, user_id, personal, title, description, url, venue, color, starts_at,
    ends_at, time_zone, canonical_time_zone, active, images, countries, version, created_at,
    updated_at"""
INSERT_EVENT = f"""
    INSERT INTO calevents_events ({STORED})
    VALUES ($1, $2, $3, false, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
        $17, $18)"""
INSERT_AUDIENCES = """
    INSERT INTO calevents_audiences (company_id, audience, starts_at, event_id, ends_at)
    SELECT $1, audience, $3, $4, $5 FROM unnest($2::text[]) AS audience"""
INSERT_NOTIFICATION = """
    INSERT INTO calevents_notifications (company_id, event_id, starts_at, state, due_at, opened)
    VALUES ($1, $2, $3, 'waiting', $4, false)
    ON CONFLICT (company_id, event_id, starts_at)
    DO UPDATE SET state = 'waiting', due_at = excluded.due_at"""
SELECT_EVENT = f"""
    SELECT {COLUMNS}, e.version, e.created_at, e.personal FROM calevents_events e
    WHERE company_id = $1 AND id = $2 AND NOT personal"""
UPDATE_EVENT = """
    UPDATE calevents_events
    SET title = $4, description = $5, url = $6, venue = $7, color = $8, starts_at = $9,
        ends_at = $10, time_zone = $11, canonical_time_zone = $12, active = $13, images = $14,
        countries = $15, notification_sent_at = $16, user_id = $17, updated_at = $18,
        version = version + 1
    WHERE company_id = $1 AND id = $2 AND version = $3"""
DELETE_AUDIENCES = """
    DELETE FROM calevents_audiences
    WHERE company_id = $1 AND audience = ANY($2::text[]) AND starts_at = $3 AND event_id = $4"""
DELETE_NOTIFICATION = """
    DELETE FROM calevents_notifications
    WHERE company_id = $1 AND event_id = $2 AND starts_at = $3 AND state = 'waiting'
        AND NOT opened"""


async def create_event(request: Request) -> Response:
    """POST of a company's event."""
    who = require_caller(request)
    body = await read(request)
    if UNSET in (body.title, body.start, body.end):
        raise HTTPException(422, "title, start and end are required")
    now = utc_now()
    number = new_id()
    row = merged([number, who.company_id, *[None] * 4, None, None, None, None, "UTC", "UTC", True,
                  None, "", None], body)  # fmt: skip
    audiences = audiences_of(row)
    async with request.app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(INSERT_EVENT, row[1], row[0], row[2], *row[3:15], 1, now, now)
        await connection.execute(INSERT_AUDIENCES, row[1], audiences, row[8], row[0], row[9])
        if row[12]:
            await connection.execute(INSERT_NOTIFICATION, row[1], row[0], row[8], row[8] - HOUR)
    headers = {"Location": f"{PATH}/{number}"}
    return shown(request, 201, row, version=1, now=now, headers=headers)


async def patch_event(request: Request) -> Response:
    """PATCH of a company's event: a JSON merge patch."""
    who = require_caller(request)
    body = await read(request)
    number = int(request.path_params["number"])
    now = utc_now()
    async with request.app.state.pool.acquire() as connection:
        found = await connection.fetchrow(SELECT_EVENT, who.company_id, number)
        if found is None:
            raise HTTPException(404)
        before, version = list(found)[:16], found["version"]
        row = merged(before, body)
        old, new = audiences_of(before), audiences_of(row)
        moved = (old, before[8], before[9], before[12]) != (new, row[8], row[9], row[12])
        if row[8] != before[8]:
            row[15] = None  # the push for another start wasn't sent
        update = (
            UPDATE_EVENT, who.company_id, number, version, *row[3:16], row[2], now,
        )  # fmt: skip
        if not moved:
            done = await connection.execute(*update)
        else:
            async with connection.transaction():
                if before[12]:
                    await connection.execute(DELETE_NOTIFICATION, row[1], number, before[8])
                if row[12]:
                    await connection.execute(
                        INSERT_NOTIFICATION, row[1], number, row[8], row[8] - HOUR
                    )
                done = await connection.execute(*update)
                await connection.execute(DELETE_AUDIENCES, row[1], old, before[8], number)
                await connection.execute(INSERT_AUDIENCES, row[1], new, row[8], number, row[9])
        if done != "UPDATE 1":
            raise HTTPException(409)
    return shown(request, 200, row, version=version + 1, now=now, headers={})


async def read(request: Request) -> EventIn:
    """The body, or 415, 413, 400, 422."""
    if request.headers.get("content-type", "").partition(";")[0] not in MEDIA_TYPES:
        raise HTTPException(415)
    body = await request.body()
    if len(body) > 65536:
        raise HTTPException(413)
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise HTTPException(422, str(error)) from None
    except msgspec.DecodeError as error:
        raise HTTPException(400, str(error)) from None


MEDIA_TYPES = ("application/json", "application/merge-patch+json")


def merged(stored: Sequence[Any], body: EventIn) -> list[Any]:
    """A row in the order of `COLUMNS` with what the body says; or 422."""
    row = list(stored)
    for index, name in FIELDS:
        value = getattr(body, name)
        if value is not UNSET:
            row[index] = value
    row[8], row[9] = row[8].astimezone(UTC), row[9].astimezone(UTC)
    if row[9] <= row[8]:
        raise HTTPException(422, "end must be after start")
    if body.time_zone is not UNSET:
        if body.time_zone not in TIME_ZONES:
            raise HTTPException(422, "time_zone is unknown")
        row[11] = body.time_zone
    if body.images is not UNSET:
        row[13] = stored_images(body.images)
    if body.countries is not UNSET:
        row[14] = stored_countries(body.countries)
    if row[14] and row[2] is not None:
        raise HTTPException(422, "an event is for one user or for countries")
    return row


def stored_images(images: Sequence[ImageIn]) -> list[list[Any]] | None:
    """Images as they are stored."""
    return [
        [new_id(), i.position or index, i.mini or i.full, i.detail or i.full, i.full]
        for index, i in enumerate(images, start=1)
    ] or None


def stored_countries(countries: Sequence[str]) -> str:
    """Countries as they are stored; or 422."""
    if not all(map(COUNTRY.fullmatch, countries)):
        raise HTTPException(422, "countries must be ISO 3166-1 alpha-2 codes")
    return f" {' '.join(countries)} " if countries else ""


FIELDS = (
    (2, "user_id"), (3, "title"), (4, "description"), (5, "url"), (6, "venue"), (7, "color"),
    (8, "start"), (9, "end"), (10, "time_zone"), (12, "active"),
)  # fmt: skip


def audiences_of(row: Sequence[Any]) -> list[str]:
    """Whom an event is for."""
    if not row[12]:
        return ["@"]
    if row[2] is not None:
        return ["@", f"u:{row[2]}"]
    return ["@", *(f"c:{code}" for code in row[14].split())] if row[14] else ["@", "*"]


_last = 0


def new_id() -> int:
    """Microseconds since 2020, or the next free one."""
    global _last  # noqa: PLW0603 - a counter
    _last = max(time.time_ns() // 1000 - 1_577_836_800_000_000, _last + 1)
    return _last


def shown(
    request: Request,
    status: int,
    row: Sequence[Any],
    *,
    version: int,
    now: datetime,
    headers: dict[str, str],
) -> Response:
    """The answer with the event."""
    event = event_json(row, now)
    headers["X-Request-Id"] = request.headers.get("x-request-id") or uuid4().hex
    headers["ETag"] = f'"{version}-{event["status"]}"'
    return Response(encode(event), status, headers, "application/json")
