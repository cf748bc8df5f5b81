"""How much of a trader's book this capital could copy, before following (BEY-4). Pure.

No second model: the trader is put among the portfolio's follows, and the deciding code that trades is asked
what comes of it (``engine.domain.foresee``). Wished is the trader's whole book at its share: weight x our
equity x notional ÷ trader's equity. Copied is what its slices come to rest at. Both are signed notionals in
quote currency; what lies between is told by cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_CEILING, Decimal
from typing import Final

from allocation.domain.copied import copied_notional
from allocation.domain.limits import Limit
from core.decimals import ONE, ZERO
from core.types import ConflictRule, Policy
from engine.domain.copy_types import CopyInputs, FollowInput
from engine.domain.foresee import Foreseen, settle_foresee
from engine.domain.idle import LABELS
from engine.domain.plan_types import LegTarget

CANDIDATE: Final = 0  # the follow that is not one yet; stored ones begin at 1
ENOUGH: Final = Decimal("0.90")
MOST_TIMES: Final = 1024  # capital is looked for up to so many times what is there
HALVINGS: Final = 8
SEARCH_ROUNDS: Final = 5
SLIVER: Final = Decimal("0.005")  # of a wish: no cause of its own
_CROWD: Final = 120  # legs in all beyond which the capital needed is not looked for: it would take seconds

SCALED: Final = "Scaled to its share"
BEFORE: Final = "Open from before"
UNTRADED: Final = "Not traded here"
SHORT: Final = "Spot policy: shorts only lower others' longs"
CONFLICT: Final = "Conflict with another trader"
ROUNDING: Final = "Rounding and fees"


@dataclass(frozen=True, slots=True)
class FeasibleLeg:
    """One underlying of the trader's book.

    :param wished: signed notional of all of it at the trader's share
    :param copied: signed notional that its slice comes to
    :param reasons: what is not copied, unsigned, by cause, the largest first
    """

    underlying: str
    wished: Decimal
    copied: Decimal
    reasons: tuple[tuple[str, Decimal], ...]


@dataclass(frozen=True, slots=True)
class Feasibility:
    """A trader's whole book.

    :param legs: largest wish first
    :param capital_enough: equity with which at least 90 % would be copied, about; None where no amount helps,
        or where that was not looked for
    :param share: capital that the trader is assigned; ``weight`` the fraction of equity that is
    :param scale: factor on every position so that the trader stays within its share, 1 where it does not bind
    """

    legs: tuple[FeasibleLeg, ...]
    weight: Decimal
    share: Decimal
    scale: Decimal
    capital_enough: Decimal | None = None
    capital_sought: bool = False

    @property
    def wished(self) -> Decimal:
        """Gross notional of the trader's book at its share."""
        return sum((abs(leg.wished) for leg in self.legs), ZERO)

    @property
    def copied(self) -> Decimal:
        """Gross notional that is copied."""
        return sum((abs(leg.copied) for leg in self.legs), ZERO)

    @property
    def fraction(self) -> Decimal:
        """Copied ÷ wished, at most 1; 1 where nothing is open."""
        return min(ONE, self.copied / self.wished) if self.wished else ONE

    @property
    def reasons(self) -> tuple[tuple[str, Decimal], ...]:
        """What is not copied in all, as a fraction of the wish, by cause, the largest first."""
        sums: dict[str, Decimal] = {}
        for leg in self.legs:
            for cause, amount in leg.reasons:
                sums[cause] = sums.get(cause, ZERO) + amount
        return tuple(
            (cause, amount / self.wished)
            for cause, amount in sorted(sums.items(), key=lambda item: (-item[1], item[0]))
        )


def feasibility_foresee(*, inputs: CopyInputs, seek_capital: bool = True) -> Feasibility:
    """Say what would be copied of the follow ``CANDIDATE`` among the inputs.

    What the moment alone decides is left out: prices are taken as fresh, conflicts as approved, no dry run.

    :raises UnableToAllocate: more than ten traders have a share
    """
    settled = _still(inputs)
    found = _feasibility(settled, settle_foresee(inputs=settled))
    if not seek_capital or found.fraction >= ENOUGH or _legs(inputs) > _CROWD:
        return found
    return replace(found, capital_enough=_capital_enough(settled), capital_sought=True)


def _still(inputs: CopyInputs) -> CopyInputs:
    markets = {u: replace(market, stale=False) for u, market in inputs.markets.items()}
    everything = frozenset().union(*(follow.book.legs for follow in inputs.follows if follow.book))
    return replace(
        inputs,
        markets=markets,
        approves_conflicts=False,
        dry_run=False,
        world_ended=False,
        forced=everything.union(inputs.holdings),
    )


def _legs(inputs: CopyInputs) -> int:
    return sum(len(follow.book.legs) for follow in inputs.follows if follow.book)


def _candidate(inputs: CopyInputs) -> FollowInput:
    return next(follow for follow in inputs.follows if follow.follow_id == CANDIDATE)


def _feasibility(inputs: CopyInputs, foreseen: Foreseen) -> Feasibility:
    candidate, plan = _candidate(inputs), foreseen.plan
    weight = plan.weights.get(CANDIDATE, ZERO)
    share = weight * max(inputs.equity, ZERO)
    targets = {target.underlying: target for target in plan.targets if target.follow_id == CANDIDATE}
    book = candidate.book
    legs = []
    if book is not None and book.usable:
        for underlying, leg in book.legs.items():
            wished = leg.notional * share / book.equity
            new = copied_notional(leg=leg, ignored=candidate.ignored.get(underlying, ZERO))
            asked = new * share / book.equity
            legs.append(_leg(inputs, foreseen, targets.get(underlying), underlying, wished, asked))
    return Feasibility(
        legs=tuple(sorted(legs, key=lambda leg: (-abs(leg.wished), leg.underlying))),
        weight=weight,
        share=share,
        scale=_scale(targets, candidate, weight * max(foreseen.inputs.equity, ZERO)),
    )


def _scale(targets: Mapping[str, LegTarget], candidate: FollowInput, share: Decimal) -> Decimal:
    """Return the one factor on all targets, told by what they came to with this share."""
    if candidate.book is None or not candidate.book.usable:
        return ONE
    asked = sum(
        (
            abs(copied_notional(leg=leg, ignored=candidate.ignored.get(underlying, ZERO)))
            for underlying, leg in candidate.book.legs.items()
        ),
        ZERO,
    ) * (share / candidate.book.equity)
    wanted = sum((abs(target.wanted_notional) for target in targets.values()), ZERO)
    scale = wanted / asked if asked else ONE
    return scale if scale < ONE - SLIVER else ONE


def _leg(
    inputs: CopyInputs,
    foreseen: Foreseen,
    target: LegTarget | None,
    underlying: str,
    wished: Decimal,
    asked: Decimal,
) -> FeasibleLeg:
    market = inputs.markets.get(underlying)
    holding = foreseen.inputs.holdings.get(underlying)
    held = holding.slices.get(CANDIDATE, ZERO) if holding else ZERO
    copied = held * market.mark if market else ZERO
    wanted = target.wanted_notional if target else ZERO
    gaps = [(BEFORE, abs(wished) - abs(asked)), (SCALED, abs(asked) - abs(wanted))]
    gaps += _rest(inputs, foreseen, underlying, wanted, abs(wanted) - abs(copied))
    return FeasibleLeg(underlying=underlying, wished=wished, copied=copied, reasons=_told(gaps, abs(wished)))


def _told(gaps: list[tuple[str, Decimal]], wished: Decimal) -> tuple[tuple[str, Decimal], ...]:
    """Return the causes that take something to speak of; slivers go to rounding together."""
    sums: dict[str, Decimal] = {}
    for cause, gap in gaps:
        if gap > 0:
            name = cause if gap >= SLIVER * wished else ROUNDING
            sums[name] = sums.get(name, ZERO) + gap
    told = [(cause, gap) for cause, gap in sums.items() if gap >= SLIVER * wished]
    return tuple(sorted(told, key=lambda gap: (-gap[1], gap[0])))


def _rest(
    inputs: CopyInputs, foreseen: Foreseen, underlying: str, wanted: Decimal, gap: Decimal
) -> list[tuple[str, Decimal]]:
    """Name what takes the part of a scaled target that is not copied, in proportion to what each takes."""
    if gap <= 0:
        return []
    if underlying not in inputs.markets:
        return [(UNTRADED, gap)]
    if inputs.policy is Policy.SPOT and wanted < 0:
        return [(SHORT, gap)]
    idle = [idle for idle in foreseen.plan.idle if idle.underlying == underlying]
    causes = [each for each in idle if each.limit != Limit.GROSS] or idle
    taken = sum((each.amount for each in causes), ZERO)
    if taken > 0:
        return [(_cause(each.limit, each.why), gap * each.amount / taken) for each in causes]
    rule = inputs.overrides.get(underlying, inputs.rule)
    others = any(
        underlying in follow.book.legs
        for follow in inputs.follows
        if follow.book is not None and follow.follow_id != CANDIDATE
    )
    return [(CONFLICT if others and rule is not ConflictRule.COMBINE else ROUNDING, gap)]


def _cause(limit: str, why: str) -> str:
    """Name a limit as everywhere; a bar by its own words."""
    return why if limit == Limit.BARRED else LABELS.get(limit, limit)


def _capital_enough(inputs: CopyInputs) -> Decimal | None:
    """Return the equity with which 90 % would be copied, to two digits and rounded up; None where none is.

    It is money that comes in: equity and free capital grow by as much.
    """
    if inputs.equity <= 0 or not _enough(inputs, inputs.equity * MOST_TIMES):
        return None
    low, high = ONE, Decimal(MOST_TIMES)
    for _ in range(HALVINGS):
        middle = (low * high).sqrt()
        low, high = (low, middle) if _enough(inputs, inputs.equity * middle) else (middle, high)
    needed = inputs.equity * high
    return needed.quantize(ONE.scaleb(needed.adjusted() - 1), rounding=ROUND_CEILING)


def _enough(inputs: CopyInputs, equity: Decimal) -> bool:
    more = equity - inputs.equity
    richer = replace(inputs, equity=equity, free_capital=inputs.free_capital + more)
    foreseen = settle_foresee(inputs=richer, most_rounds=SEARCH_ROUNDS)
    return _feasibility(richer, foreseen).fraction >= ENOUGH
