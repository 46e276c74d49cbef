"""Trainings and launches around the present hour, so that every status is on screen."""

from datetime import UTC, datetime, timedelta

from calevents import EventDraft

__all__ = ["happenings"]

_STEP = timedelta(minutes=5)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def happenings(company_id: int, now: datetime, images: str) -> list[EventDraft]:
    """What goes on at a company around ``now``; ``images`` is the URL of the demo's pictures.

    The titles name them: one that is there already is moved, not doubled.
    """
    now = _EPOCH + (now - _EPOCH) // _STEP * _STEP
    return _of_northwind(now, images) if company_id == 67890 else _of_contoso(now, images)


def _at(now: datetime, minutes: int) -> str:
    return (now + timedelta(minutes=minutes)).isoformat()


def _on(now: datetime, days: int, time: str) -> str:
    """A wall time, so many days from today."""
    return f"{(now + timedelta(days=days)).date().isoformat()}T{time}"


def _of_northwind(now: datetime, images: str) -> list[EventDraft]:
    return [
        EventDraft(
            title="Winter collection launch",
            description="The new collection, live from the studio. Bring your questions.",
            url="https://example.com/events/winter-launch",
            venue="Virtual Event - Zoom",
            color="#E4572E",
            start=_at(now, 40),
            end=_at(now, 100),
            time_zone="America/New_York",
            countries=["US", "CA", "MX"],
            images=[{"full": f"{images}/launch.svg"}, {"full": f"{images}/stage.svg"}],
        ),
        EventDraft(
            title="Product training",
            description="For everybody who is new. Recorded for those who can't come.",
            venue="Online",
            color="#0F8B8D",
            start=_at(now, -45),
            end=_at(now, 75),
            time_zone="Europe/Berlin",
            countries=[],
            images=[{"full": f"{images}/training.svg"}],
        ),
        EventDraft(
            title="Leadership breakfast",
            venue="Café Einstein, Berlin",
            color="#8F5BB5",
            start=_at(now, -180),
            end=_at(now, -90),
            time_zone="Europe/Berlin",
            countries=["US", "DE"],
            images=[{"full": f"{images}/breakfast.svg"}],
        ),
        EventDraft(
            title="Company town hall",
            description="The year in numbers, and what comes next. For everyone, everywhere.",
            venue="Main stage and live stream",
            color="#2F5FD0",
            start=_on(now, 1, "10:00:00"),
            end=_on(now, 1, "11:30:00"),
            time_zone="America/New_York",
            images=[{"full": f"{images}/stage.svg"}],
        ),
        EventDraft(
            title="Onboarding days",
            description="New colleagues meet the teams. Say hello!",
            venue="New York, floor 4",
            color="#1B7F4D",
            start=_on(now, 7, "09:00:00"),
            end=_on(now, 9, "17:00:00"),
            time_zone="America/New_York",
            images=[{"full": f"{images}/talk.svg"}],
        ),
        EventDraft(
            title="Autumn promotion",
            description="Every order counts twice towards the yearly bonus.",
            venue="All shops",
            color="#D4641A",
            start=_on(now, -8, "09:00:00"),
            end=_on(now, -5, "18:00:00"),
            time_zone="America/New_York",
            images=[{"full": f"{images}/launch.svg"}],
        ),
        EventDraft(
            title="Ada: career talk",
            description="One hour for your plans.",
            venue="Room 4.02",
            color="#C2333F",
            start=_on(now, 2, "15:00:00"),
            end=_on(now, 2, "16:00:00"),
            time_zone="America/New_York",
            user_id=1,
            images=[{"full": f"{images}/talk.svg"}],
        ),
    ]


def _of_contoso(now: datetime, images: str) -> list[EventDraft]:
    return [
        EventDraft(
            title="Warehouse safety training",
            venue="Chicago, hall B",
            color="#0F8B8D",
            start=_at(now, -30),
            end=_at(now, 60),
            time_zone="America/Chicago",
            countries=["US"],
            images=[{"full": f"{images}/training.svg"}],
        ),
        EventDraft(
            title="Partner day",
            venue="Chicago, atrium",
            color="#D4641A",
            start=_on(now, 1, "09:00:00"),
            end=_on(now, 1, "17:00:00"),
            time_zone="America/Chicago",
            images=[{"full": f"{images}/stage.svg"}],
        ),
    ]
