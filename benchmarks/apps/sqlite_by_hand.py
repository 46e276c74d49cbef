"""Hand-written: Starlette, the standard library's sqlite3 in the event loop, and msgspec."""

import os
import sqlite3
from datetime import datetime
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.apps.by_hand import (
    COLUMNS,
    PATH,
    page,
    page_size,
    position,
    require_caller,
    utc_now,
)

FIRST_PAGE = f"""
    WITH found AS MATERIALIZED (
        SELECT starts_at, event_id FROM calevents_audiences
        WHERE company_id = ?1 AND audience IN (?2, ?3, ?4) AND ends_at > ?5)
    SELECT {COLUMNS} FROM found
    JOIN calevents_events e ON e.company_id = ?1 AND e.id = found.event_id
    WHERE e.active
    ORDER BY found.starts_at, found.event_id LIMIT ?6"""
NEXT_PAGE = FIRST_PAGE.replace(
    "ends_at > ?5)", "ends_at > ?5 AND (starts_at, event_id) > (?7, ?8))"
)

connection = sqlite3.connect(
    os.environ["DATABASE_URL"].partition(":///")[2], isolation_level=None, cached_statements=128
)
decode = msgspec.json.decode
fromisoformat = datetime.fromisoformat


async def list_events(request: Request) -> Response:
    """A user's active view."""
    who = require_caller(request)
    limit, after = page_size(request), position(request)
    now = utc_now()
    arguments = [
        who.company_id, "*", f"c:{who.country}", f"u:{who.user_id}", text(now), limit + 1,
    ]  # fmt: skip
    if after is None:
        rows = connection.execute(FIRST_PAGE, arguments).fetchall()
    else:
        rows = connection.execute(NEXT_PAGE, [*arguments, text(after[0]), after[1]]).fetchall()
    return page(request, [converted(row) for row in rows], limit, now)


def text(instant: datetime) -> str:
    """An instant as it is stored: text in UTC, without its zone."""
    return instant.replace(tzinfo=None).isoformat(" ", "microseconds")


def converted(row: tuple[Any, ...]) -> list[Any]:
    """Python values in the place of SQLite's."""
    values = list(row)
    values[8] = fromisoformat(f"{row[8]}+00:00")
    values[9] = fromisoformat(f"{row[9]}+00:00")
    values[12] = bool(row[12])
    values[13] = row[13] and decode(row[13])
    values[15] = row[15] and fromisoformat(f"{row[15]}+00:00")
    return values


app = Starlette(routes=[Route(PATH, list_events)])
