"""Public holidays, as events of the company for the members in each country."""

from collections.abc import Iterator
from datetime import timedelta

from holidays import country_holidays

from calevents import EventDraft

__all__ = ["COUNTRIES", "holiday_drafts"]

COUNTRIES = {
    "US": ("America/New_York", "#2F5FD0"),
    "CA": ("America/Toronto", "#C2333F"),
    "MX": ("America/Mexico_City", "#1B7F4D"),
    "BR": ("America/Sao_Paulo", "#4D8A16"),
    "GB": ("Europe/London", "#5B4BB7"),
    "IE": ("Europe/Dublin", "#128A5E"),
    "FR": ("Europe/Paris", "#3566B8"),
    "DE": ("Europe/Berlin", "#A8710C"),
    "NL": ("Europe/Amsterdam", "#D4641A"),
    "ES": ("Europe/Madrid", "#B8421E"),
    "IT": ("Europe/Rome", "#2E8048"),
    "FI": ("Europe/Helsinki", "#2C74B3"),
    "PL": ("Europe/Warsaw", "#BE2F54"),
    "JP": ("Asia/Tokyo", "#B83280"),
    "IN": ("Asia/Kolkata", "#C2620E"),
    "AU": ("Australia/Sydney", "#0E7C86"),
    "NZ": ("Pacific/Auckland", "#475569"),
}
"""The zone in which each country's holidays begin and end, and their colour."""


def holiday_drafts(years: tuple[int, ...], countries: tuple[str, ...]) -> Iterator[EventDraft]:
    """The public holidays of ``years`` in each of ``countries``.

    A holiday is a whole day by the country's own clocks, so its start and end are wall times.
    """
    for country in countries:
        time_zone, color = COUNTRIES[country]
        for day, name in sorted(country_holidays(country, years=years, language="en_US").items()):
            yield EventDraft(
                title=name,
                description=f"A public holiday ({country}).",
                start=f"{day.isoformat()}T00:00:00",
                end=f"{(day + timedelta(days=1)).isoformat()}T00:00:00",
                time_zone=time_zone,
                color=color,
                countries=[country],
            )
