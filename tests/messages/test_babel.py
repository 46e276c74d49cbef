"""The text of a push in every language that CLDR has."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from babel import localedata
from hypothesis import given
from hypothesis import strategies as st

from calevents.adapters.babel import SENTENCES, BabelText
from calevents.event import Event
from calevents.notification import MessageText

START = datetime(2025, 6, 15, 18, tzinfo=UTC)
TEXT: MessageText = BabelText()


def event(**changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": 1,
        "company_id": 2,
        "title": "Launch",
        "start": START,
        "end": START + timedelta(hours=2),
        "created_at": START - timedelta(days=9),
        "updated_at": START - timedelta(days=9),
    }
    return Event(**values | changes)


def body(
    locale: str,
    minutes: float = 20,
    time_zone: str = "America/New_York",
    text: MessageText = TEXT,
    **changes: Any,
) -> str:
    said = text(event(**changes), locale, time_zone, START - timedelta(minutes=minutes)).body
    # CLDR has a narrow no-break space before "PM", and may change its mind.
    return re.sub(r"[\u00a0\u202f]", " ", said)


@pytest.mark.parametrize(
    ("locale", "said"),
    [
        ("en", "Starts in 20 minutes · 2:00 PM (New York)"),
        ("en-GB", "Starts in 20 minutes · 14:00 (New York)"),
        ("de", "Beginnt in 20 Minuten · 14:00 Uhr (New York)"),
        ("fr", "Commence dans 20 minutes · 14:00 (New York)"),
        ("es", "Empieza dentro de 20 minutos · 14:00 (Nueva York)"),
        ("it", "Inizia tra 20 minuti · 14:00 (New York)"),
        ("nl", "Begint over 20 minuten · 14:00 (New York)"),
        ("sv", "Börjar om 20 minuter · 14:00 (New York)"),
        ("fi", "Alkaa 20 minuutin päästä · 14.00 (New York)"),
        ("pt-BR", "Começa em 20 minutos · 14:00 (Nova York)"),
        ("pt-PT", "Começa dentro de 20 minutos · 14:00 (Nova Iorque)"),
        ("ru", "Начнётся через 20 минут · 14:00 (Нью-Йорк)"),
        ("ja", "20 分後に開始 · 14:00(ニューヨーク)"),
        ("zh", "20分钟后开始 · 14:00(纽约)"),
        ("zh-Hant", "20 分鐘後開始 · 下午2:00(紐約)"),
        ("zh-TW", "20 分鐘後開始 · 下午2:00(紐約)"),
        ("nn", "Begynner om 20 minutt · 14:00 (New York)"),
        # no sentence of ours: the facts alone, in the language
        ("sw", "Baada ya dakika 20 · 14:00 (New York)"),
    ],
)
def test_in_the_recipient_s_language(locale: str, said: str) -> None:
    assert body(locale) == said


@pytest.mark.parametrize(
    ("locale", "minutes", "said"),
    [
        ("en", 1, "in 1 minute "),
        ("en", 0.01, "in 1 minute "),
        ("en", 59, "in 59 minutes "),
        ("en", 60, "in 1 hour "),
        ("pl", 1, "za 1 minutę "),
        ("pl", 2, "za 2 minuty "),
        ("pl", 5, "za 5 minut "),
        ("pl", 22, "za 22 minuty "),
        ("ru", 21, "через 21 минуту "),
        ("ru", 22, "через 22 минуты "),
        ("ru", 25, "через 25 минут "),
        ("ar", 1, "خلال دقيقة واحدة "),
        ("ar", 2, "خلال دقيقتين "),
        ("ar", 5, "خلال 5 دقائق "),
        ("ar", 20, "خلال 20 دقيقة "),
        ("ro", 20, "peste 20 de minute "),
    ],
)
def test_the_plural_is_the_language_s(locale: str, minutes: float, said: str) -> None:
    assert said in body(locale, minutes)


@pytest.mark.parametrize(
    ("tag", "like"),
    [
        ("de_AT", "de-AT"),
        ("DE-at", "de-AT"),
        ("de-XX", "de"),
        ("de-DE-1996", "de"),
        ("de-u-co-phonebk", "de"),
        ("pt-BR-x-app", "pt-BR"),
        ("zh-Hant-u-nu-hant", "zh-Hant"),
        ("no", "nb"),
        ("iw", "he"),
        ("tlh", "en"),
        ("und", "en"),
        ("root", "en"),
        ("x-klingon", "en"),
        ("", "en"),
        ("-", "en"),
        ("../../../etc/passwd", "en"),
        ("d" * 10_000, "en"),
        ("\x00", "en"),
    ],
)
def test_tags_fall_back_subtag_by_subtag_and_at_last_to_english(tag: str, like: str) -> None:
    assert body(tag) == body(like)


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_tag_and_no_zone_raises(tag: str, time_zone: str) -> None:
    assert TEXT(event(), tag, time_zone, START - timedelta(minutes=20)).title == "Launch"


@pytest.mark.parametrize("locale", [*SENTENCES, "sw", "th", "fa", "hi", "sr-Latn", "en-IN"])
@pytest.mark.parametrize("minutes", [-1, 0, 1, 2, 20, 60, 90, 24 * 60, 3 * 24 * 60])
def test_every_sentence_at_every_distance_is_complete(locale: str, minutes: int) -> None:
    said = body(locale, minutes, venue="Zoom")
    assert said.endswith("\nZoom")
    assert "{" not in said
    assert "00" in said.splitlines()[0]


def test_every_locale_of_cldr_has_a_text() -> None:
    for identifier in localedata.locale_identifiers():
        assert body(identifier.replace("_", "-"))


@pytest.mark.parametrize(
    ("time_zone", "place"),
    [
        ("UTC", "18:00 Uhr (UTC)"),
        ("Asia/Kolkata", "23:30 Uhr (Kolkata)"),
        ("America/Argentina/Buenos_Aires", "15:00 Uhr (Buenos Aires)"),
        ("Etc/GMT+5", "13:00 Uhr (GMT-05:00)"),
        ("Eastern Time (US & Canada)", "14:00 Uhr (New York)"),
        ("Mars/Olympus", "20:00 Uhr (Berlin)"),
    ],
)
def test_by_the_recipient_s_clocks_or_the_event_s(time_zone: str, place: str) -> None:
    said = body("de", time_zone=time_zone, canonical_time_zone="Europe/Berlin")
    assert said == f"Beginnt in 20 Minuten · {place}"


def test_rules_are_those_of_the_package_not_of_the_system() -> None:
    # British Columbia ended the change of clocks in 2026: only a database of that year knows.
    start = datetime(2026, 12, 15, 20, tzinfo=UTC)
    late = event(start=start, end=start + timedelta(hours=1))
    said = TEXT(late, "de", "America/Vancouver", start - timedelta(minutes=5)).body
    assert said == "Beginnt in 5 Minuten · 13:00 Uhr (Vancouver)"


def test_from_a_day_ahead_the_date_is_said() -> None:
    assert body("de", 24 * 60) == "Beginnt in 1 Tag · 15. Juni 2025, 14:00 Uhr (New York)"


def test_at_the_start_only_the_time_is_said() -> None:
    assert body("de", 0) == "14:00 (New York)"


def test_sentences_can_be_replaced_and_added() -> None:
    text = BabelText({"de": "Los geht's {when}!", "sw": "Inaanza {when}", "pt-BR": "Já {when}"})
    assert body("de-AT", text=text) == "Los geht's in 20 Minuten!"
    assert body("sw", text=text) == "Inaanza baada ya dakika 20"
    assert body("pt-BR", text=text) == "Já em 20 minutos"
    assert body("pt", text=text).startswith("Começa")
    assert body("fr", text=text).startswith("Commence")


@pytest.mark.parametrize(
    ("sentences", "wrong"),
    [
        ({"de": "Beginnt {wann}"}, "wann"),
        ({"de": "{when.__class__}"}, "when.__class__"),
        ({"de": "{}"}, "de"),
        ({"tlh": "{when}"}, "tlh"),
    ],
)
def test_a_bad_sentence_is_refused_at_once(sentences: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValueError, match=re.escape(wrong)):
        BabelText(sentences)
