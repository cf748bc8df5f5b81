"""The words every package shares, as enumerations whose values are stored and sent as they stand."""

from __future__ import annotations

from enum import StrEnum


class PositionSide(StrEnum):
    """Side of a position; FLAT is a position whose traders' slices net to zero."""

    LONG = "LONG"
    SHORT = "SHORT"
    FLAT = "FLAT"


class OrderSide(StrEnum):
    """Side of an order."""

    BUY = "BUY"
    SELL = "SELL"


class Policy(StrEnum):
    """What a portfolio may hold: spot (no shorts, no leverage) or perpetual contracts (both sides)."""

    SPOT = "spot"
    PERP = "perp"


class ConflictRule(StrEnum):
    """How several traders' wishes for one underlying become one target (CON-2)."""

    COMBINE = "combine"
    LARGEST = "largest"
    FIRST = "first"


class TraderKind(StrEnum):
    """Where a trader's positions are read from."""

    HYPERLIQUID = "hyperliquid"
    REPLAY = "replay"
    STRATEGY = "strategy"
    EXCHANGE = "exchange"
    EVM = "evm"
    PUSH = "push"
