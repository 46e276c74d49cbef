"""The host application: its pages, its inbox, and calevents mounted beside them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from http import HTTPStatus
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calevents import Calendar
from calevents.adapters.apprise import AppriseNotifier
from calevents.adapters.babel import BabelText
from calevents.adapters.sqlalchemy import Database
from calevents.adapters.starlette import create_app
from calevents.dispatcher import Dispatcher
from examples.company_calendar.inbox import Inbox
from examples.company_calendar.members import ADMINISTRATORS, USERS, authenticate, directory
from examples.company_calendar.settings import HOST

__all__ = ["FRONT_END", "create_host"]

_FOLDER = Path(__file__).resolve().parent
_PAGES = _FOLDER / "pages"
FRONT_END = _FOLDER / "node_modules"
"""The front end's packages, once set-up has installed them."""

# Scripts and styles are files of this host, so text of an event can never become one. Images may
# be anywhere: events name them by URL.
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' http: https:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


def create_host(database: Database, inbox: Inbox, *, port: int) -> Starlette:
    """The application, over ``database``, which stays the caller's to close.

    ``port`` is the one that it is served on: pushes come back to it.
    """
    calendar = Calendar(database.repository)
    routes: list[BaseRoute] = [
        Route("/", _page),
        Route("/viewers", _viewers),
        *inbox.routes,
        Mount("/pages", StaticFiles(directory=_PAGES)),
        Mount("/packages", GZipMiddleware(StaticFiles(directory=FRONT_END, check_dir=False))),
        # The API's paths are complete, so it is mounted at the root; what is not there is a 404.
        Mount("", create_app(calendar, authenticate)),
    ]
    return Starlette(
        routes=routes,
        lifespan=_dispatching(database, port),
        middleware=[Middleware(_SecurityHeaders)],
        exception_handlers={HTTPException: _problem},
    )


def _dispatching(
    database: Database, port: int
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """Send due pushes for as long as the application lives."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        # Members' addresses are this host's own, so private hosts are fine, but no others.
        notifier = AppriseNotifier(
            schemas={"json"},
            allow_private_hosts=True,
            allowed_hosts=lambda host: host == HOST,
            deadline=5.0,
        )
        dispatcher = Dispatcher(
            database.ledger,
            directory(port),
            notifier,
            text=BabelText(),
            poll_interval=1.0,
            grace=1.0,
        )
        async with notifier, dispatcher:
            yield

    return lifespan


async def _page(_request: Request) -> Response:
    return FileResponse(_PAGES / "index.html")


async def _viewers(_request: Request) -> Response:
    """Everybody whom the page can show the calendar of, with their tokens: it is a demo."""
    companies = [
        {
            "id": administrator.company_id,
            "name": administrator.name,
            "token": administrator.token,
            "time_zone": administrator.time_zone,
            "locale": administrator.locale,
            "users": [
                {
                    "id": user.id,
                    "name": user.name,
                    "token": user.token,
                    "country": user.country,
                    "time_zone": user.time_zone,
                    "locale": user.locale,
                }
                for user in USERS
                if user.company_id == administrator.company_id
            ],
        }
        for administrator in ADMINISTRATORS
    ]
    return JSONResponse({"companies": companies})


async def _problem(request: Request, error: Exception) -> Response:
    """The host's own errors, in the API's form."""
    assert isinstance(error, HTTPException)
    return JSONResponse(
        {
            "type": "about:blank",
            "title": HTTPStatus(error.status_code).phrase,
            "status": error.status_code,
            "detail": error.detail,
            "instance": request.url.path,
        },
        error.status_code,
        error.headers,
        media_type="application/problem+json",
    )


class _SecurityHeaders:
    """Puts the headers on every answer that keep a browser from running what isn't ours."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
                headers["Referrer-Policy"] = "no-referrer"
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)
