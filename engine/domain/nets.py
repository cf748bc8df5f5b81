"""Second stage: one target per underlying, after conflict rule, bars and limits, and its slices.

The wishes' net, plus what stays for paused and lost traders and the owner, passes the limits as a
whole. Where a limit cuts it, the voting slices are scaled by one factor so that they sum to what
is allowed; only if that cannot do it (what stays alone is too large) are all slices scaled.

A leg whose trader's entry the price has run too far past asks for no more than it holds, each leg by itself.
While entries are barred a slice may only shrink, and the position only toward zero: what a trader takes
off beyond that waits, since it would open the other side. At a stale mark nothing changes hands either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from allocation.domain.limits import Allowed, Answer, Denied, Exposure, kept, limits_apply
from core.decimals import ONE, QUANTITY_STEP, ZERO, split_pro_rata, to_step
from engine.domain.chasing import legs_chased
from engine.domain.copy_types import CopyInputs, Holding, Market
from engine.domain.legs import Leg
from positions.domain.conflicts import Resolution
from positions.domain.netting import FollowId, SliceDelta, order_slices, slices_after


@dataclass(frozen=True, slots=True)
class Hold:
    """A conflict that nobody approved: what stays of its traders' slices, and why (CON-4).

    :param declined: its owner said no, or nothing in time; else the answer is awaited
    """

    why: str
    stays: Mapping[FollowId, Decimal]
    declined: bool = False


@dataclass(frozen=True, slots=True)
class Net:
    """Where one position should be.

    :param market: None where the venue does not trade it or has no price; then everything is held
    :param goals: slice targets after the conflict rule, before bars and limits
    :param targets: slice targets after them; Σ is the position's target
    :param wanted: Σ goals at the mark, in quote currency
    :param barred: why nothing may be opened here now
    :param crossable: the mark is good enough for slices to change hands at
    :param hold: the conflict is not approved, so the old target stands
    :param chased: traders whose entry the price has run too far past, and how far, as a fraction of it
    """

    underlying: str
    legs: tuple[Leg, ...]
    market: Market | None
    holding: Holding
    resolution: Resolution | None
    goals: Mapping[FollowId, Decimal]
    targets: Mapping[FollowId, Decimal]
    wanted: Decimal
    barred: str
    crossable: bool
    answer: Answer
    chased: Mapping[FollowId, Decimal] = field(default_factory=dict)
    hold: Hold | None = None

    @property
    def barred_by_price(self) -> bool:
        """Tell whether nothing but a stale price bars entries."""
        return self.market is not None and self.barred == _stale_text(self.underlying)

    @property
    def target(self) -> Decimal:
        """The position's target quantity."""
        return sum(self.targets.values(), ZERO)

    def moves(self, leg: Leg) -> bool:
        """Tell whether a leg's slice is to change."""
        return self.targets[leg.follow_id] != leg.held

    def barred_leg(self, leg: Leg) -> bool:
        """Tell whether a bar, a missing place, the price or its trader's style holds a leg back."""
        if self.targets[leg.follow_id] == self.goals[leg.follow_id]:
            return False
        return leg.follow_id in self.chased or bool(leg.withheld) or self.entries_stopped

    def held_back(self, leg: Leg) -> bool:
        """Tell whether a bar keeps a leg from getting smaller."""
        goal = self.goals[leg.follow_id]
        return self.entries_stopped and self.barred_leg(leg) and kept(held=leg.held, wanted=goal) != leg.held

    @property
    def entries_stopped(self) -> bool:
        """Tell whether a bar or a missing place stops every entry here."""
        return isinstance(self.answer, Denied) or bool(self.barred)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A net before the limits have answered."""

    underlying: str
    legs: tuple[Leg, ...]
    market: Market | None
    holding: Holding
    resolution: Resolution | None
    goals: Mapping[FollowId, Decimal]
    asked: Mapping[FollowId, Decimal]
    barred: str
    crossable: bool
    chased: Mapping[FollowId, Decimal]
    hold: Hold | None


def nets_limit(
    *,
    inputs: CopyInputs,
    legs: Mapping[str, tuple[Leg, ...]],
    resolutions: Mapping[str, Resolution],
    holds: Mapping[str, Hold],
) -> dict[str, Net]:
    """Turn the resolved wishes into limited targets, one per underlying."""
    drafts = [
        _draft(inputs, underlying, group, resolutions.get(underlying), holds.get(underlying))
        for underlying, group in legs.items()
    ]
    exposures = {draft.underlying: _exposure(draft) for draft in drafts}
    answers = limits_apply(
        exposures=tuple(exposures.values()),
        limits=inputs.limits,
        equity=inputs.equity,
        policy=inputs.policy,
        correlations=inputs.correlations,
    )
    return {
        draft.underlying: _net(draft, exposures[draft.underlying], answers[draft.underlying])
        for draft in drafts
    }


def entries_barred(*, inputs: CopyInputs, underlying: str) -> str:
    """Return why nothing of an underlying may be opened now; empty when it may."""
    if inputs.entries_blocked:
        return inputs.entries_blocked
    if underlying in inputs.blocked:
        return f"{underlying} is on the block list"
    if underlying in inputs.barred:
        return inputs.barred[underlying]
    market = inputs.markets.get(underlying)
    return _stale_text(underlying) if market is not None and market.stale else ""


def _stale_text(underlying: str) -> str:
    return f"the price of {underlying} is stale"


def _draft(
    inputs: CopyInputs,
    underlying: str,
    legs: tuple[Leg, ...],
    resolution: Resolution | None,
    hold: Hold | None,
) -> _Draft:
    """Convert wishes to quantities; barred, chased or on hold, no slice may ask for more than it holds."""
    market = inputs.markets.get(underlying)
    barred = entries_barred(inputs=inputs, underlying=underlying) or (hold.why if hold else "")
    goals = {leg.follow_id: leg.held if market is None else _goal(leg, market, resolution) for leg in legs}
    holding = inputs.holdings.get(underlying, Holding(underlying=underlying, quantity=ZERO))
    chased: dict[FollowId, Decimal] = {}
    if market is not None and not holding.opening:  # an order that works has its limit to guard it
        chased = legs_chased(legs=legs, goals=goals, market=market, max_chase=inputs.max_chase)
    asked = dict(goals)
    for leg in legs:
        if leg.votes and (barred or leg.withheld or leg.follow_id in chased):
            asked[leg.follow_id] = kept(held=leg.held, wanted=goals[leg.follow_id])
    if hold and market is not None:
        asked |= hold.stays
    return _Draft(
        underlying=underlying,
        legs=legs,
        market=market,
        holding=holding,
        resolution=resolution,
        goals=goals,
        asked=asked,
        barred=barred,
        # The last price of a recording that is over is as good as any that will come.
        crossable=market is not None and (not market.stale or inputs.world_ended),
        chased=chased,
        hold=hold,
    )


def _goal(leg: Leg, market: Market, resolution: Resolution | None) -> Decimal:
    """Return the slice target of one leg before limits, in units of our instrument."""
    if leg.stays is not None:
        return leg.stays
    if resolution is None or leg.follow_id is None:
        return ZERO
    return to_step(resolution.amounts.get(leg.follow_id, ZERO) / market.mark, QUANTITY_STEP)


def _exposure(draft: _Draft) -> Exposure:
    """Describe a draft to the limits. Without a price, what is held counts at its entry and stays."""
    price = draft.holding.average_entry if draft.market is None else draft.market.mark
    return Exposure(
        underlying=draft.underlying,
        wanted=sum(draft.asked.values(), ZERO) * price,
        held=draft.holding.quantity * price,
        has_place=any(draft.holding.slices.values()) or bool(draft.holding.working),
        wants_place=any(draft.asked.values()),
        barred=draft.barred,
    )


def _net(draft: _Draft, exposure: Exposure, answer: Answer) -> Net:
    """Bring the slices to what the limits allow."""
    targets = draft.asked
    if draft.market is not None and draft.barred:
        targets = _shrunk(draft)
    elif draft.market is not None and not isinstance(answer, Allowed):
        allowed = draft.holding.quantity if answer.to == exposure.held else answer.to / draft.market.mark
        targets = _scaled(draft, to_step(allowed, QUANTITY_STEP))
    return Net(
        underlying=draft.underlying,
        legs=draft.legs,
        market=draft.market,
        holding=draft.holding,
        resolution=draft.resolution,
        goals=draft.goals,
        targets=targets,
        wanted=sum(draft.goals.values(), ZERO) * (draft.market.mark if draft.market else ZERO),
        barred=draft.barred,
        crossable=draft.crossable,
        answer=answer,
        chased=draft.chased,
        hold=draft.hold,
    )


def _shrunk(draft: _Draft) -> dict[FollowId, Decimal]:
    """Let slices shrink as far as the position shrinks, or as they meet each other; the rest stays held."""
    held = draft.holding.quantity
    changes = [SliceDelta(leg.follow_id, draft.asked[leg.follow_id] - leg.held) for leg in draft.legs]
    buys = [change for change in changes if change.quantity > 0]
    sells = [change for change in changes if change.quantity < 0]
    bought = sum((change.quantity for change in buys), ZERO)
    sold = -sum((change.quantity for change in sells), ZERO)
    beyond = held + bought - sold
    beyond -= kept(held=held, wanted=beyond)
    bought -= max(beyond, ZERO)
    sold += min(beyond, ZERO)
    crossed = ZERO if draft.crossable else min(bought, sold)
    shares = (
        *order_slices(rest=buys, quantity=bought - crossed),
        *order_slices(rest=sells, quantity=crossed - sold),
    )
    return slices_after(slices={leg.follow_id: leg.held for leg in draft.legs}, transfers=(), changes=shares)


def _scaled(draft: _Draft, allowed: Decimal) -> dict[FollowId, Decimal]:
    """Scale slices by one factor to sum to ``allowed``: the voting ones if that suffices, else all."""
    voting = [leg.follow_id for leg in draft.legs if leg.votes]
    votes = sum((draft.asked[follow] for follow in voting), ZERO)
    staying = sum(draft.asked.values(), ZERO) - votes
    scaled = voting if votes and 0 <= (allowed - staying) / votes <= ONE else list(draft.asked)
    rest = sum((quantity for follow, quantity in draft.asked.items() if follow not in scaled), ZERO)
    amounts = [draft.asked[follow] for follow in scaled]
    if not any(amounts) or sum(amounts, ZERO) == 0:
        return dict.fromkeys(draft.asked, ZERO)
    shares = split_pro_rata(allowed - rest, amounts, step=QUANTITY_STEP)
    return dict(draft.asked) | dict(zip(scaled, shares, strict=True))
