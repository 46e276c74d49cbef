"""What a push is made of: whom it goes to, what it says, and what became of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

import attrs

from calevents.audience import MAX_ID
from calevents.event import Event

__all__ = [
    "DEFAULT_CHANNEL",
    "Delivery",
    "Message",
    "MessageText",
    "Outcome",
    "Recipient",
    "Result",
]

DEFAULT_CHANNEL = "push"
"""The channel of a recipient for whom the directory names no address."""


_LONGEST_NAME = 64


@attrs.frozen(kw_only=True)
class Recipient:
    """A member of a company as the host's directory knows them.

    Raises ``ValueError`` for what no ledger could keep: it names the field, never an address.
    """

    id: int
    """The user's id; pages of recipients are ordered by it."""
    country: str | None = None
    """ISO 3166-1 alpha-2. An event for countries is pushed to those in one of them alone."""
    locale: str = "en"
    """BCP 47 language tag, such as ``de`` or ``pt-BR``."""
    time_zone: str = "UTC"
    """IANA name."""
    addresses: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    """Channel → address, in the notifier's own terms; each channel is delivered to by itself.

    Where there are none, one delivery goes out on :data:`DEFAULT_CHANNEL` without an address, for
    notifiers that know their users by id.
    """

    def __attrs_post_init__(self) -> None:
        if not 0 < self.id <= MAX_ID:
            raise ValueError(f"id must be from 1 to 2**63 - 1, not {self.id}")
        country = self.country
        if country is not None and not (len(country) == 2 and country.isascii()):
            raise ValueError(f"country must be a code such as US, not {country!r}")
        _check_name("locale", self.locale)
        _check_name("time_zone", self.time_zone)
        for channel, address in self.addresses.items():
            _check_name("a channel of addresses", channel)
            if "\0" in address:
                raise ValueError(f"the address on {channel!r} must have no NUL character")


@lru_cache(maxsize=4096)  # a million recipients have few locales, time zones and channels
def _check_name(field: str, value: str) -> None:
    if not 0 < len(value) <= _LONGEST_NAME or "\0" in value:
        raise ValueError(f"{field} must have 1 to {_LONGEST_NAME} characters and no NUL")


@attrs.frozen
class Message:
    """The text of a push, in one recipient's language and time zone."""

    title: str
    body: str


MessageText = Callable[[Event, str, str, datetime], Message]
"""``text(event, locale, time_zone, now)``: writes the message. Pure and quick: it is called once
for every locale and time zone of a claim. ``now`` is the instant of sending."""


@attrs.frozen(kw_only=True)
class Delivery:
    """One call to be made: this event, to this recipient, on this channel."""

    recipient_id: int
    channel: str
    address: str | None = attrs.field(repr=False)
    """Where to; may hold a token, so it is never logged."""
    locale: str
    time_zone: str
    attempt: int
    """1 for the first."""
    idempotency_key: str
    """The same for every attempt at this delivery, and for no other delivery."""
    message: Message


class Outcome(StrEnum):
    """What a notifier says became of one delivery."""

    ACCEPTED = "accepted"
    """The provider took it."""
    REJECTED = "rejected"
    """The provider won't ever take it: no such address, not allowed."""
    TRANSIENT = "transient"
    """It surely wasn't taken, but may be later."""
    UNCERTAIN = "uncertain"
    """It may or may not have been taken: a time-out, a connection lost after the request."""


@attrs.frozen
class Result:
    """A notifier's answer for one delivery."""

    outcome: Outcome
    retry_after: float | None = None
    """For ``TRANSIENT``: seconds that the provider asked to wait, if it did."""
    detail: str | None = None
    """Why, for operators. Must hold no address and no token."""
