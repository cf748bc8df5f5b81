"""The executor: a signal or a target is pure, it knows the portfolio; every answer has a reason (EXE-1).

A *signal* says BUY, SELL or HOLD and knows nothing of what is held; a *target* says how much to hold, and
the difference is placed. What bars entries never bars an exit. Quantities are signed and in units of the
instrument; signals go long only: a strategy's SELL closes what its BUY opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from core.decimals import ZERO, dollars, plain
from engine.domain.copy_types import Market
from engine.domain.placement import sendable, step_toward
from engine.domain.plan_types import Purpose

SIGNAL_SHARE: Final = Decimal("0.05")  # of equity, for one signal


class SignalSide(StrEnum):
    """What a strategy says."""

    BUY = "BUY"
    SELL = "SELL"
    HOLD = "HOLD"


@dataclass(frozen=True, slots=True)
class Signal:
    """What a strategy says of one instrument; ``source`` names it for the reason."""

    side: SignalSide
    source: str


@dataclass(frozen=True, slots=True)
class Target:
    """How much to hold, signed; ``source`` names who wants it."""

    quantity: Decimal
    source: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What the executor knows of the portfolio.

    :param held: signed quantity now, with what working orders will add
    :param equity: of the portfolio
    :param barred: why nothing may be opened now, e.g. a breaker that tripped; empty when it may
    """

    market: Market
    held: Decimal
    equity: Decimal
    barred: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """What the executor decided; ``purpose`` None is a skip, and then the quantity is 0.

    :param quantity: signed order quantity
    :param flips: the close of a position whose target lies on the other side, which follows once flat
    """

    purpose: Purpose | None
    quantity: Decimal
    reason: str
    flips: bool = False


def signal_execute(*, signal: Signal, standing: Standing, share: Decimal = SIGNAL_SHARE) -> Execution:
    """Decide on a signal: buy while flat, close while held, else skip.

    :param share: fraction of equity that one signal sizes: 5 % of 10,000 at 100 are 5
    """
    code, held = standing.market.instrument.code, standing.held
    who = f"{signal.source} says {signal.side}"
    if signal.side is SignalSide.HOLD:
        return _skip(f"{who}: {code} stays as it is; its exits are checked all the same.")
    if signal.side is SignalSide.SELL:
        if held <= 0:
            return _skip(f"{who}: no {code} is held that could be sold.")
        return Execution(Purpose.CLOSE, -held, f"{who}: all {plain(held)} {code} are sold.")
    if held:
        return _skip(f"{who}: {plain(held)} {code} are held already.")
    return _entry(who, standing, standing.market.instrument.quantity(_sized(standing, share)))


def target_execute(*, target: Target, standing: Standing) -> Execution:
    """Decide on a target: place the difference to what is held; a flip closes first."""
    instrument = standing.market.instrument
    who = f"{target.source} wants {plain(target.quantity)} {instrument.code}"
    quantity, purpose, flips = step_toward(
        target=target.quantity, expected=standing.held, instrument=instrument
    )
    if purpose is None:
        return _skip(f"{who}: that is what is held.")
    if not purpose.reduces:
        return _entry(who, standing, quantity, purpose)
    if purpose is Purpose.REDUCE and not sendable(quantity=quantity, purpose=purpose, market=standing.market):
        return _skip(f"{who}: {_small(standing)}")
    then = " first; the other side follows when flat" if flips else ""
    return Execution(purpose, quantity, f"{who}: {plain(abs(quantity))} of it are closed{then}.", flips)


def _entry(who: str, standing: Standing, quantity: Decimal, purpose: Purpose = Purpose.ENTRY) -> Execution:
    """Open or enlarge, unless something bars it or the venue would not take it."""
    market = standing.market
    if standing.barred:
        return _skip(f"{who}: nothing is opened, {standing.barred}.")
    if market.stale:
        return _skip(f"{who}: nothing is opened, the price of {market.instrument.code} is stale.")
    if quantity == 0 or not sendable(quantity=quantity, purpose=purpose, market=market):
        return _skip(f"{who}: {_small(standing)}")
    worth = dollars(abs(quantity) * market.mark)
    return Execution(purpose, quantity, f"{who}: {plain(abs(quantity))} for {worth} are ordered.")


def _sized(standing: Standing, share: Decimal) -> Decimal:
    return share * max(standing.equity, ZERO) / standing.market.mark


def _small(standing: Standing) -> str:
    least = dollars(standing.market.instrument.min_notional)
    return f"the order would be below the venue's minimum of {least}."


def _skip(reason: str) -> Execution:
    return Execution(None, ZERO, reason)
