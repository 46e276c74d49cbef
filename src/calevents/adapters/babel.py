"""The text of a push in the recipient's own language, by Babel and the CLDR data in it.

How soon, the time of day and the city's name come from CLDR for every language that it has, with
the right plural; the sentence around them is ours, for the languages in :data:`SENTENCES`. Any
other language of CLDR's gets the facts without a sentence, and only a tag that CLDR doesn't know
gets English.

Needs the ``babel`` extra. The rules of time zones stay those of the ``tzdata`` package.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from string import Formatter
from types import MappingProxyType

from babel import Locale, UnknownLocaleError
from babel.dates import (
    format_date,
    format_time,
    format_timedelta,
    get_timezone_gmt,
    get_timezone_location,
)

from calevents.event import Event
from calevents.messages import local_start, until_start
from calevents.notification import Message

__all__ = ["SENTENCES", "BabelText"]

SENTENCES: Mapping[str, str] = MappingProxyType(
    {
        "ar": "يبدأ {when} · {time} ({place})",
        "bg": "Започва {when} · {time} ({place})",
        "ca": "Comença {when} · {time} ({place})",
        "cs": "Začíná {when} · {time} ({place})",
        "da": "Begynder {when} · {time} ({place})",
        "de": "Beginnt {when} · {time} Uhr ({place})",
        "el": "Ξεκινά {when} · {time} ({place})",
        "en": "Starts {when} · {time} ({place})",
        "es": "Empieza {when} · {time} ({place})",
        "fi": "Alkaa {when} · {time} ({place})",
        "fr": "Commence {when} · {time} ({place})",
        "he": "מתחיל {when} · {time} ({place})",
        "hu": "{when} kezdődik · {time} ({place})",
        "id": "Dimulai {when} · {time} ({place})",
        "it": "Inizia {when} · {time} ({place})",
        "ja": "{when}に開始 · {time}({place})",
        "ko": "{when} 시작 · {time} ({place})",
        "nb": "Begynner {when} · {time} ({place})",
        "nl": "Begint {when} · {time} ({place})",
        "pl": "Rozpoczyna się {when} · {time} ({place})",
        "pt": "Começa {when} · {time} ({place})",
        "ro": "Începe {when} · {time} ({place})",
        "ru": "Начнётся {when} · {time} ({place})",
        "sv": "Börjar {when} · {time} ({place})",
        "tr": "{when} ba\u015fl\u0131yor · {time} ({place})",
        "uk": "Почнеться {when} · {time} ({place})",
        "vi": "Bắt đầu {when} · {time} ({place})",
        "zh": "{when}开始 · {time}({place})",
        "zh-Hant": "{when}開始 · {time}({place})",
    }
)
"""Language (BCP 47, with a script where it matters) → how the push says it.

``{when}`` is "in 20 minutes", ``{time}`` the start by the recipient's clocks (with the date when
that is a day or more away) and ``{place}`` the city whose clocks they are.
"""

_NO_SENTENCE = "{when} · {time} ({place})"
_STARTED = "{time} ({place})"
_FIELDS = frozenset({"when", "time", "place"})
_LONGEST_TAG = 35  # RFC 5646, section 4.4.1: what every implementation must have room for
_ENGLISH = Locale("en")


class BabelText:
    """A :data:`~calevents.notification.MessageText` in the recipient's language and time zone.

    ``sentences`` are put over :data:`SENTENCES`, for other words or other languages.

    Raises:
        ValueError: a sentence has another field than ``when``, ``time`` and ``place``, or a
            language of ``sentences`` is none that CLDR has.
    """

    def __init__(self, sentences: Mapping[str, str] | None = None) -> None:
        self._sentences: dict[str, str] = {}
        for tag, sentence in {**SENTENCES, **(sentences or {})}.items():
            fields = {field for _, field, _, _ in Formatter().parse(sentence) if field is not None}
            if not fields <= _FIELDS:
                raise ValueError(
                    f"sentences[{tag!r}] may have the fields when, time and place,"
                    f" not {', '.join(sorted(fields - _FIELDS))}"
                )
            known = _parse(tag)
            if known is None:
                raise ValueError(f"sentences[{tag!r}]: CLDR has no such language")
            self._sentences[str(known)] = sentence

    def __call__(self, event: Event, locale: str, time_zone: str, now: datetime) -> Message:
        """Write the message; ``locale`` is a BCP 47 tag (RFC 5646), ``_`` for ``-`` allowed.

        Subtags are dropped from the end until CLDR has the language (RFC 4647, section 3.4).
        ``time_zone`` is read as by :func:`calevents.messages.local_start`.
        """
        chosen = _find_locale(locale)
        local = local_start(event, time_zone)
        left = until_start(event, now)
        time = format_time(local, "short", locale=chosen)
        if left >= timedelta(days=1):
            time = f"{format_date(local, 'long', locale=chosen)}, {time}"
        sentence = self._sentence(chosen) if left else _STARTED
        body = sentence.format(when=_when(left, chosen), time=time, place=_place(local, chosen))
        body = body[0].upper() + body[1:]
        return Message(event.title, f"{body}\n{event.venue}" if event.venue else body)

    def _sentence(self, locale: Locale) -> str:
        language = "nb" if locale.language in ("nn", "no") else locale.language
        names = [str(locale)]
        if locale.script:
            names.append(f"{language}_{locale.script}")
        names.append(language)
        return next(
            (self._sentences[name] for name in names if name in self._sentences), _NO_SENTENCE
        )


@lru_cache(maxsize=1024)
def _find_locale(tag: str) -> Locale:
    """CLDR's locale for a BCP 47 tag, or English.

    Never raises: the tag is a directory's or a user's.
    """
    subtags = tag[:_LONGEST_TAG].replace("_", "-").split("-")
    # What follows a singleton is an extension (RFC 5646, section 2.2.6), and no part of the name.
    for index, subtag in enumerate(subtags):
        if len(subtag) == 1:
            del subtags[index:]
            break
    while subtags:
        locale = _parse("-".join(subtags))
        if locale is not None:
            return locale
        subtags.pop()
    return _ENGLISH


def _parse(tag: str) -> Locale | None:
    # CLDR's root is no language; it would write "+20 min".
    if tag.lower().partition("-")[0] in ("root", "und"):
        return None
    try:
        return Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return None


def _when(left: timedelta, locale: Locale) -> str:
    # With a threshold of 1, the hour begins at 60 minutes, not at 51.
    return format_timedelta(
        left, granularity="minute", threshold=1, add_direction=True, locale=locale
    )


def _place(local: datetime, locale: Locale) -> str:
    key: str = getattr(local.tzinfo, "key", "UTC")
    area, slash, _ = key.partition("/")
    if key != "UTC" and (not slash or area == "Etc"):
        return get_timezone_gmt(local, locale=locale)
    try:
        city = get_timezone_location(local, locale=locale, return_city=True)
    except KeyError:
        # A few of CLDR's locales are too thin for Babel here.
        city = key.replace("_", " ")
    # CLDR leaves the region in the names of some cities: "Argentina/Buenos Aires".
    return city.rpartition("/")[2]
