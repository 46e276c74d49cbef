"""The calendar for code that isn't async: Django, Flask, Celery, scripts.

One event loop runs in a thread of its own, behind an AnyIO portal, and every thread of the process
calls into it. The calendar, its engine and their connections live in that loop. Nothing of the
calendar is written twice: the methods here are those of :class:`~calevents.calendar.Scope`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from functools import partial, update_wrapper
from inspect import signature
from threading import Condition
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, TypeVarTuple

import attrs
from anyio import NoEventLoopError
from anyio.from_thread import BlockingPortal, start_blocking_portal
from anyio.lowlevel import current_token

from calevents.audience import Company, Member, Viewer
from calevents.calendar import Calendar, Scope
from calevents.event import Event

__all__ = ["BlockingCalendar", "BlockingScope", "OpenCalendar"]

OpenCalendar = Callable[[], AbstractAsyncContextManager[Calendar]]
"""Opens a calendar, with all that it needs, for as long as the context lasts."""

_Parameters = ParamSpec("_Parameters")
_Arguments = TypeVarTuple("_Arguments")
_Answer = TypeVar("_Answer")


class BlockingCalendar:
    """A :class:`~calevents.calendar.Calendar` whose methods wait for their answer.

    ``open_calendar`` gives an async context manager. It is entered in the loop of this calendar
    when the ``with`` block or the first call of the process begins, and left in the same task by
    :meth:`close`, so what it makes belongs to one loop. Errors pass through as they are.

    Any thread may use it. So may a process that was forked from one that did: it opens a calendar
    of its own on its first call and leaves the parent's alone. A call from a running event loop,
    which it would block, raises ``RuntimeError``; there the async calendar is at hand.
    """

    def __init__(self, open_calendar: OpenCalendar) -> None:
        self._open_calendar = open_calendar
        # By process: the loop's thread isn't in a fork, and its connections aren't to be shared.
        # What a parent opened stays referenced, so that no finalizer runs on it in the child.
        self._opened: dict[int, _Opened] = {}

    def company(self, company_id: int) -> "BlockingScope":
        """See :meth:`calevents.calendar.Calendar.company`."""
        return BlockingScope(self, Company(company_id))

    def user(self, member: Member) -> "BlockingScope":
        """See :meth:`calevents.calendar.Calendar.user`."""
        return BlockingScope(self, member)

    def call(
        self, function: Callable[[*_Arguments], Awaitable[_Answer]], *args: *_Arguments
    ) -> _Answer:
        """Await ``function(*args)`` in the loop of this calendar, and answer what it answers.

        For what belongs to the same loop, such as the ledger of the database that
        ``open_calendar`` opened. An exception in the waiting thread, such as the time-out of a
        task engine, cancels it.
        """
        with self._used() as (portal, _):
            return _wait(portal, partial(function, *args))

    def close(self) -> None:
        """Wait for the calls that are under way, then close what this process opened.

        A call after it raises ``RuntimeError``.
        """
        self._of_this_process().close()

    def __enter__(self) -> Self:
        with self._used():
            return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _in_scope(self, viewer: Viewer, method: Callable[[Scope], Awaitable[_Answer]]) -> _Answer:
        with self._used() as (portal, calendar):
            return _wait(portal, partial(method, Scope(calendar, viewer)))

    @contextmanager
    def _used(self) -> Iterator[tuple[BlockingPortal, Calendar]]:
        try:
            current_token()
        except NoEventLoopError:
            pass
        else:
            raise RuntimeError(
                "BlockingCalendar would block the event loop that runs in this thread; "
                "await the methods of Calendar there"
            )
        with self._of_this_process().used() as opened:
            yield opened

    def _of_this_process(self) -> "_Opened":
        # setdefault is atomic, and no lock that another thread holds is inherited by a fork.
        return self._opened.setdefault(os.getpid(), _Opened(self._open_calendar))


def _wait(portal: BlockingPortal, function: Callable[[], Awaitable[_Answer]]) -> _Answer:
    call = _Call(function)
    try:
        return portal.call(call.run)
    except BaseException:
        call.abandon()
        raise


class _Call(Generic[_Answer]):
    """One call into the loop, which its thread may abandon whenever it is interrupted.

    Also while the portal starts it: then the portal has given no future to cancel yet.
    """

    def __init__(self, function: Callable[[], Awaitable[_Answer]]) -> None:
        self._function = function
        self._task: asyncio.Task[Any] | None = None
        self._abandoned = False

    async def run(self) -> _Answer:
        """Do it, in the loop."""
        self._task = asyncio.current_task()
        if self._abandoned:
            raise asyncio.CancelledError
        return await self._function()

    def abandon(self) -> None:
        """Cancel it, from its thread, unless it has ended."""
        self._abandoned = True
        if self._task is not None and not self._task.done():
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


class _Opened:
    """The calendar as one process has it open."""

    def __init__(self, open_calendar: OpenCalendar) -> None:
        self._open_calendar = open_calendar
        self._changed = Condition()
        self._calls = 0
        self._closed = False
        self._stack = ExitStack()
        self._opened: tuple[BlockingPortal, Calendar] | None = None

    @contextmanager
    def used(self) -> Iterator[tuple[BlockingPortal, Calendar]]:
        """The portal and the calendar, open until this ends."""
        with self._changed:
            if self._closed:
                raise RuntimeError("this BlockingCalendar is closed; make another one")
            if self._opened is None:
                self._opened = self._open()
            opened = self._opened
            self._calls += 1
        try:
            yield opened
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def close(self) -> None:
        """Close once nobody uses it."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: self._calls == 0)
            stack = self._stack.pop_all()
            self._opened = None
        stack.close()

    def _open(self) -> tuple[BlockingPortal, Calendar]:
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(name="calevents"))
            calendar = stack.enter_context(portal.wrap_async_context_manager(self._inside()))
            self._stack = stack.pop_all()
        return portal, calendar

    @asynccontextmanager
    async def _inside(self) -> AsyncIterator[Calendar]:
        # The host's function itself runs in the loop too, not only what it answers.
        async with self._open_calendar() as calendar:
            yield calendar


def _blocking(
    method: Callable[Concatenate[Scope, _Parameters], Awaitable[_Answer]],
) -> Callable[Concatenate["BlockingScope", _Parameters], _Answer]:
    """``method``, for callers that wait."""

    def call(
        scope: "BlockingScope", /, *args: _Parameters.args, **kwargs: _Parameters.kwargs
    ) -> _Answer:
        return scope.calendar._in_scope(  # noqa: SLF001 - of this module
            scope.viewer, lambda entered: method(entered, *args, **kwargs)
        )

    update_wrapper(call, method)
    # Readers of signatures would take what is wrapped, and with it "async".
    del call.__wrapped__  # type: ignore[attr-defined]  # update_wrapper has just set it
    call.__signature__ = signature(method)  # type: ignore[attr-defined]  # read by inspect
    call.__qualname__ = f"BlockingScope.{method.__name__}"
    call.__module__ = __name__
    return call


@attrs.frozen
class BlockingScope:
    """A :class:`~calevents.calendar.Scope` whose methods wait for their answer."""

    calendar: BlockingCalendar
    viewer: Viewer

    get = _blocking(Scope.get)
    list = _blocking(Scope.list)
    list_represented = _blocking(Scope.list_represented)
    create = _blocking(Scope.create)
    create_once = _blocking(Scope.create_once)
    update = _blocking(Scope.update)
    delete = _blocking(Scope.delete)

    def iterate(self, **parameters: Any) -> Iterator[Event]:
        """Every event of :meth:`list`, page after page."""
        # Not Scope.iterate in the portal: one call for each page, and an iteration that is
        # abandoned leaves nothing behind in the loop.
        while True:
            page = self.list(**parameters)
            yield from page.events
            if page.next_cursor is None:
                return
            parameters["cursor"] = page.next_cursor
