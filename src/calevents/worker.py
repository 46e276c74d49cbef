"""A dispatcher as a process of its own."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from calevents.dispatcher import Dispatcher

__all__ = ["SpecificationError", "load", "work"]

_logger = logging.getLogger("calevents.dispatcher")


class SpecificationError(ValueError):
    """A text doesn't name a dispatcher."""


def load(specification: str) -> Any:
    """What ``package.module:name`` names; the working directory is looked into as well.

    Raises:
        SpecificationError: it has another form, or names nothing.
    """
    module_name, separator, name = specification.partition(":")
    if not (separator and module_name and name):
        raise SpecificationError(f"{specification!r} must have the form package.module:name")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # something that the module itself imports
        raise SpecificationError(f"there is no module {module_name!r}") from error
    for part in name.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise SpecificationError(f"{module_name!r} has no {name!r}") from error
    if not (isinstance(found, Dispatcher) or callable(found)):
        raise SpecificationError(
            f"{specification!r} is {type(found).__name__}; it must be a Dispatcher or a callable "
            "without arguments that answers one, or an async context manager that enters into one"
        )
    return found


async def work(specified: Any) -> None:
    """Run the dispatcher until SIGTERM or SIGINT; at a second one, without waiting for calls."""
    stop = asyncio.Event()
    running: list[Dispatcher] = []

    def stopped() -> None:
        if stop.is_set():
            for dispatcher in running:
                dispatcher.hurry()
        stop.set()

    # First of all: a signal that comes while the host connects to things is kept.
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped)
    async with _dispatcher(specified) as dispatcher:
        running.append(dispatcher)
        if stop.is_set():
            return
        async with dispatcher:
            _logger.debug("working as %s", dispatcher.worker)
            await stop.wait()


@asynccontextmanager
async def _dispatcher(specified: Any) -> AsyncIterator[Dispatcher]:
    made = specified if isinstance(specified, Dispatcher) else specified()
    if isinstance(made, Dispatcher):
        yield made
        return
    if not isinstance(made, AbstractAsyncContextManager):
        raise TypeError(f"{specified!r} answered {type(made).__name__}, no Dispatcher")
    async with made as entered:
        if not isinstance(entered, Dispatcher):
            raise TypeError(
                f"{specified!r} entered into {type(entered).__name__}, not a Dispatcher"
            )
        yield entered
