"""The risk profiles, and the limits that clamp targets last (RSK-1).

Limits bound *increases*. What is held is never sold because the market made it large, and a wanted
decrease always passes: the net of an underlying may stay at min(|held|, |wanted|) whatever the
limit says. Every exposure gets an answer: Allowed, Capped to less, or Denied any increase. A single order
of somebody's own is asked about with ``order_check``.

Units: quote currency at the current mark, signed, long positive; limits are fractions of equity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from allocation.domain.correlation import TOP, CorrelatedGroup, Correlations, correlated_limit
from core.decimals import MONEY_STEP, ONE, ZERO, dollars, plain, to_step
from core.types import Policy

MAX_LEVERAGE: Final = Decimal(2)  # gross cap of the most daring profile; no portfolio goes beyond


@dataclass(frozen=True, slots=True)
class Limits:
    """What a risk profile allows. Fractions of equity, except the two counts.

    :param max_correlated: top-3 correlated exposure (``allocation.domain.correlation``)
    :param max_gross: Σ|net|; also the leverage cap of the perp policy
    :param max_asset_weight: one underlying, over all its instruments. A portfolio holds one position per
        underlying, so the tighter of this and ``max_position`` counts
    :param max_open_orders: orders that open or enlarge a position; exits are never counted or held up
    :param max_live: how many positions a live portfolio may have so far; None: not bounded besides
    """

    max_position: Decimal
    max_positions: int
    max_correlated: Decimal
    max_gross: Decimal
    max_asset_weight: Decimal
    max_open_orders: int
    max_live: int | None = None


def _percent(position: int, positions: int, correlated: int, gross: int, orders: int) -> Limits:
    part = Decimal(position) / 100
    return Limits(part, positions, Decimal(correlated) / 100, Decimal(gross) / 100, part, orders)


PROFILES: Final[Mapping[str, Limits]] = MappingProxyType(
    {
        "conservative": _percent(5, 10, 20, 50, 10),
        "balanced": _percent(25, 20, 60, 100, 20),
        "aggressive": _percent(50, 50, 120, 200, 50),
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
    ASSET = "asset"
    PLACES = "places"
    RAMP = "ramp"
    CORRELATED = "correlated"
    GROSS = "gross"
    OPEN_ORDERS = "open_orders"


@dataclass(frozen=True, slots=True)
class Cut:
    """What one limit took off a wish, in quote currency, unsigned."""

    limit: Limit
    amount: Decimal
    why: str


@dataclass(frozen=True, slots=True)
class Allowed:
    """The wanted net stands."""

    to: Decimal
    cuts: tuple[Cut, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Capped:
    """A limit lets only ``to`` of the wanted net through; ``why`` names it with its numbers.

    Several may have cut in turn: ``limit`` is the last, ``cuts`` are all of them.
    """

    to: Decimal
    limit: Limit
    why: str
    cuts: tuple[Cut, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Denied:
    """No increase at all; ``to`` is what may stay of what is held."""

    to: Decimal
    limit: Limit
    why: str
    cuts: tuple[Cut, ...] = field(default=(), compare=False)


Answer = Allowed | Capped | Denied


def reason_of(*, answer: Answer) -> str:
    """Return why a limit cut what was wanted; empty where none did."""
    return "" if isinstance(answer, Allowed) else answer.why


def gross_cap(*, limits: Limits, policy: Policy) -> Decimal:
    """Return the most gross exposure per unit of equity: spot never exceeds 1, perp never exceeds 2."""
    return min(limits.max_gross, ONE if policy is Policy.SPOT else MAX_LEVERAGE)


def limits_apply(
    *,
    exposures: Sequence[Exposure],
    limits: Limits,
    equity: Decimal,
    policy: Policy,
    correlations: Correlations,
) -> dict[str, Answer]:
    """Answer every exposure, in this order: barred, size of one position, places, top-3 correlated, gross.

    :param equity: the portfolio's equity; at or below zero nothing may grow
    """
    solid = max(equity, ZERO)
    answers: dict[str, Answer] = {e.underlying: _single(e, limits, solid) for e in exposures}
    answers = _cut(exposures, answers, _places_denied(exposures, answers, limits))
    correlated = _correlated_capped(exposures, answers, limits.max_correlated, solid, correlations)
    answers = _cut(exposures, answers, correlated)
    gross = _gross_capped(exposures, answers, gross_cap(limits=limits, policy=policy), solid)
    return _cut(exposures, answers, gross)


def order_check(
    *,
    underlying: str,
    notional: Decimal,
    held: Mapping[str, Decimal],
    open_orders: int,
    limits: Limits,
    equity: Decimal,
    policy: Policy,
    correlations: Correlations,
    barred: str = "",
) -> Answer:
    """Answer one order that no trader caused: a person's own, or another program's.

    What reduces a position is always allowed. ``to`` of the answer is the signed notional the order may have.

    :param notional: signed, buys positive, at the price the order would fill at
    :param held: signed notional by underlying, with what working orders would add; a position whose slices
        net to 0 is listed with 0, since it has a place
    :param open_orders: orders working that open or enlarge
    :param barred: why nothing may be opened in it now; empty when it may
    """
    before = held.get(underlying, ZERO)
    exposure = Exposure(
        underlying=underlying,
        wanted=before + notional,
        held=before,
        has_place=underlying in held,
        barred=barred,
    )
    opens = kept(held=before, wanted=exposure.wanted) != exposure.wanted
    if opens and not barred and open_orders >= limits.max_open_orders:
        why = f"{limits.max_open_orders} orders that open positions are working, as many as may"
        stays = kept(held=before, wanted=exposure.wanted) - before
        return Denied(to=stays, limit=Limit.OPEN_ORDERS, why=why)
    others = [Exposure(u, wanted=net, held=net, has_place=True) for u, net in held.items() if u != underlying]
    answer = limits_apply(
        exposures=(exposure, *others), limits=limits, equity=equity, policy=policy, correlations=correlations
    )[underlying]
    return replace(answer, to=answer.to - before)


def kept(*, held: Decimal, wanted: Decimal) -> Decimal:
    """Return the signed part of ``wanted`` that is held already: 0 where the sides differ."""
    if held == 0 or wanted == 0 or (held > 0) != (wanted > 0):
        return ZERO
    return min(held, wanted, key=abs)


def _cut(
    exposures: Sequence[Exposure], answers: Mapping[str, Answer], later: Mapping[str, Capped | Denied]
) -> dict[str, Answer]:
    """Put later answers in place of earlier ones, with what each took off added to the cuts."""
    result = dict(answers)
    for exposure in exposures:
        new = later.get(exposure.underlying)
        if new is not None:
            before = answers[exposure.underlying]
            cut = Cut(new.limit, abs(before.to) - abs(new.to), new.why)
            result[exposure.underlying] = replace(new, cuts=(*before.cuts, cut))
    return result


def _single(exposure: Exposure, limits: Limits, equity: Decimal) -> Answer:
    """Apply what concerns this underlying alone: a bar on entries, and the size of one position."""
    wanted, held_part = exposure.wanted, kept(held=exposure.held, wanted=exposure.wanted)
    if exposure.barred and held_part != wanted:
        cut = Cut(Limit.BARRED, abs(wanted) - abs(held_part), exposure.barred)
        return Denied(to=held_part, limit=Limit.BARRED, why=exposure.barred, cuts=(cut,))
    limit, part = Limit.POSITION, limits.max_position
    if limits.max_asset_weight < part:
        limit, part = Limit.ASSET, limits.max_asset_weight
    cap = part * equity
    if abs(wanted) <= max(cap, abs(held_part)):
        return Allowed(to=wanted)
    to = max(cap, abs(held_part)).copy_sign(wanted)
    what = "of equity" if limit is Limit.POSITION else "of equity in one asset"
    why = f"{plain(part * 100)} % {what} ({dollars(cap)})"
    return Capped(to=to, limit=limit, why=why, cuts=(Cut(limit, abs(wanted) - abs(to), why),))


def _places_denied(
    exposures: Sequence[Exposure], answers: Mapping[str, Answer], limits: Limits
) -> dict[str, Denied]:
    """Deny the candidates for which no place is left: larger ones first, ties by name, nothing evicted."""
    places, limit, why = _places(limits)
    free = max(0, places - sum(exposure.has_place for exposure in exposures))
    candidates = sorted(
        (
            e
            for e in exposures
            if e.wants_place and not e.has_place and not isinstance(answers[e.underlying], Denied)
        ),
        key=lambda e: (-abs(answers[e.underlying].to), e.underlying),
    )
    return {e.underlying: Denied(to=ZERO, limit=limit, why=why) for e in candidates[free:]}


def _places(limits: Limits) -> tuple[int, Limit, str]:
    """Return how many positions there may be, and what to say when all places are taken."""
    if limits.max_live is not None and limits.max_live < limits.max_positions:
        why = f"live trading begins with {limits.max_live} positions, all taken; its owner may raise that"
        return limits.max_live, Limit.RAMP, why
    only = limits.max_positions == 1
    why = "the only place is taken" if only else f"all {limits.max_positions} places are taken"
    return limits.max_positions, Limit.PLACES, why


def _correlated_capped(
    exposures: Sequence[Exposure],
    answers: Mapping[str, Answer],
    part: Decimal,
    equity: Decimal,
    correlations: Correlations,
) -> dict[str, Capped | Denied]:
    """Scale increases by one factor per group where its three largest would exceed the limit."""
    allowed = part * equity
    wanted = {underlying: answer.to for underlying, answer in answers.items()}
    if sum(sorted(map(abs, wanted.values()))[-TOP:], ZERO) <= allowed:
        return {}
    bases = {e.underlying: abs(kept(held=e.held, wanted=wanted[e.underlying])) for e in exposures}
    bounded = correlated_limit(bases=bases, wanted=wanted, allowed=allowed, correlations=correlations)
    result: dict[str, Capped | Denied] = {}
    placed = {e.underlying for e in exposures if e.has_place}
    for underlying, (to, group) in bounded.items():
        answer = Capped if to or underlying in placed else Denied
        why = _correlated_text(part, allowed, group)
        result[underlying] = answer(to=to, limit=Limit.CORRELATED, why=why)
    return result


def _correlated_text(part: Decimal, allowed: Decimal, group: CorrelatedGroup) -> str:
    """Say what the limit is and which positions it is about, and where nobody knows better."""
    guess = ", with too few returns to tell some apart" if group.guessed else ""
    return (
        f"{plain(part * 100)} % of equity ({dollars(allowed)}) in the three largest that move together: "
        f"{', '.join(group.top)}{guess}"
    )


def _gross_capped(
    exposures: Sequence[Exposure], answers: Mapping[str, Answer], cap: Decimal, equity: Decimal
) -> dict[str, Capped]:
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
