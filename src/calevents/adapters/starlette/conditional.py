"""Entity tags, and the requests that depend on them (RFC 9110, sections 8.8.3 and 13).

A tag has two parts. The version guards writes: it changes with every write by a client and with
nothing else. The rest guards caches: it follows what changes in an answer without such a write,
the status, the active view and the stamp of the push.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from calevents.event import Event, Status

__all__ = ["entity_tag", "is_cached", "versions_to_match"]

_LETTERS = {
    None: "w",  # waits
    Status.STARTING_SOON: "s",
    Status.IN_PROGRESS: "p",
    Status.CONCLUDED: "c",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_OURS = re.compile(r'"v([1-9][0-9]{0,18})-[wspc][01](?:\.[0-9]+)?"')


def entity_tag(event: Event, now: datetime) -> str:
    """The strong tag of the answer that shows ``event`` at ``now``."""
    letter, sent_at = _LETTERS[event.status(now)], event.notification_sent_at
    sent = "" if sent_at is None else f".{(sent_at - _EPOCH) // _MICROSECOND}"
    return f'"v{event.version}-{letter}{event.is_active(now):d}{sent}"'


def versions_to_match(if_match: Sequence[str]) -> frozenset[int] | None:
    """The versions that the ``If-Match`` lines allow to be changed; ``None`` if they allow any.

    Weak tags never match (RFC 9110, section 13.1.1), nor does what isn't ours.
    """
    value = ",".join(if_match)
    if not if_match or value.strip() == "*":
        return None
    matches = [_OURS.fullmatch(tag) for weak, tag in _TAG.findall(value) if not weak]
    return frozenset(int(match[1]) for match in matches if match)


def is_cached(if_none_match: Sequence[str], tag: str) -> bool:
    """Whether the client already has the answer with this tag, as its ``If-None-Match`` says.

    The comparison is weak (RFC 9110, section 13.1.2).
    """
    value = ",".join(if_none_match)
    return value.strip() == "*" or any(tag == theirs for _, theirs in _TAG.findall(value))
