"""What a recipient may be."""

from typing import Any

import attrs
import pytest

from calevents.audience import Member
from calevents.countries import country_codes, country_spellings
from calevents.exceptions import CalendarError, InvalidRecipient
from calevents.notification import Recipient


def test_the_longest_values_are_kept() -> None:
    Recipient(id=2**63 - 1, locale="x" * 64, time_zone="y" * 64, addresses={"z" * 64: ""})


def test_a_country_is_taken_as_a_member_s_is() -> None:
    for code in country_codes():
        for written in country_spellings(code):
            recipient = Recipient(id=1, country=written)
            assert recipient.country == code
            assert recipient.country == Member(company_id=1, id=1, country=written).country
            assert recipient == Recipient(id=1, country=code)
    assert Recipient(id=1, country=None).country is None
    assert attrs.evolve(Recipient(id=1), country="usa").country == "US"


class Number(int):
    """As some hosts type their ids."""


class Channels(dict[str, str]):
    """As some hosts keep addresses."""


def test_a_host_s_own_kinds_of_values_are_taken() -> None:
    assert Recipient(id=Number(5), addresses=Channels(push="x")).id == 5


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"id": 0}, "a recipient's id must be from 1 to 2**63 - 1, not 0"),
        ({"id": -1}, "a recipient's id must be from 1 to 2**63 - 1, not -1"),
        ({"id": 2**63}, f"a recipient's id must be from 1 to 2**63 - 1, not {2**63}"),
        ({"id": "secret"}, "a recipient's id must be an integer, not a string of 6 characters"),
        ({"id": None}, "a recipient's id must be an integer, not NoneType"),
        ({"id": True}, "a recipient's id must be an integer, not bool"),
        ({"id": 5.0}, "a recipient's id must be an integer, not float"),
        ({"country": "XX"}, "country must be an ISO 3166-1 code such as US or USA, or None, not"),
        ({"country": "XX"}, "'XX'"),
        ({"country": "\0"}, r"'\x00'"),
        ({"country": ""}, "''"),
        ({"country": "\u00df\u00df"}, "not '\u00df\u00df'"),
        ({"country": "US "}, "not 'US '"),
        ({"country": "secret"}, "or None, not a string of 6 characters"),
        ({"country": 840}, "or None, not int"),
        ({"country": ["secret"]}, "or None, not list"),
        ({"locale": ""}, "locale must be a string of 1 to 64 characters without NUL, not a string"),
        ({"locale": "x" * 65}, "not a string of 65 characters"),
        ({"locale": None}, "locale must be a string of 1 to 64 characters without NUL, not None"),
        ({"locale": ["secret"]}, "not list"),
        ({"time_zone": "x" * 65}, "time_zone must be a string of 1 to 64 characters without NUL"),
        ({"time_zone": "secret\0"}, "time_zone must be a string of 1 to 64 characters without"),
        ({"time_zone": None}, "not NoneType"),
        ({"addresses": None}, "addresses must map channels to addresses, not be NoneType"),
        ({"addresses": "secret"}, "addresses must map channels to addresses, not be a string"),
        ({"addresses": ["secret"]}, "addresses must map channels to addresses, not be list"),
        ({"addresses": {"": "secret"}}, "a channel of addresses must be a string of 1 to 64"),
        ({"addresses": {"x" * 65: "secret"}}, "a channel of addresses must be a string of 1 to"),
        ({"addresses": {5: "secret"}}, "a channel of addresses must be a string of 1 to 64"),
        ({"addresses": {"push": "secret\0"}}, "the address on 'push' must have no NUL"),
        ({"addresses": {"push": b"secret"}}, "an address must be a string, not bytes"),
        ({"addresses": {"push": ["secret"]}}, "an address must be a string, not list"),
        ({"addresses": {"secret": None}}, "an address must be a string, not NoneType"),
    ],
)
def test_what_no_ledger_could_keep_is_refused(fields: dict[str, Any], text: str) -> None:
    """By a text for the host's log: field and kind of value, and never what may be an address."""
    with pytest.raises(InvalidRecipient) as caught:
        Recipient(**({"id": 17} | fields))
    told = str(caught.value)
    assert text in told
    assert told.startswith("a recipient's id" if "id" in fields else "recipient 17: ")
    assert "secret" not in told
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, CalendarError)
    # Nor do the errors behind it, which a traceback would print, tell of it.
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
