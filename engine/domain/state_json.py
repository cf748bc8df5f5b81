"""JSON read strictly: exact numbers, no name twice, neither too large nor too deep."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final, NoReturn

from core.errors import InputError

SIZE_MAX: Final = 1_048_576
DEPTH_MAX: Final = 12


def state_json(*, text: str) -> dict[str, Any]:
    """Return a JSON object; all its numbers are Decimal.

    :raises InputError: it is none, or breaks one of the limits
    """
    if len(text) > SIZE_MAX:
        raise _refused(f"It has {len(text):,} characters; the most is {SIZE_MAX:,}.")
    _depth_check(text)
    try:
        document = json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number, object_pairs_hook=_once
        )
    except (ValueError, ArithmeticError) as error:
        raise _refused(f"It is no JSON: {str(error)[:120]}.") from None
    if not isinstance(document, dict):
        raise _refused("It is JSON, but no object with cash and positions.")
    if not all(map(_is_text, _strings(document))):
        raise _refused("It has a character in it that stands in no text: NUL, or half of a pair.")
    return document


def _strings(value: Any) -> Iterator[str]:
    """Yield every name and every text in it."""
    match value:
        case str():
            yield value
        case dict():
            for name, inner in value.items():
                yield name
                yield from _strings(inner)
        case list():
            for inner in value:
                yield from _strings(inner)


def _is_text(value: str) -> bool:
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)


def _depth_check(text: str) -> None:
    """Count open brackets outside of strings."""
    depth, inside, escaped = 0, False, False
    for letter in text:
        if inside:
            escaped, inside = letter == "\\" and not escaped, escaped or letter != '"'
        elif letter == '"':
            inside = True
        elif letter in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise _refused(f"It is nested more than {DEPTH_MAX} deep.")
        elif letter in "]}":
            depth -= 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            shown = name[:60].encode("utf-8", "replace").decode()
            raise _refused(f"“{shown}” is in it twice; nobody knows which one counts.")
        found[name] = value
    return found


def _no_number(name: str) -> NoReturn:
    raise _refused(f"It has {name} in it, which is no number.")


def _refused(why: str) -> InputError:
    return InputError(why, field="file")
