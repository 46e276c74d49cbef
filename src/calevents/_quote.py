"""How the errors of the core show a text that they refuse."""

__all__ = ["quote"]

_LONGEST = 60


def quote(text: str) -> str:
    """The text between quotes, short and printable whatever a client sent.

    ``repr`` escapes control characters and lone surrogates, so that a message always encodes.
    """
    return repr(text) if len(text) <= _LONGEST else f"{text[:_LONGEST]!r}…"
