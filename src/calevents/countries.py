"""Countries of ISO 3166-1, by their alpha-2 or alpha-3 codes."""

from functools import cache
from itertools import product

from calevents._quote import quote
from calevents.exceptions import UnknownCountry

__all__ = ["country_code", "country_codes", "country_spellings"]


def country_code(text: str) -> str:
    """The ISO 3166-1 alpha-2 code, in upper case, of a country given by either code in any case.

    ``UK``, which ISO 3166-1 reserves for the United Kingdom, means ``GB``.

    Raises:
        UnknownCountry: the text is no officially assigned code. Names, numeric codes,
            user-assigned codes such as ``XK`` and surrounding spaces are all refused.
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError(f"a country must be a string such as US, not {type(text).__name__}")
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


def country_spellings(code: str) -> frozenset[str]:
    """Every text that :func:`country_code` takes for ``code``, an alpha-2 code in upper case.

    Twelve of them, and sixteen for ``GB``: two letters and three, each in either case.
    """
    return _spellings().get(code, frozenset())


@cache
def _spellings() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for text, code in _codes().items():
        cases = product(*((letter, letter.lower()) for letter in text))
        found.setdefault(code, set()).update(map("".join, cases))
    return {code: frozenset(texts) for code, texts in found.items()}


@cache
def _codes() -> dict[str, str]:
    import json
    from importlib.resources import files

    table = (files("calevents") / "data" / "countries.json").read_text("ascii")
    by_alpha3: dict[str, str] = json.loads(table)
    return {**by_alpha3, **{code: code for code in by_alpha3.values()}, "UK": "GB"}
