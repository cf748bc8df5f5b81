"""Reading the data of a command: a JSON object from outside in, checked values out.

Every reader raises InputError with the name of the field, and says what was given and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from core.decimals import ZERO, plain
from core.errors import InputError

BIGGEST_ID: Final = 2**63 - 1
TEXT_MAX: Final = 240


def fields_known(data: Mapping[str, Any], *names: str) -> None:
    """Refuse a field that this kind of command does not know, so that a misspelt one is not ignored.

    :raises InputError: there is one
    """
    unknown = sorted(set(data) - set(names))
    if unknown:
        known = f"it has {', '.join(names)}" if names else "it has none"
        name = shown(unknown[0])
        raise InputError(f"This command has no field {name}; {known}.", field=name[1:-1])


def id_read(data: Mapping[str, Any], name: str) -> int:
    """Return a number that names something.

    :raises InputError: it is missing or no whole number above zero
    """
    value = data.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= BIGGEST_ID:
        raise InputError(f"Name it by its number, got {shown(value)}.", field=name)
    return value


def decimal_read(
    data: Mapping[str, Any],
    name: str,
    *,
    above: Decimal = ZERO,
    most: Decimal | None = None,
    places: int = 12,
) -> Decimal:
    """Return a number, ``above`` < number ≤ ``most``; written as a string or a whole number.

    :raises InputError: it is missing, no number, out of bounds, or a float, which cannot be exact
    """
    value = data.get(name)
    number = None
    if isinstance(value, (str, int)) and not isinstance(value, bool) and len(str(value)) <= 40:
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            number = None
    upper = "" if most is None else f" and at most {plain(most)}"
    if number is None or not number.is_finite():
        raise InputError(
            f'Write a number above {plain(above)}{upper} as text, like "0.5"; got {shown(value)}.',
            field=name,
        )
    if number <= above or (most is not None and number > most) or number >= Decimal("1e15"):
        raise InputError(f"It must be above {plain(above)}{upper}, got {shown(value)}.", field=name)
    if number != round(number, places):
        raise InputError(f"It has at most {places} decimals, got {shown(value)}.", field=name)
    return number


def choice_read(data: Mapping[str, Any], name: str, choices: Sequence[str]) -> str:
    """Return one of ``choices``.

    :raises InputError: it is missing or none of them
    """
    value = data.get(name)
    if not isinstance(value, str) or value not in choices:
        raise InputError(f"Choose one of {', '.join(choices)}; got {shown(value)}.", field=name)
    return value


def flag_read(data: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    """Return a yes or no; ``default`` where it is not given.

    :raises InputError: it is something else
    """
    value = data.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"It is either true or false, got {shown(value)}.", field=name)
    return value


def text_read(data: Mapping[str, Any], name: str, *, longest: int = TEXT_MAX, required: bool = True) -> str:
    """Return a text for people, blanks put in order.

    :raises InputError: it is no text, too long, unprintable, or empty though required
    """
    value = data.get(name, "")
    if not isinstance(value, str):
        raise InputError(f"Write a text, got {shown(value)}.", field=name)
    text = " ".join(value.split())
    if required and not text:
        raise InputError("It cannot be empty.", field=name)
    if len(text) > longest:
        raise InputError(f"It has at most {longest} characters, got {len(text)}.", field=name)
    if not text.isprintable():
        raise InputError("It cannot contain control characters.", field=name)
    return text


def shown(value: object) -> str:
    """Return what was given as it may be told: short, and without what cannot be printed or stored."""
    if value is None:
        return "nothing"
    text = f"“{value}”" if isinstance(value, str) else str(value)
    text = "".join(letter if letter.isprintable() else "�" for letter in text[:61])
    return text if len(text) <= 60 else f"{text[:59]}…"
