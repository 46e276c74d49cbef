"""Hand-written: Starlette, asyncpg and msgspec, with the SQL that calevents sends."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.apps.asyncpg_writes import PATH as COMPANY_PATH
from benchmarks.apps.asyncpg_writes import create_event, patch_event
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
        WHERE company_id = $1 AND audience IN ($2, $3, $4) AND ends_at > $5)
    SELECT {COLUMNS} FROM found
    JOIN calevents_events e ON e.company_id = $1 AND e.id = found.event_id
    WHERE e.active
    ORDER BY found.starts_at, found.event_id LIMIT $6"""
NEXT_PAGE = FIRST_PAGE.replace(
    "ends_at > $5)", "ends_at > $5 AND (starts_at, event_id) > ($7, $8))"
)


async def list_events(request: Request) -> Response:
    """A user's active view."""
    who = require_caller(request)
    limit, after = page_size(request), position(request)
    now = utc_now()
    arguments = [
        who.company_id, "*", f"c:{who.country}", f"u:{who.user_id}", now, limit + 1,
    ]  # fmt: skip
    async with request.app.state.pool.acquire() as connection:
        if after is None:
            rows = await connection.fetch(FIRST_PAGE, *arguments)
        else:
            rows = await connection.fetch(NEXT_PAGE, *arguments, *after)
    return page(request, rows, limit, now)


async def prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Read and write JSONB as Python values."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: msgspec.json.encode(value).decode(),
        decoder=msgspec.json.decode,
    )


async def leave(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Put a connection back as it is: nothing here changes its state."""


@asynccontextmanager
async def lifespan(application: Starlette) -> AsyncIterator[None]:
    """Open the pool with the application and close it with it."""
    url = os.environ["DATABASE_URL"].replace("+asyncpg", "")
    # As asyncpg has it, a connection is reset when it comes back to the pool: a round trip.
    reset = None if os.environ.get("RESET", "1") == "1" else leave
    async with asyncpg.create_pool(url, init=prepare, reset=reset) as pool:
        application.state.pool = pool
        yield


app = Starlette(
    routes=[
        Route(PATH, list_events),
        Route(COMPANY_PATH, create_event, methods=["POST"]),
        Route(COMPANY_PATH + "/{number:int}", patch_event, methods=["PATCH"]),
    ],
    lifespan=lifespan,
)
