"""What a recipient may be."""

from typing import Any

import pytest

from calevents.notification import Recipient


def test_the_longest_values_are_kept() -> None:
    Recipient(id=2**63 - 1, locale="x" * 64, time_zone="y" * 64, addresses={"z" * 64: ""})


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("id", 0, "id"),
        ("id", 2**63, "id"),
        ("country", "USA", "country"),
        ("country", "", "country"),
        ("country", "ßß", "country"),
        ("locale", "", "locale"),
        ("locale", "x" * 65, "locale"),
        ("time_zone", "x" * 65, "time_zone"),
        ("time_zone", "UTC\0", "time_zone"),
        ("addresses", {"": "secret"}, "channel"),
        ("addresses", {"x" * 65: "secret"}, "channel"),
        ("addresses", {"push": "secret\0"}, "push"),
    ],
)
def test_what_no_ledger_could_keep_is_refused(field: str, value: Any, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        Recipient(**({"id": 1} | {field: value}))
    assert "secret" not in str(caught.value)
