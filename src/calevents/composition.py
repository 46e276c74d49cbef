"""What a client writes, made into an event: every fault is collected, nothing is guessed."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Literal, get_type_hints

import attrs

from calevents.audience import MAX_ID, Member, Viewer
from calevents.countries import country_code
from calevents.draft import Disambiguation, EventPatch, ImageDraft
from calevents.event import Event, Image
from calevents.exceptions import (
    Fault,
    InvalidEvent,
    InvalidTimestamp,
    InvalidWallTime,
    UnknownCountry,
    UnknownTimeZone,
)
from calevents.timestamps import parse_timestamp, to_utc
from calevents.timezones import canonical_name, resolve_wall_time

__all__ = ["compose"]

_MAX_TITLE = 255
_MAX_DESCRIPTION = 10_000
_MAX_URL = 2_048
_MAX_VENUE = 255
_MAX_IMAGES = 20
_MAX_POSITION = 2**31 - 1
_CLIENT_SET = frozenset(get_type_hints(EventPatch))
_SERVER_SET = frozenset(
    {"id", "company_id", "canonical_time_zone", "status", "notification_sent_at"}
)
_IMAGE_KEYS = frozenset(get_type_hints(ImageDraft))
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_NOT_IN_URL = re.compile(r"[\s<>\"\\^`{|}]")
_COLOR = re.compile(r"#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})", re.ASCII)
_ABSENT = object()


def compose(
    document: Mapping[str, Any],
    *,
    viewer: Viewer,
    now: datetime,
    new_id: Callable[[], int],
    base: Event | None = None,
    disambiguation: Disambiguation = "compatible",
) -> Event:
    """The event that ``viewer`` gets by writing ``document``, over ``base`` if it is a patch.

    Without ``base``, a new event with an id from ``new_id``. With it, the merged result is
    validated as a whole; a patch that changes nothing answers ``base`` itself, any other has the
    next version, and a moved start clears ``notification_sent_at``.

    Raises :class:`~calevents.exceptions.InvalidEvent` with every fault at once.
    """
    composition = _Composition(
        document,
        viewer=viewer,
        now=now,
        new_id=new_id,
        base=base,
        disambiguation=disambiguation,
    )
    return composition.event()


class _Composition:
    def __init__(
        self,
        document: Mapping[str, Any],
        *,
        viewer: Viewer,
        now: datetime,
        new_id: Callable[[], int],
        base: Event | None,
        disambiguation: Disambiguation,
    ) -> None:
        self.document = document
        self.viewer = viewer
        self.now = now
        self.new_id = new_id
        self.base = base
        self.disambiguation = disambiguation
        self.faults: list[Fault] = []

    def event(self) -> Event:
        if not isinstance(self.document, Mapping):
            raise InvalidEvent([Fault("", "type", "must be an object with the event's fields")])
        for key in self.document:
            if key not in _CLIENT_SET and key not in _SERVER_SET:
                self.fault(_pointer(key), "unknown", "is not a field of an event; remove it")
        time_zone, canonical = self.time_zone()
        start, start_wall = self.time("start", canonical)
        end, end_wall = self.time("end", canonical)
        if start is not None and end is not None and end <= start:
            self.fault("/end", "order", "must be after start")
        countries, user_id = self.target()
        fields: dict[str, Any] = {
            **self.texts(),
            "start": start,
            "end": end,
            "start_wall": start_wall,
            "end_wall": end_wall,
            "time_zone": time_zone,
            "canonical_time_zone": canonical,
            "active": self.active(),
            "images": self.images(),
            "countries": countries,
            "user_id": user_id,
        }
        if self.faults:
            raise InvalidEvent(self.faults)
        return self.created(fields) if self.base is None else self.changed(self.base, fields)

    def created(self, fields: dict[str, Any]) -> Event:
        return Event(
            id=self.new_id(),
            company_id=self.viewer.company_id,
            personal=isinstance(self.viewer, Member),
            created_at=self.now,
            updated_at=self.now,
            **fields,
        )

    def changed(self, base: Event, fields: dict[str, Any]) -> Event:
        if all(getattr(base, name) == value for name, value in fields.items()):
            return base
        moved = fields["start"] != base.start
        return attrs.evolve(
            base,
            **fields,
            version=base.version + 1,
            updated_at=self.now,
            notification_sent_at=None if moved else base.notification_sent_at,
        )

    def texts(self) -> dict[str, str | None]:
        """The fields that depend on nothing else; what a patch doesn't name is valid already."""
        read: dict[str, Callable[[], str | None]] = {
            "title": self.title,
            "description": lambda: self.text("description", _MAX_DESCRIPTION, multiline=True),
            "url": lambda: self.url("/url", self.document.get("url")),
            "venue": lambda: self.text("venue", _MAX_VENUE),
            "color": self.color,
        }
        if self.base is None:
            return {key: reader() for key, reader in read.items()}
        return {
            key: reader() if key in self.document else getattr(self.base, key)
            for key, reader in read.items()
        }

    def fault(self, pointer: str, code: str, detail: str) -> None:
        self.faults.append(Fault(pointer, code, detail))

    def given(self, key: str) -> Any:
        """What the document says of ``key``, or what the patched event already has."""
        value = self.document.get(key, _ABSENT)
        if value is not _ABSENT:
            return value
        return None if self.base is None else getattr(self.base, key)

    # One method a field; each answers a usable value even after a fault, so that all are found.

    def title(self) -> str:
        value = self.document.get("title")
        if value is None:
            self.fault("/title", "required", "is required; give 1 to 255 characters")
            return ""
        if not self.is_text("/title", value):
            return ""
        trimmed: str = value.strip()
        if not 1 <= len(trimmed) <= _MAX_TITLE:
            self.fault("/title", "length", "must have 1 to 255 characters after trimming")
        if _CONTROL.search(trimmed):
            self.fault("/title", "characters", "must have no control characters")
        return trimmed

    def text(self, key: str, longest: int, *, multiline: bool = False) -> str | None:
        value = self.document.get(key)
        if value is None or not self.is_text(f"/{key}", value):
            return None
        text: str = value.replace("\r\n", "\n") if multiline else value
        if len(text) > longest:
            self.fault(f"/{key}", "length", f"must have at most {longest:,} characters")
        if (_CONTROL_IN_TEXT if multiline else _CONTROL).search(text):
            allowed = " but newline and tab" if multiline else ""
            self.fault(f"/{key}", "characters", f"must have no control characters{allowed}")
        return text

    def is_text(self, pointer: str, value: object) -> bool:
        """Whether it is a text, the rest of whose rules can be looked at."""
        if not isinstance(value, str):
            self.fault(pointer, "type", "must be a string")
            return False
        if _SURROGATE.search(value):
            self.fault(pointer, "characters", "must have no lone surrogates")
        return True

    def url(self, pointer: str, value: object) -> str | None:
        if value is None or not self.is_text(pointer, value):
            return None
        assert isinstance(value, str)
        if len(value) > _MAX_URL:
            self.fault(pointer, "length", f"must have at most {_MAX_URL:,} characters")
        if not _is_absolute_http_url(value):
            self.fault(
                pointer, "url", "must be an absolute http or https URL such as https://example.com/"
            )
        return value

    def color(self) -> str | None:
        value = self.document.get("color")
        if value is None or not self.is_text("/color", value):
            return None
        if not _COLOR.fullmatch(value):
            self.fault("/color", "color", "must be a color such as #FF5733 or #F53")
            return None
        digits: str = value[1:].upper()
        return "#" + (digits if len(digits) == 6 else "".join(2 * digit for digit in digits))

    def time_zone(self) -> tuple[str, str]:
        value = self.given("time_zone")
        if value is None:
            return "UTC", "UTC"
        if not isinstance(value, str):
            self.fault("/time_zone", "type", "must be a string")
            return "UTC", ""
        try:
            return value, canonical_name(value)
        except UnknownTimeZone as error:
            self.fault("/time_zone", "time_zone", str(error))
            return value, ""

    def time(
        self, key: Literal["start", "end"], canonical: str
    ) -> tuple[datetime | None, datetime | None]:
        """The instant of ``key`` and, where the client wrote one, its wall time."""
        pointer, base = f"/{key}", self.base
        value = self.document.get(key, _ABSENT)
        if value is _ABSENT and base is not None:
            return self.kept_time(base, key, canonical)
        if value is _ABSENT or value is None:
            self.fault(pointer, "required", "is required; give a time such as 2025-06-15T14:00:00Z")
            return None, None
        try:
            moment = parse_timestamp(value) if isinstance(value, str) else value
            if not isinstance(moment, datetime):
                self.fault(pointer, "type", "must be a string such as 2025-06-15T14:00:00Z")
                return None, None
            if moment.tzinfo is not None:
                instant = to_utc(moment)
                if base is not None and instant == getattr(base, key):
                    return self.kept_time(base, key, canonical)
                return instant, None
            if self.given("time_zone") is None:  # the default is no zone that a client named
                self.fault(pointer, "offset", "has no offset; add one such as Z, or a time_zone")
                return None, None
            if not canonical:  # the zone's own fault is already noted
                return None, None
            wall = moment.replace(fold=0)
            return resolve_wall_time(wall, canonical, disambiguation=self.disambiguation), wall
        except (InvalidTimestamp, InvalidWallTime) as error:
            self.fault(pointer, "timestamp", str(error))
            return None, None

    def kept_time(
        self, base: Event, key: Literal["start", "end"], canonical: str
    ) -> tuple[datetime, datetime | None]:
        # In another zone the wall time would name another instant: only the instant is kept.
        wall = getattr(base, f"{key}_wall") if canonical == base.canonical_time_zone else None
        return getattr(base, key), wall

    def active(self) -> bool:
        value, base = self.document.get("active", _ABSENT), self.base
        if value is False and base is not None and self.document.get("status") == "CONCLUDED":
            # Read back from an answer: false beside CONCLUDED is the clock's word, not the flag's.
            # A new event has no flag to keep, and nobody is shown what may have been switched off.
            value = _ABSENT
        if value is _ABSENT:
            return True if base is None else base.active
        if value is None:
            return True
        if not isinstance(value, bool):
            self.fault("/active", "type", "must be true or false")
            return True
        return value

    def target(self) -> tuple[tuple[str, ...], int | None]:
        countries = self.countries()
        user_id = self.given("user_id")
        if user_id is not None and (isinstance(user_id, bool) or not isinstance(user_id, int)):
            self.fault("/user_id", "type", "must be an integer or null")
            user_id = None
        elif user_id is not None and not 0 < user_id <= MAX_ID:
            self.fault("/user_id", "range", "must be from 1 to 9223372036854775807")
        if isinstance(self.viewer, Member):
            if countries:
                self.fault("/countries", "target", "a user's own event can't be for countries")
            if user_id not in (None, self.viewer.id):
                self.fault("/user_id", "target", "a user's own event can't be for another user")
            return (), self.viewer.id
        if countries and user_id is not None:
            self.fault(
                "/user_id", "target", "must be null beside countries; an event is for one or other"
            )
        return countries, user_id

    def countries(self) -> tuple[str, ...]:
        value = self.given("countries")
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.fault("/countries", "type", 'must be an array of country codes such as ["US"]')
            return ()
        codes: dict[str, None] = {}
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.fault(f"/countries/{index}", "type", "must be a string such as US")
                continue
            try:
                codes[country_code(item)] = None
            except UnknownCountry as error:
                self.fault(f"/countries/{index}", "country", str(error))
        return tuple(codes)

    def images(self) -> tuple[Image, ...]:
        value = self.document.get("images", _ABSENT)
        if value is _ABSENT:
            return self.images_from_url()
        if value is None:
            return ()
        if isinstance(value, str) or not isinstance(value, Sequence):
            self.fault("/images", "type", "must be an array of images")
            return ()
        if len(value) > _MAX_IMAGES:
            self.fault("/images", "length", f"must have at most {_MAX_IMAGES} images")
        known = set() if self.base is None else {image.id for image in self.base.images}
        # The faults of those that are one too many would be told for naught, and without end.
        possible = enumerate(islice(value, _MAX_IMAGES))
        images = [self.image(index, item, known) for index, item in possible]
        return tuple(sorted(filter(None, images), key=lambda image: image.position))

    def images_from_url(self) -> tuple[Image, ...]:
        kept = () if self.base is None else self.base.images
        value = self.document.get("image_url", _ABSENT)
        if value is _ABSENT or (kept and value == kept[0].full):
            return kept
        url = self.url("/image_url", value)
        if url is None:
            return ()
        return (Image(id=self.new_id(), position=1, mini=url, detail=url, full=url),)

    def image(self, index: int, item: object, known: set[int]) -> Image | None:
        """The image at ``index``; takes the id that it keeps out of ``known``."""
        pointer = f"/images/{index}"
        if not isinstance(item, Mapping):
            self.fault(pointer, "type", "must be an object with at least full")
            return None
        for key in item:
            if key not in _IMAGE_KEYS:
                where = pointer + _pointer(key)
                self.fault(where, "unknown", "is not a field of an image; remove it")
        full = self.url(f"{pointer}/full", item.get("full"))
        if item.get("full") is None:
            self.fault(f"{pointer}/full", "required", "is required; give the image's URL")
        mini = self.url(f"{pointer}/mini", item.get("mini")) or full
        detail = self.url(f"{pointer}/detail", item.get("detail")) or full
        position = self.integer(f"{pointer}/position", item.get("position"), 0, _MAX_POSITION)
        image_id = self.integer(f"{pointer}/id", item.get("id"), 1, MAX_ID)
        if full is None or mini is None or detail is None:
            return None
        if image_id in known:
            known.remove(image_id)
        else:
            image_id = None
        return Image(
            id=self.new_id() if image_id is None else image_id,
            position=index + 1 if position is None else position,
            mini=mini,
            detail=detail,
            full=full,
        )

    def integer(self, pointer: str, value: object, least: int, most: int) -> int | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(pointer, "type", "must be an integer")
        elif not least <= value <= most:
            self.fault(pointer, "range", f"must be from {least} to {most}")
        else:
            return value
        return None


def _pointer(key: object) -> str:
    """``key`` as a step of a JSON Pointer (RFC 6901, section 3)."""
    return "/" + str(key).replace("~", "~0").replace("/", "~1")


def _is_absolute_http_url(text: str) -> bool:
    from urllib.parse import urlsplit  # only here: imports that not every program needs

    if _CONTROL.search(text) or _NOT_IN_URL.search(text):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and port != 0
