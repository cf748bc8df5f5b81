"""Reading fields of a venue's answer: Decimals, texts and times, or ``BadAnswer`` where they are missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from core.errors import BadAnswer


def at_ms(value: Any) -> datetime:
    """Return a time that came as milliseconds.

    :raises BadAnswer: it is none
    """
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(value))
    except (TypeError, ValueError, OverflowError) as error:
        raise BadAnswer(f"{value!r} is no time") from error


def ms_of(at: datetime) -> int:
    """Return a time as milliseconds."""
    return int(at.timestamp() * 1000)


def number(row: Mapping[str, Any], name: str) -> Decimal:
    """Return a finite number of an answer.

    :raises BadAnswer: there is none
    """
    try:
        value = Decimal(str(row[name]))
    except (KeyError, InvalidOperation) as error:
        raise BadAnswer(f"an answer has {row.get(name)!r} for {name}") from error
    if not value.is_finite():
        raise BadAnswer(f"an answer has {value} for {name}")
    return value


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a field of an answer as text.

    :raises BadAnswer: it is missing
    """
    if not isinstance(row, Mapping) or row.get(name) is None:
        raise BadAnswer(f"an answer lacks {name}")
    return str(row[name])
