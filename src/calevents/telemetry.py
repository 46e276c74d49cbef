"""What a dispatcher tells of its work: log lines, and a hook for metrics."""

import logging
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any

import attrs

from calevents.exceptions import InvalidRecipient, StorageError
from calevents.ledger import DeliveryState, NotificationKey

__all__ = ["DispatchDetails", "DispatchKind", "Telemetry"]

_logger = logging.getLogger("calevents.dispatcher")


class DispatchKind(StrEnum):
    """What a dispatcher tells its hook and its log."""

    OPENED = "opened"
    """A notification was taken up; its recipients are being looked for."""
    RECORDED = "recorded"
    """A page of recipients is in the ledger (``count``)."""
    RESOLVED = "resolved"
    """All recipients are in the ledger."""
    CLAIMED = "claimed"
    """Deliveries were claimed (``count``), and the intent to send them is stored."""
    SENDING = "sending"
    """The notifier is about to be called with them."""
    ANSWERED = "answered"
    """The notifier has answered, or failed to."""
    SETTLED = "settled"
    """What became of a claim is stored (``outcomes``, ``seconds`` since the claim)."""
    RELEASED = "released"
    """A claim was given back unsent: the worker stops, or its lease or the start was too near."""
    LOST = "lost"
    """A claim's lease had lapsed and somebody else has taken it over; nothing was stored."""
    SWEPT = "swept"
    """Deliveries were expired or cancelled (``count``)."""
    CLOSED = "closed"
    """A notification ended, in the state ``detail``."""
    UNAVAILABLE = "unavailable"
    """The ledger can't be reached; it is tried again."""
    FAILED = "failed"
    """Something of the host's, or the ledger, raised (``detail``)."""


_LEVELS = {
    DispatchKind.OPENED: logging.INFO,
    DispatchKind.RESOLVED: logging.INFO,
    DispatchKind.CLOSED: logging.INFO,
    DispatchKind.RELEASED: logging.INFO,
    DispatchKind.LOST: logging.WARNING,
    DispatchKind.UNAVAILABLE: logging.WARNING,
    DispatchKind.FAILED: logging.ERROR,
}


@attrs.frozen(kw_only=True)
class DispatchDetails:
    """What happened in a dispatcher, for metrics. Holds no address and no text of a push."""

    kind: DispatchKind
    worker: str
    key: NotificationKey | None = None
    count: int = 0
    """Recipients or deliveries."""
    outcomes: Mapping[DeliveryState, int] = attrs.field(factory=dict)
    """For ``SETTLED``: how many deliveries came into each state."""
    seconds: float = 0.0
    """How long it took."""
    detail: str | None = None


class Telemetry:
    """Tells the log and the hook of one worker. Tells no address and no text of a push."""

    def __init__(self, worker: str, hook: Callable[[DispatchDetails], object] | None) -> None:
        self._worker = worker
        self._hook = hook

    def tell(self, kind: DispatchKind, key: NotificationKey | None, **fields: Any) -> None:
        """Tell what happened; ``fields`` are those of :class:`DispatchDetails`."""
        level = _LEVELS.get(kind, logging.DEBUG)
        if self._hook is None and not _logger.isEnabledFor(level):
            return
        details = DispatchDetails(kind=kind, worker=self._worker, key=key, **fields)
        _log(level, details)
        if self._hook is not None:
            try:
                self._hook(details)
            except Exception:
                _logger.exception("the hook raised")

    def fail(self, key: NotificationKey | None, error: Exception) -> None:
        """Tell that something of the host's, or the ledger, raised ``error``."""
        # An exception's text may quote an address; its type and place don't. Nor do the texts of
        # these two, which are written for it.
        told = f"{type(error).__name__}{_place_of(error)}"
        if isinstance(error, InvalidRecipient | StorageError):
            told = f"{told}: {error}"
        if isinstance(error, StorageError):
            told += _cause_of(error)
        self.tell(DispatchKind.FAILED, key, detail=told)


def _place_of(error: Exception) -> str:
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "" if frame is None else f" at {frame.tb_frame.f_code.co_qualname}:{frame.tb_lineno}"


def _cause_of(error: Exception) -> str:
    """What kind of error of a driver is behind ``error``. The driver's text may quote a row."""
    cause, code = error.__cause__, None
    if cause is None:
        return ""
    while True:
        for name in ("sqlstate", "pgcode", "sqlite_errorname"):
            code = code or getattr(cause, name, None)
        if cause.__cause__ is None:
            break
        cause = cause.__cause__
    kind = type(cause).__name__
    return f" ({kind} {code})" if isinstance(code, str) else f" ({kind})"


def _log(level: int, details: DispatchDetails) -> None:
    if not _logger.isEnabledFor(level):
        return
    fields: dict[str, object] = {"kind": str(details.kind), "worker": details.worker}
    if details.key is not None:
        fields["company_id"] = details.key.company_id
        fields["event_id"] = details.key.event_id
        fields["start"] = details.key.start.isoformat()
    if details.count:
        fields["count"] = details.count
    for state, number in details.outcomes.items():
        fields[str(state)] = number
    if details.seconds:
        fields["seconds"] = round(details.seconds, 6)
    if details.detail is not None:
        fields["detail"] = details.detail
    text = " ".join(f"{name}={value}" for name, value in fields.items())
    _logger.log(level, "%s", text, extra={"calevents": fields})
