"""What the hand-written endpoints of PostgreSQL and SQLite have in common.

They answer what calevents answers to well-formed requests, and no more: no problem documents, no
other filters, no audit of what is stored.
"""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from benchmarks.apps.callers import Caller, caller

HOUR = timedelta(hours=1)
PATH = "/api/user/crm/v202506/events"

# The 16 stored keys in the order of the API; the columns of every select are in this order.
COLUMNS = """e.id, e.company_id, e.user_id, e.title, e.description, e.url, e.venue, e.color,
    e.starts_at, e.ends_at, e.time_zone, e.canonical_time_zone, e.active, e.images, e.countries,
    e.notification_sent_at"""

encode = msgspec.json.Encoder().encode


def require_caller(request: Request) -> Caller:
    """Who is calling, or 401."""
    found = caller(request.headers.get("authorization", ""))
    if found is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    return found


def event_json(row: Sequence[Any], now: datetime) -> dict[str, Any]:
    """One event as the API shows it; msgspec writes the datetimes."""
    start, end = row[8], row[9]
    if now < start:
        status = "STARTING SOON" if start - now <= HOUR else None
    else:
        status = "IN PROGRESS" if now < end else "CONCLUDED"
    images = row[13] or []
    return {
        "id": row[0],
        "company_id": row[1],
        "user_id": row[2],
        "title": row[3],
        "description": row[4],
        "url": row[5],
        "venue": row[6],
        "color": row[7],
        "start": start,
        "end": end,
        "time_zone": row[10],
        "canonical_time_zone": row[11],
        "active": row[12] and now < end,
        "status": status,
        "image_url": images[0][4] if images else None,
        "images": [
            {"id": i[0], "position": i[1], "mini": i[2], "detail": i[3], "full": i[4]}
            for i in images
        ],
        "countries": row[14].split(),
        "notification_sent_at": row[15],
    }


def page_size(request: Request) -> int:
    """The `limit`, or 400."""
    try:
        limit = int(request.query_params.get("limit", "50"))
    except ValueError:
        limit = 0
    if not 1 <= limit <= 100:
        raise HTTPException(400, "limit must be an integer from 1 to 100")
    return limit


def position(request: Request) -> tuple[datetime, int] | None:
    """Start and id of the last event of the page before, or 400."""
    cursor = request.query_params.get("cursor")
    if cursor is None:
        return None
    try:
        start, number = base64.urlsafe_b64decode(cursor).decode().split("|")
        return datetime.fromisoformat(start), int(number)
    except ValueError:
        raise HTTPException(400, "the cursor is broken") from None


def page(request: Request, rows: Sequence[Sequence[Any]], limit: int, now: datetime) -> Response:
    """The answer for `rows`, of which there may be one more than fits."""
    request_id = request.headers.get("x-request-id") or uuid4().hex
    headers = {"X-Request-Id": request_id}
    cursor = None
    if len(rows) > limit:
        rows = rows[:limit]
        last = rows[-1]
        cursor = base64.urlsafe_b64encode(f"{last[8].isoformat()}|{last[0]}".encode()).decode()
        query = urlencode({**request.query_params, "cursor": cursor})
        headers["Link"] = f'<{request.url.path}?{query}>; rel="next"'
    body = encode(
        {
            "events": [event_json(row, now) for row in rows],
            "meta": {"request_id": request_id, "timestamp": now, "next_cursor": cursor},
        }
    )
    return Response(body, media_type="application/json", headers=headers)


def utc_now() -> datetime:
    """The clock."""
    return datetime.now(UTC)
