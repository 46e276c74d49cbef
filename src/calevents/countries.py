"""Countries of ISO 3166-1, by their alpha-2 or alpha-3 codes."""

from functools import cache

from calevents._quote import quote
from calevents.exceptions import UnknownCountry

__all__ = ["country_code", "country_codes"]


def country_code(text: str) -> str:
    """The ISO 3166-1 alpha-2 code, in upper case, of a country given by either code in any case.

    ``UK``, which ISO 3166-1 reserves for the United Kingdom, means ``GB``.

    Raises:
        UnknownCountry: the text is no officially assigned code. Names, numeric codes,
            user-assigned codes such as ``XK`` and surrounding spaces are all refused.
    """
    codes = _codes()
    code = codes.get(text)
    # ASCII first: a dotless i becomes "I" in upper case, and a text that is no code would pass.
    if code is None and text.isascii():
        code = codes.get(text.upper())
    if code is None:
        raise UnknownCountry(
            f"{quote(text)} is not a country; give its ISO 3166-1 code, such as US or USA"
        )
    return code


@cache
def country_codes() -> frozenset[str]:
    """Every alpha-2 code of ISO 3166-1, 249 of them."""
    return frozenset(_codes().values())


@cache
def _codes() -> dict[str, str]:
    import json
    from importlib.resources import files

    table = (files("calevents") / "data" / "countries.json").read_text("ascii")
    by_alpha3: dict[str, str] = json.loads(table)
    return {**by_alpha3, **{code: code for code in by_alpha3.values()}, "UK": "GB"}
