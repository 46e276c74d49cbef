"""Countries by their ISO 3166-1 codes, in any case."""

import itertools
import json
from contextlib import suppress
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calevents.countries import country_code, country_codes, country_spellings
from calevents.exceptions import CalendarError, UnknownCountry


def assigned() -> set[str]:
    """The alpha-2 codes as the tz database lists them: a source that isn't our own table."""
    table = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text("utf-8")
    return {line[:2] for line in table.splitlines() if not line.startswith("#")}


def test_every_country_of_iso_3166_1_and_no_other() -> None:
    assert len(country_codes()) == 249
    assert country_codes() == assigned()


def test_every_code_in_any_case() -> None:
    for code in country_codes():
        assert {country_code(code), country_code(code.lower())} == {code}
        assert country_code(code[0] + code[1].lower()) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("us", "US"),
        ("fin", "FI"),
        ("FIN", "FI"),
        ("Usa", "US"),
        ("deu", "DE"),
        ("GBR", "GB"),
        ("irl", "IE"),
        ("swz", "SZ"),
        ("MKD", "MK"),
        ("atf", "TF"),
        ("ssd", "SS"),
        ("umi", "UM"),
        ("aut", "AT"),
        ("AUS", "AU"),
        ("svn", "SI"),
        ("SVK", "SK"),
        ("che", "CH"),
        ("CHN", "CN"),
    ],
)
def test_alpha_3(text: str, code: str) -> None:
    assert country_code(text) == code


def test_every_country_has_one_alpha_3_code() -> None:
    table = json.loads((files("calevents") / "data" / "countries.json").read_text("ascii"))
    assert all(len(alpha3) == 3 for alpha3 in table)
    assert {country_code(alpha3) for alpha3 in table} == country_codes()
    assert len(table) == 249


def test_uk_means_gb() -> None:
    assert {country_code(text) for text in ("UK", "uk", "Uk", "GB", "gb", "GBR")} == {"GB"}
    assert "UK" not in country_codes()


def test_the_spellings_of_a_country_are_all_that_is_taken_for_it() -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    texts = [
        "".join(text)
        for length in (2, 3)
        for text in itertools.product(letters + letters.upper(), repeat=length)
    ]
    taken: dict[str, set[str]] = {}
    for text in texts:
        with suppress(UnknownCountry):
            taken.setdefault(country_code(text), set()).add(text)
    assert taken.keys() == country_codes()
    for code, spellings in taken.items():
        assert country_spellings(code) == spellings, code
        assert len(spellings) == (16 if code == "GB" else 12)


@pytest.mark.parametrize("text", ["XX", "", "USA", "us", "UK"])
def test_what_is_no_code_has_no_spellings(text: str) -> None:
    assert country_spellings(text) == frozenset()


@pytest.mark.parametrize("value", [840, None, True, b"US", ["US"]])
def test_what_is_no_text_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
        country_code(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "U",
        "US ",
        " US",
        "US\n",
        "U S",
        "U.S.",
        "USAA",
        "840",
        "United States",
        "EU",
        "XK",
        "XX",
        "ZZ",
        "AN",
        "SU",
        "YU",
        "ROM",
        "TMP",
        "\u0131t",
        "\u0131ta",
        "\uff35\uff33",
        "\u0430u",
        "f\u0131n",
        "\u017fe",
        "\u00df",
        "US\x00",
        "\ud800",
        "US,CA",
    ],
)
def test_anything_else_is_refused_and_shown(text: str) -> None:
    with pytest.raises(UnknownCountry) as caught:
        country_code(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "ISO 3166-1" in message
    assert message.encode().decode().isprintable()
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CalendarError)


@given(st.text() | st.text("abcxyzGBUK\u00df\u0131\u017f\u212a", max_size=3))
def test_an_answer_is_a_country_and_a_fixed_point(text: str) -> None:
    try:
        code = country_code(text)
    except UnknownCountry:
        assert text.upper() not in country_codes() or not text.isascii()
    else:
        assert code in country_codes()
        assert country_code(code) == code
        assert text.isascii()
