"""Keeps what Apprise and its HTTP stack log of a call out of every log.

Their records hold addresses, and addresses hold tokens: Apprise writes URLs at DEBUG and below,
urllib3 writes paths at DEBUG and whole URLs with its warnings.
"""

import hashlib
import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["quiet", "redact", "silence"]

_TALKERS = ("apprise", "charset_normalizer", "oauthlib", "requests", "requests_oauthlib", "urllib3")
_KEY = secrets.token_bytes(32)

_quiet: ContextVar[bool] = ContextVar("calevents_apprise_quiet", default=False)


def _admits(_record: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def quiet() -> Iterator[None]:
    """Within it, in this thread or task, the loggers that :func:`silence` found say nothing."""
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def silence() -> None:
    """Put the filter on the loggers that there are. What others log through them isn't touched."""
    # A filter counts for its own logger alone, not for those below it.
    for name in {*_TALKERS, *logging.root.manager.loggerDict}:
        if name.partition(".")[0] in _TALKERS:
            logging.getLogger(name).addFilter(_admits)


def redact(schema: str, secret: str) -> str:
    """A name for an address that tells it from others in this process's log, and no more."""
    digest = hashlib.blake2b(secret.encode("utf-8", "replace"), digest_size=6, key=_KEY)
    return f"{schema}://#{digest.hexdigest()}"
