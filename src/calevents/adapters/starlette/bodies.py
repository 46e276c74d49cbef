"""Request bodies: bounded, of the right type, and strict JSON in UTF-8 (RFC 8259)."""

import json
import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request

from calevents.adapters.starlette.problems import Problem

__all__ = ["JSON", "MAX_BODY", "MAX_DEPTH", "MERGE_PATCH", "read_document"]

MAX_BODY = 64 * 1024
"""Bytes that a body may have."""

MAX_DEPTH = 32
"""Arrays and objects that a body may nest; an event nests four."""

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

# A half of a surrogate pair without the other one; an escaped backslash may look like one.
_HALF_OF_A_PAIR = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F][0-9a-fA-F])\\u[dD][c-fC-F]"
)

_decode = msgspec.json.Decoder().decode


async def read_document(request: Request, media_types: Sequence[str]) -> Any:
    """The body's JSON value, out of its ``{"event": …}`` envelope if it has one.

    Raises:
        Problem: 415 for another media type, 413 for a body that is too large, 400 for no JSON.
        starlette.requests.ClientDisconnect: the client went away.
    """
    typed = _check_type(request, media_types)
    body = await _read(request)
    if body and not typed:
        raise _unsupported("The body has no Content-Type", media_types)
    value = _parse(body)
    if isinstance(value, dict) and value.keys() == {"event"}:
        return value["event"]
    return value


def _check_type(request: Request, media_types: Sequence[str]) -> bool:
    """Whether the body's type is given at all; one that can't be read is refused."""
    headers = request.headers
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise _unsupported("A body with a Content-Encoding is not read", media_types)
    lines = headers.getlist("content-type")
    if not lines:
        return False
    media_type, *parameters = ",".join(lines).lower().split(";")
    if media_type.strip() not in media_types:
        raise _unsupported("The body's Content-Type is not read here", media_types)
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise _unsupported("The body's charset is not UTF-8", media_types)
    return True


def _unsupported(fault: str, media_types: Sequence[str]) -> Problem:
    accepted = ", ".join(media_types)
    header = "Accept-Patch" if MERGE_PATCH in media_types else "Accept-Post"
    return Problem(415, f"{fault}; send {' or '.join(media_types)}.", {header: accepted})


async def _read(request: Request) -> bytes:
    chunks, size = [], 0
    async with aclosing(request.stream()) as stream:
        async for chunk in stream:
            size += len(chunk)
            if size > MAX_BODY:
                raise Problem(413, f"The body is larger than {MAX_BODY // 1024} KiB.")
            chunks.append(chunk)
    return b"".join(chunks)


def _parse(body: bytes) -> Any:
    if not body:
        raise Problem(400, "The body is empty; send an event as a JSON object.")
    try:
        value = _decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError:
        raise Problem(400, "The body is not UTF-8.") from None
    except msgspec.DecodeError as error:
        raise Problem(400, _fault_of(body, error)) from None
    # Only a body with that many brackets can nest that deep.
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    return value


def _fault_of(body: bytes, error: msgspec.DecodeError) -> str:
    """Why ``body`` can't be read; of a half of a surrogate pair the decoder says other things."""
    if _HALF_OF_A_PAIR.search(body):
        try:
            # Its own decoder takes such halves; as lists of pairs, keys that are repeated stay.
            value = json.loads(body, object_pairs_hook=list)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "The body has a lone surrogate, half of a character such as \\ud83d\\ude00."
        except (ValueError, RecursionError):
            return "The body is not JSON that can be read."
    return f"The body is not JSON that can be read: {str(error).partition(' - at ')[0]}."


def _too_deep() -> Problem:
    return Problem(400, f"The body nests more than {MAX_DEPTH} levels deep.")


def _is_deeper(value: object, levels: int) -> bool:
    if isinstance(value, dict):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value.values())
    if isinstance(value, list):
        return levels == 0 or any(_is_deeper(item, levels - 1) for item in value)
    return False
