"""Ids for events and images."""

import time
from threading import Lock

__all__ = ["new_id"]

_EPOCH = 1_577_836_800_000_000  # 2020-01-01T00:00:00Z, in microseconds

_lock = Lock()
_last = 0


def new_id() -> int:
    """An id that this process never gave before: microseconds since 2020, then the next free one.

    Ids grow with time, fit into the 53 bits that JSON numbers keep exactly until the year 2305,
    and need no sequence that the shards of a database would have to share. Two processes can draw
    the same one; storage refuses it within a company, and :class:`~calevents.calendar.Calendar`
    draws again.
    """
    global _last  # noqa: PLW0603 - the point of the function
    now = time.time_ns() // 1000 - _EPOCH
    with _lock:
        _last = max(now, _last + 1)
        return _last
