"""What people are told of, and how urgent it is. Pure: no clock, settings or table here.

A critical kind is told at once, whatever the hour. Every other waits for the end of quiet hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class AlertKind(StrEnum):
    """The kinds; the values are those of ``alerts.models.Alert.Kind``."""

    EMERGENCY = "emergency"
    BREAKER = "breaker"
    LIMIT = "limit"
    ORDER = "order"
    UNKNOWN_ORDER = "unknown_order"
    CONFLICT = "conflict"
    TRADER = "trader"
    STYLE = "style"
    BOOKS = "books"
    LIVE = "live"
    SIGN_IN = "sign_in"
    WORKERS = "workers"
    BUDGET = "budget"
    AUDIT = "audit"


@dataclass(frozen=True, slots=True)
class KindRule:
    """How one kind is treated.

    :param critical: told in quiet hours, too
    :param operators: meant for those who run the server, and for nobody else
    """

    critical: bool = False
    operators: bool = False


_K = AlertKind
KIND_RULES: Final[Mapping[AlertKind, KindRule]] = MappingProxyType(
    {
        # Money is moving, or cannot be accounted for, or the account may be in other hands.
        _K.EMERGENCY: KindRule(critical=True),
        _K.BREAKER: KindRule(critical=True),
        _K.UNKNOWN_ORDER: KindRule(critical=True),
        _K.BOOKS: KindRule(critical=True),
        _K.LIVE: KindRule(critical=True),
        _K.SIGN_IN: KindRule(critical=True),
        # What waits for a person lapses by itself and leaves things as they are.
        _K.CONFLICT: KindRule(),
        _K.LIMIT: KindRule(),
        _K.ORDER: KindRule(),
        _K.TRADER: KindRule(),
        _K.STYLE: KindRule(),
        _K.WORKERS: KindRule(critical=True, operators=True),
        _K.AUDIT: KindRule(critical=True, operators=True),
        _K.BUDGET: KindRule(operators=True),
    }
)


def kinds_for(*, operator: bool) -> tuple[AlertKind, ...]:
    """Return the kinds a person can be told of, most urgent first."""
    mine = (kind for kind in AlertKind if operator or not KIND_RULES[kind].operators)
    return tuple(sorted(mine, key=lambda kind: not KIND_RULES[kind].critical))
