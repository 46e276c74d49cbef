"""Serves the demo on this machine, fills it, and says where it is."""

import asyncio
import errno
import os
import signal
import socket
from contextlib import AsyncExitStack
from datetime import UTC, datetime

import httpx2
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine
from starlette.applications import Starlette

from calevents import CalendarError
from calevents.adapters.sqlalchemy import Database
from examples.company_calendar.app import FRONT_END, create_host
from examples.company_calendar.inbox import Inbox
from examples.company_calendar.members import ADMINISTRATORS, USERS
from examples.company_calendar.seed import SeedingFailed, seed
from examples.company_calendar.settings import HOST, BadSetting, Settings

__all__ = ["main"]

_out = Console(highlight=False, soft_wrap=True)
_errors = Console(highlight=False, soft_wrap=True, stderr=True)


def main() -> int:
    """Serve until SIGINT or SIGTERM. The answer is the process's exit status."""
    _reach_this_machine_directly()
    try:
        settings = Settings.read(os.environ)
        listener = _listen(settings.port)
    except BadSetting as error:
        return _fail(str(error))
    # The server has its own handlers while it serves, and raises what it caught once it has
    # ended; by then there is nothing left to do.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    with listener:
        return asyncio.run(_serve(settings, listener))


async def _serve(settings: Settings, listener: socket.socket) -> int:
    address = f"http://{HOST}:{listener.getsockname()[1]}"
    async with AsyncExitStack() as stack:
        # The host's own tables and the calendar's may be anywhere; here they share a database.
        engine = create_async_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        url = settings.database_url.render_as_string(hide_password=False)
        database = await stack.enter_async_context(Database(url))
        inbox = Inbox(engine)
        try:
            await database.create_tables()
            await inbox.create_table()
        except (CalendarError, SQLAlchemyError) as error:
            shown = settings.database_url.render_as_string(hide_password=True)
            return _fail(f"DATABASE_URL={shown} can't be used: {error.__cause__ or error}")
        server = _Server(create_host(database, inbox, port=listener.getsockname()[1]))
        _introduce(address, settings)
        seeding = asyncio.create_task(_seed(server, address)) if settings.seed else None
        try:
            await server.serve(sockets=[listener])
        finally:
            if seeding is not None:
                seeding.cancel()
                await asyncio.wait([seeding])
        return 0 if server.started else 1


class _Server(uvicorn.Server):
    """Uvicorn, as part of a program that says by itself what is going on."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=2)
        )
        self.accepting = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and let it be known."""
        await super().startup(sockets)
        self.accepting.set()


async def _seed(server: _Server, address: str) -> None:
    await server.accepting.wait()
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_out,
    )
    try:
        async with httpx2.AsyncClient(base_url=address, timeout=30, trust_env=False) as client:
            with bar:
                task = bar.add_task("Filling the calendar", total=None)
                await seed(
                    client,
                    datetime.now(UTC),
                    lambda done, total: bar.update(task, completed=done, total=total),
                )
    except SeedingFailed as error:
        if not server.should_exit:
            _errors.print(f"The calendar could not be filled: {error}", markup=False)
    else:
        _out.print("The calendar is filled.")


def _introduce(address: str, settings: Settings) -> None:
    user, administrator = USERS[0], ADMINISTRATORS[0]
    lines = [
        f"The company calendar is at {address}/ (Ctrl-C stops it)",
        f"Its events are in {settings.database_url.render_as_string(hide_password=True)}",
        "",
        "Bearer tokens",
        *(
            f"  {known.token:<20} company {known.company_id} ({known.name})"
            for known in ADMINISTRATORS
        ),
        *(
            f"  {known.token:<20} user {known.id} of company {known.company_id}"
            f" ({known.name}, {known.country})"
            for known in USERS
        ),
        "",
        "Try",
        f"  curl -H 'Authorization: Bearer {user.token}' \\",
        f"    '{address}/api/user/crm/v202506/events?limit=3'",
        f"  curl -H 'Authorization: Bearer {administrator.token}'"
        " -H 'Content-Type: application/json' \\",
        '    -d \'{"title": "Lunch", "start": "2030-01-31T12:00", "end": "2030-01-31T13:00",'
        ' "time_zone": "Europe/Paris"}\' \\',
        f"    {address}/api/company/crm/v202506/events",
        "",
    ]
    if not (FRONT_END / "fullcalendar").is_dir():
        lines.append("The page needs the front end's packages: make demo installs them.")
    _out.print("\n".join(lines), markup=False)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise BadSetting(
                f"Port {port} of {HOST} is in use; choose another: make demo PORT={port + 1}"
            ) from None
        raise BadSetting(f"PORT={port} can't be listened on: {error.strerror}") from None
    return listener


def _fail(text: str) -> int:
    _errors.print(text, markup=False)
    return 1


def _reach_this_machine_directly() -> None:
    """Keep the pushes, which come back to this host, away from any proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        others = os.environ.get(name)
        os.environ[name] = f"{HOST},{others}" if others else HOST
