"""The risk profiles, and the limits that clamp targets last (RSK-1).

Limits bound *increases*. What is held is never sold because the market made it large, and a wanted
decrease always passes: the net of an underlying may stay at min(|held|, |wanted|) whatever the
limit says. Every exposure gets an answer: Allowed, Capped to less, or Denied any increase.

Units: quote currency at the current mark, signed, long positive; limits are fractions of equity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from core.decimals import MONEY_STEP, ONE, ZERO, dollars, plain, to_step
from core.types import Policy

MAX_LEVERAGE: Final = Decimal(2)  # gross cap of the most daring profile; no portfolio goes beyond


@dataclass(frozen=True, slots=True)
class Limits:
    """What a risk profile allows. Fractions of equity, except the number of positions.

    :param max_correlated: top-3 correlated exposure
    :param max_gross: Σ|net|; also the leverage cap of the perp policy
    """

    max_position: Decimal
    max_positions: int
    max_correlated: Decimal
    max_gross: Decimal


def _percent(position: int, positions: int, correlated: int, gross: int) -> Limits:
    return Limits(Decimal(position) / 100, positions, Decimal(correlated) / 100, Decimal(gross) / 100)


PROFILES: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "conservative": _percent(5, 10, 20, 50),
        "balanced": _percent(25, 20, 60, 100),
        "aggressive": _percent(50, 50, 120, 200),
    }
)


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is wanted of one underlying, beside what is held.

    :param has_place: it is held, or an order for it is working
    :param wants_place: something of it is wanted, also when the traders' slices net to 0
    :param barred: why nothing of it may be opened now; empty when it may
    """

    underlying: str
    wanted: Decimal
    held: Decimal = ZERO
    has_place: bool = False
    wants_place: bool = True
    barred: str = ""


class Limit(StrEnum):
    """Which limit answered."""

    BARRED = "barred"
    POSITION = "position"
    PLACES = "places"
    GROSS = "gross"


@dataclass(frozen=True, slots=True)
class Allowed:
    """The wanted net stands."""

    to: Decimal


@dataclass(frozen=True, slots=True)
class Capped:
    """A limit lets only ``to`` of the wanted net through; ``why`` names it with its numbers."""

    to: Decimal
    limit: Limit
    why: str


@dataclass(frozen=True, slots=True)
class Denied:
    """No increase at all; ``to`` is what may stay of what is held."""

    to: Decimal
    limit: Limit
    why: str


Answer = Allowed | Capped | Denied


def reason_of(*, answer: Answer) -> str:
    """Return why a limit cut what was wanted; empty where none did."""
    return "" if isinstance(answer, Allowed) else answer.why


def gross_cap(*, limits: Limits, policy: Policy) -> Decimal:
    """Return the most gross exposure per unit of equity: spot never exceeds 1, perp never exceeds 2."""
    return min(limits.max_gross, ONE if policy is Policy.SPOT else MAX_LEVERAGE)


def limits_apply(
    *, exposures: Sequence[Exposure], limits: Limits, equity: Decimal, policy: Policy
) -> dict[str, Answer]:
    """Answer every exposure, in this order: barred, size of one position, places, gross.

    :param equity: the portfolio's equity; at or below zero nothing may grow
    """
    solid = max(equity, ZERO)
    answers: dict[str, Answer] = {e.underlying: _single(e, limits, solid) for e in exposures}
    answers |= _places_denied(exposures, answers, limits.max_positions)
    return answers | _gross_capped(exposures, answers, gross_cap(limits=limits, policy=policy), solid)


def kept(*, held: Decimal, wanted: Decimal) -> Decimal:
    """Return the signed part of ``wanted`` that is held already: 0 where the sides differ."""
    if held == 0 or wanted == 0 or (held > 0) != (wanted > 0):
        return ZERO
    return min(held, wanted, key=abs)


def _single(exposure: Exposure, limits: Limits, equity: Decimal) -> Answer:
    """Apply what concerns this underlying alone: a bar on entries, and the size of one position."""
    held_part = kept(held=exposure.held, wanted=exposure.wanted)
    if exposure.barred and held_part != exposure.wanted:
        return Denied(to=held_part, limit=Limit.BARRED, why=exposure.barred)
    cap = limits.max_position * equity
    if abs(exposure.wanted) <= max(cap, abs(held_part)):
        return Allowed(to=exposure.wanted)
    to = max(cap, abs(held_part)).copy_sign(exposure.wanted)
    return Capped(
        to=to, limit=Limit.POSITION, why=f"{plain(limits.max_position * 100)} % of equity ({dollars(cap)})"
    )


def _places_denied(
    exposures: Sequence[Exposure], answers: Mapping[str, Answer], max_positions: int
) -> dict[str, Answer]:
    """Deny the candidates for which no place is left: larger ones first, ties by name, nothing evicted."""
    free = max(0, max_positions - sum(exposure.has_place for exposure in exposures))
    candidates = sorted(
        (
            e
            for e in exposures
            if e.wants_place and not e.has_place and not isinstance(answers[e.underlying], Denied)
        ),
        key=lambda e: (-abs(answers[e.underlying].to), e.underlying),
    )
    why = f"all {max_positions} places are taken"
    return {e.underlying: Denied(to=ZERO, limit=Limit.PLACES, why=why) for e in candidates[free:]}


def _gross_capped(
    exposures: Sequence[Exposure], answers: Mapping[str, Answer], cap: Decimal, equity: Decimal
) -> dict[str, Answer]:
    """Scale all increases by one factor where Σ|net| would exceed the gross cap."""
    allowed = cap * equity
    if sum((abs(answer.to) for answer in answers.values()), ZERO) <= allowed:
        return {}
    bases = {e.underlying: abs(kept(held=e.held, wanted=answers[e.underlying].to)) for e in exposures}
    growth = {underlying: abs(answers[underlying].to) - base for underlying, base in bases.items()}
    room = max(ZERO, allowed - sum(bases.values(), ZERO))
    total = sum(growth.values(), ZERO)
    why = f"{plain(cap * 100)} % gross exposure ({dollars(allowed)})"
    return {
        underlying: Capped(
            to=(bases[underlying] + to_step(more * room / total, MONEY_STEP)).copy_sign(
                answers[underlying].to
            ),
            limit=Limit.GROSS,
            why=why,
        )
        for underlying, more in growth.items()
        if more > 0
    }
