"""Whom an event is for: the one visibility predicate.

Every event has an *audience key*, or one for each of its countries, and every member belongs to
three: everyone, their country, and themselves. A member may see an event when the two have a key
in common. Storage keeps the keys in a side table, so that the predicate runs inside the query;
:func:`sees` is the same predicate in Python.
"""

from enum import StrEnum

import attrs

from calevents.countries import country_code
from calevents.event import Event

__all__ = [
    "EVERYONE",
    "MAX_ID",
    "Company",
    "Explanation",
    "Member",
    "Reason",
    "Viewer",
    "audiences_of_event",
    "audiences_of_member",
    "country_audience",
    "explain",
    "may_change",
    "sees",
    "user_audience",
]

MAX_ID = 2**63 - 1
"""The greatest id: a signed 64-bit integer, as databases keep it."""

EVERYONE = "*"
"""The audience of an event for the whole company."""


def _check_id(_instance: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} must be an integer, not {type(value).__name__}")
    if not 0 < value <= MAX_ID:
        raise ValueError(f"{attribute.name} must be from 1 to 2**63 - 1, not {value}")


def _country_or_none(value: str | None) -> str | None:
    return None if value is None else country_code(value)


@attrs.frozen
class Company:
    """A company, acting for itself. Raises ``ValueError`` or ``TypeError`` for a bad id."""

    id: int = attrs.field(validator=_check_id)

    @property
    def company_id(self) -> int:
        """The tenant; the company itself."""
        return self.id


@attrs.frozen(kw_only=True)
class Member:
    """A user of a company.

    Raises :class:`~calevents.exceptions.UnknownCountry`, ``ValueError`` or ``TypeError`` for bad
    values.
    """

    company_id: int = attrs.field(validator=_check_id)
    id: int = attrs.field(validator=_check_id)
    country: str | None = attrs.field(default=None, converter=_country_or_none)
    """ISO 3166-1 alpha-2, alpha-3 is accepted; ``None`` where the host doesn't know it: such a
    member sees no event that is for countries."""


Viewer = Company | Member
"""Who is looking: a company or one of its members."""


def country_audience(country: str) -> str:
    """The audience key of the members in ``country`` (alpha-2, upper case)."""
    return f"c:{country}"


def user_audience(user_id: int) -> str:
    """The audience key of one user."""
    return f"u:{user_id}"


def audiences_of_event(event: Event) -> tuple[str, ...]:
    """The keys of those whom ``event`` is for. A member has at most one of them."""
    if event.user_id is not None:
        return (user_audience(event.user_id),)
    if event.countries:
        return tuple(map(country_audience, event.countries))
    return (EVERYONE,)


def audiences_of_member(member: Member) -> tuple[str, ...]:
    """The keys that ``member`` belongs to."""
    if member.country is None:
        return (EVERYONE, user_audience(member.id))
    return (EVERYONE, country_audience(member.country), user_audience(member.id))


def sees(viewer: Viewer, event: Event) -> bool:
    """Whether ``viewer`` may know that ``event`` exists.

    A company sees what it created. A member sees the events whose audience they belong to, of the
    company's only those that are switched on.
    """
    if viewer.company_id != event.company_id:
        return False
    if isinstance(viewer, Company):
        return not event.personal
    return (event.active or event.personal) and not set(audiences_of_member(viewer)).isdisjoint(
        audiences_of_event(event)
    )


def may_change(viewer: Viewer, event: Event) -> bool:
    """Whether ``viewer``, who sees ``event``, made it and so may change and delete it."""
    return event.personal or isinstance(viewer, Company)


class Reason(StrEnum):
    """Why a member does or doesn't see an event."""

    PERSONAL = "personal"
    INDIVIDUAL = "individual"
    COUNTRY = "country"
    COMPANY_WIDE = "company-wide"
    OTHER_COMPANY = "other-company"
    OTHER_USER = "other-user"
    OTHER_COUNTRY = "other-country"
    NO_COUNTRY = "no-country"
    SWITCHED_OFF = "switched-off"


@attrs.frozen
class Explanation:
    """The answer of :func:`explain`."""

    visible: bool
    """What :func:`sees` says."""
    reason: Reason
    detail: str
    """The reason in a sentence, for a person in support."""


def explain(event: Event, member: Member) -> Explanation:
    """Why ``member`` does or doesn't see ``event``."""
    reason, detail = _reason(event, member)
    return Explanation(sees(member, event), reason, detail)


def _reason(event: Event, member: Member) -> tuple[Reason, str]:
    if event.company_id != member.company_id:
        return Reason.OTHER_COMPANY, "The event belongs to another company than the member."
    if event.user_id not in (None, member.id):
        return Reason.OTHER_USER, "The event is for another user alone."
    if event.personal:
        return Reason.PERSONAL, "The member made the event for themselves."
    countries = ", ".join(event.countries)
    if countries and member.country is None:
        return Reason.NO_COUNTRY, f"The event is for {countries}; the member has no country."
    if countries and member.country not in event.countries:
        return (
            Reason.OTHER_COUNTRY,
            f"The event is for {countries}; the member is in {member.country}.",
        )
    if not event.active:
        return Reason.SWITCHED_OFF, "The company has switched the event off (active is false)."
    if event.user_id is not None:
        return Reason.INDIVIDUAL, "The event is for this member alone."
    if countries:
        return Reason.COUNTRY, f"The event is for {countries}; the member is in {member.country}."
    return Reason.COMPANY_WIDE, "The event is for every member of the company."
