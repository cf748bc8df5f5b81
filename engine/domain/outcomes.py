"""How a change of one leg ended: the kind of decision, a title, and the sentence that explains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from allocation.domain.limits import Capped, reason_of
from core.decimals import ZERO
from core.types import Policy
from engine.domain import reasons
from engine.domain.copy_types import FollowState
from engine.domain.legs import Leg
from engine.domain.nets import Net
from engine.domain.placement import Cause, Placement, Verdict
from engine.domain.plan_types import DecisionKind
from engine.domain.scoring import CandidateScore
from engine.domain.settle import Settlement


@dataclass(frozen=True, slots=True)
class Case:
    """One underlying with all that was decided about it."""

    net: Net
    placement: Placement
    settlement: Settlement
    policy: Policy
    forced: bool
    rank: CandidateScore | None = None  # of an entry that is placed or has to wait its turn

    @property
    def crossed(self) -> Decimal:
        """What changes hands between traders, as an unsigned quantity."""
        return sum((transfer.quantity for transfer in self.settlement.transfers), ZERO)


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way for a change to end.

    :param title: a few words with {} where the underlying goes
    :param sentence: writes the reason for the legs that ended so
    """

    kind: DecisionKind
    title: str
    sentence: Callable[[Sequence[Leg], Case], str]


def _carried(legs: Sequence[Leg], case: Case) -> str:
    return reasons.copied(legs, case.net, case.placement, case.crossed)


def _merged(legs: Sequence[Leg], case: Case) -> str:
    return reasons.merged(legs, case.net, case.placement, case.crossed)


def _closed_to_flat(legs: Sequence[Leg], case: Case) -> str:
    return f"{reasons.spot_short(legs, case.net)} {_carried(legs, case)}"


def _barred(legs: Sequence[Leg], case: Case) -> str:
    why = case.net.barred or reason_of(answer=case.net.answer)
    return f"Nothing is opened for {reasons.names(legs)}: {why}."


def _held_back(legs: Sequence[Leg], case: Case) -> str:
    return reasons.held_back(legs, case.net)


def _cancelled(legs: Sequence[Leg], case: Case) -> str:
    return (
        f"{reasons.names(legs)} now wants otherwise; the order in {case.net.underlying} is cancelled; "
        "it is decided anew once that is confirmed."
    )


def _waiting(legs: Sequence[Leg], case: Case) -> str:
    return f"{reasons.names(legs)}: an order in {case.net.underlying} is working; the rest follows after it."


def _undecided(legs: Sequence[Leg], case: Case) -> str:
    return reasons.undecided(legs, case.net, case.placement)


def _chased(legs: Sequence[Leg], case: Case) -> str:
    return reasons.chased(legs, case.net, case.placement)


def _withheld(legs: Sequence[Leg], case: Case) -> str:
    return f"{reasons.names(legs)} wants more of {case.net.underlying}, but {legs[0].withheld}."


def _queued(legs: Sequence[Leg], case: Case) -> str:
    return reasons.queued(legs, case.net, case.placement, case.rank)


def _unpriced(legs: Sequence[Leg], case: Case) -> str:
    return f"{reasons.names(legs)} moved in {case.net.underlying}, which has no market or no price here."


def _paused(legs: Sequence[Leg], case: Case) -> str:
    return f"{reasons.names(legs)} is paused: what it opens or adds in {case.net.underlying} is not copied."


_K: Final = DecisionKind
COPIED: Final = Outcome(_K.COPIED, "Copied {}", _carried)
LEAVING: Final = Outcome(_K.COPIED, "Closing {}, no longer followed", _carried)
STOPPED: Final = Outcome(_K.COPIED, "Closing {}, copy stop-loss", _carried)
CLEARED: Final = Outcome(_K.COPIED, "Closing {}", _carried)
CLOSED_TO_FLAT: Final = Outcome(_K.COPIED, "Closing {}", _closed_to_flat)
ADJUSTED: Final = Outcome(_K.COPIED, "Adjusted {} to new settings", _carried)
CONTINUED: Final = Outcome(_K.COPIED, "Continued {}", _carried)
RESCALED: Final = Outcome(_K.COPIED, "Rescaled {}", _carried)
REBALANCED: Final = Outcome(_K.COPIED, "Rebalanced {}", lambda _, c: reasons.drifted(c.net, done=True))
RECOMMENDED: Final = Outcome(
    _K.HELD, "Rebalance recommended for {}", lambda _, c: reasons.drifted(c.net, done=False)
)
MERGED: Final = Outcome(_K.MERGED, "Merged {}", _merged)
OVERRULED: Final = Outcome(_K.MERGED, "Overruled in {}", lambda legs, c: reasons.overruled(legs, c.net))
OFFSET: Final = Outcome(_K.MERGED, "Offset {}", lambda legs, c: reasons.spot_short(legs, c.net))
NO_SHORTS: Final = Outcome(_K.REFUSED, "No short of {}", lambda legs, c: reasons.spot_short(legs, c.net))
CAPPED: Final = Outcome(
    _K.CAPPED, "Capped {}", lambda legs, c: reasons.capped(legs, c.net, reason_of(answer=c.net.answer))
)
CUT: Final = Outcome(_K.CAPPED, "Capped {}", lambda legs, c: reasons.cut_short(legs, c.net, c.placement))
UNFUNDED: Final = Outcome(
    _K.DELAYED, "Waiting for capital for {}", lambda legs, c: reasons.cut_short(legs, c.net, c.placement)
)
ROOM: Final = Outcome(
    _K.DELAYED, "Waiting for room for {}", lambda legs, c: reasons.cut_short(legs, c.net, c.placement)
)
QUEUED: Final = Outcome(_K.DELAYED, "Waiting its turn: {}", _queued)
BARRED: Final = Outcome(_K.REFUSED, "Refused {}", _barred)
AWAITING: Final = Outcome(_K.DELAYED, "Waiting for your approval of {}", _undecided)
DECLINED: Final = Outcome(_K.REFUSED, "Not approved: {}", _undecided)
WITHHELD: Final = Outcome(_K.REFUSED, "Withheld {}", _withheld)
CHASED: Final = Outcome(_K.REFUSED, "Too late for {}", _chased)
STALE: Final = Outcome(_K.DELAYED, "Waiting for a fresh price of {}", _barred)
HELD_BACK: Final = Outcome(_K.DELAYED, "Waiting to reduce {}", _held_back)
CANCELLED: Final = Outcome(_K.DELAYED, "Cancelling an order in {}", _cancelled)
WAITING: Final = Outcome(_K.DELAYED, "Waiting for an order in {}", _waiting)
FLIPPING: Final = Outcome(_K.DELAYED, "Flipping {}", lambda legs, c: reasons.flipping(legs, c.net))
SMALL: Final = Outcome(_K.HELD, "Too small to send in {}", lambda legs, c: reasons.small(legs, c.net))
PAUSED: Final = Outcome(_K.HELD, "Paused, not copied in {}", _paused)
UNPRICED: Final = Outcome(_K.REFUSED, "No market for {}", _unpriced)
UNPRICED_EXIT: Final = Outcome(_K.DELAYED, "Waiting for a price of {}", _unpriced)

_BY_VERDICT: Final[Mapping[Verdict, Outcome]] = {
    Verdict.WAIT: WAITING,
    Verdict.CANCEL: CANCELLED,
    Verdict.UNFUNDED: UNFUNDED,
    Verdict.QUEUED: QUEUED,
}


def leg_outcome(*, leg: Leg, case: Case) -> Outcome | None:
    """Say how a leg's change ended; None where nothing changed and nothing was done."""
    net = case.net
    if leg.withheld and net.barred_leg(leg) and not net.entries_stopped:
        return WITHHELD
    if leg.follow_id in net.chased and not net.entries_stopped:
        return CHASED
    if not leg.changed and not (net.moves(leg) and case.placement.cause is Cause.TRADER):
        return _uncaused(leg, case)
    if net.market is None:
        return UNPRICED_EXIT if leg.held else UNPRICED
    settled = _before_placing(leg, case)
    if settled is not None:
        return settled
    if leg.follow_id not in case.settlement.adopted:
        return SMALL if leg.changed else None
    return _after_placing(leg, case)


def _uncaused(leg: Leg, case: Case) -> Outcome | None:
    """Outcome of a leg its trader left alone: a scale that moved, or drift."""
    if not case.net.moves(leg):
        return None
    if case.placement.verdict is Verdict.RECOMMEND:
        return RECOMMENDED
    if case.placement.verdict is not Verdict.PLACE:
        return None
    if case.net.target == 0:
        return CLEARED
    return RESCALED if case.placement.cause is Cause.SCALE else REBALANCED


def _before_placing(leg: Leg, case: Case) -> Outcome | None:
    """Outcomes that pauses, bars, rule and policy settle before any order is thought of."""
    net, resolution = case.net, case.net.resolution
    if net.hold and leg.votes and net.barred_leg(leg):
        return DECLINED if net.hold.declined else AWAITING
    if net.held_back(leg):
        return HELD_BACK
    if leg.state is FollowState.PAUSED and not net.moves(leg):
        return PAUSED
    if net.barred_leg(leg):
        return STALE if net.barred_by_price else BARRED
    if not leg.votes or not leg.wish or resolution is None:
        return None
    if resolution.winner is not None and resolution.winner.follow_id != leg.follow_id:
        return OVERRULED
    if case.policy is Policy.SPOT and leg.wish < 0:
        if resolution.net > 0:
            return OFFSET
        return CLOSED_TO_FLAT if net.moves(leg) else NO_SHORTS
    return None


def _after_placing(leg: Leg, case: Case) -> Outcome:
    """Outcomes of a change on its way: what the placement, the limits and the rule made of it."""
    placement, net = case.placement, case.net
    if placement.verdict in _BY_VERDICT and (net.moves(leg) or placement.verdict is Verdict.CANCEL):
        no_room = placement.verdict is Verdict.UNFUNDED and placement.bound is not None
        return ROOM if no_room else _BY_VERDICT[placement.verdict]
    if placement.flips:
        return FLIPPING
    if leg.state is FollowState.LEAVING:
        return LEAVING
    if leg.state is FollowState.STOPPED:
        return STOPPED
    if placement.cut_short:
        return CUT
    if isinstance(net.answer, Capped) and leg.wish:
        return CAPPED
    if net.resolution is not None and net.resolution.kind is not None and leg.wish:
        return MERGED
    if leg.changed:
        return COPIED
    return ADJUSTED if case.forced else CONTINUED
