"""What a push is made of: whom it goes to, what it says, and what became of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

import attrs

from calevents.audience import MAX_ID
from calevents.countries import country_code, country_codes
from calevents.event import Event
from calevents.exceptions import InvalidRecipient, UnknownCountry

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

    Raises :class:`~calevents.exceptions.InvalidRecipient` for what no ledger could keep: it names
    the field, never an address.
    """

    id: int
    """The user's id; pages of recipients are ordered by it."""
    country: str | None = None
    """ISO 3166-1 alpha-2; whatever ``Member`` takes is taken and made that. An event
    for countries is pushed to those in one of them alone; ``None`` where it isn't known."""
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
        # A million of them are made: what is wrong is looked for only when something is.
        try:
            country = self.country
            if country is not None and country not in country_codes():
                object.__setattr__(self, "country", country_code(country))
            sound = (
                type(self.id) is int
                and 0 < self.id <= MAX_ID
                and _is_name(self.locale)
                and _is_name(self.time_zone)
            )
            for channel, address in self.addresses.items():
                sound = sound and _is_name(channel) and "\0" not in address
                sound = sound and isinstance(address, str)
        except (AttributeError, TypeError, UnknownCountry):
            sound = False
        if not sound:
            fault = _fault_of(self)
            if fault is not None:
                raise InvalidRecipient(fault) from None


@lru_cache(maxsize=4096)  # a million recipients have few locales, time zones and channels
def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and "\0" not in value


# Values are the host's, and a column may be mistaken for another: what could be an address or a
# token is never shown, only what type it has and how long it is.


def _fault_of(recipient: Recipient) -> str | None:
    """What is wrong with ``recipient``, to whom it belongs and in which field."""
    user_id: object = recipient.id
    if isinstance(user_id, bool) or not isinstance(user_id, int):
        return f"a recipient's id must be an integer, not {_kind(user_id)}"
    if not 0 < user_id <= MAX_ID:
        return f"a recipient's id must be from 1 to 2**63 - 1, not {user_id}"
    fault = (
        _fault_of_country(recipient.country)
        or _fault_of_name("locale", recipient.locale)
        or _fault_of_name("time_zone", recipient.time_zone)
        or _fault_of_addresses(recipient.addresses)
    )
    return None if fault is None else f"recipient {user_id}: {fault}"


def _fault_of_country(value: object) -> str | None:
    if value is None:
        return None
    try:
        country_code(value)  # type: ignore[arg-type]
    except (TypeError, UnknownCountry):
        short = isinstance(value, str) and len(value) <= len("USA")
        given = repr(value) if short else _kind(value)
        return f"country must be an ISO 3166-1 code such as US or USA, or None, not {given}"
    return None


def _fault_of_name(field: str, value: object) -> str | None:
    if isinstance(value, str) and _is_name(value):
        return None
    named = f"{field} must be a string of 1 to {_LONGEST_NAME} characters without NUL"
    return f"{named}, not {_kind(value)}"


def _fault_of_addresses(value: object) -> str | None:
    if not isinstance(value, Mapping):
        return f"addresses must map channels to addresses, not be {_kind(value)}"
    for channel, address in value.items():
        fault = _fault_of_name("a channel of addresses", channel)
        if fault is not None:
            return fault
        if not isinstance(address, str):
            return f"an address must be a string, not {_kind(address)}"
        if "\0" in address:
            return f"the address on {channel!r} must have no NUL character"
    return None


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"a string of {len(value)} characters"
    return type(value).__name__


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
