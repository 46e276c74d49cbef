"""Why a member does or doesn't see an event, for the people whom they ask."""

from enum import StrEnum

import attrs

from calevents.audience import Member, sees
from calevents.event import Event

__all__ = ["Explanation", "Reason", "explain"]


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
