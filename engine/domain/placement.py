"""Third stage: whether the way from what is held to the target is sent now, and as what.

What a trader caused is sent whenever the venue would take it. What only followed from another
change of the trader's (its scale moved) is sent beyond the drift threshold. What nobody caused is
sent beyond it if the portfolio rebalances by itself, else recommended. A close is always sent, whole.

One order works per underlying at a time: while one does, it is waited for, or cancelled where the
target has turned against it; a liquidation is always waited for. A flip closes first; the other side
follows once the position is flat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from allocation.domain.drift import target_drift
from allocation.domain.limits import Capped, Denied
from core.decimals import BPS, ONE, ZERO
from core.instruments import Instrument
from engine.domain.copy_types import Market, WorkingOrder
from engine.domain.plan_types import Purpose

ENTRY_REACH: Final = 10 * BPS  # an entry is limited to 10 bps beyond the mark
EXIT_REACH: Final = 100 * BPS  # an exit must fill: 1 % protects from a broken book alone


class Cause(StrEnum):
    """Why a position should move."""

    TRADER = "trader"  # a trader, or a setting, changed this very leg, or such a change is unfinished
    SCALE = "scale"  # another leg of a contributing trader changed, and with it the scale of this one
    DRIFT = "drift"  # prices moved


class Verdict(StrEnum):
    """What happens to the difference between holding and target."""

    PLACE = "place"
    ON_TARGET = "on_target"
    WORKING = "working"  # an order is working and leads there
    WAIT = "wait"  # more is wanted once the working order has ended
    CANCEL = "cancel"  # the working order leads the wrong way
    SMALL = "small"  # below what the venue takes
    WITHIN = "within"  # within the drift threshold
    RECOMMEND = "recommend"  # beyond it, and the portfolio does not rebalance by itself
    UNFUNDED = "unfunded"  # no free capital for it, or no room beside what is held
    QUEUED = "queued"  # as many entries as may work at once do; it goes when one of them ends
    UNPRICED = "unpriced"  # the venue does not trade it or has no price


@dataclass(frozen=True, slots=True)
class Placement:
    """The verdict on one underlying.

    :param quantity: signed order quantity; 0 unless placed
    :param wanted: signed order quantity before room and capital were looked at
    :param bound: the limit that left too little room beside what is held now; None where none did
    :param flips: the close of a position whose target lies on the other side
    :param capital_needed: what the order needs of free capital, rounded up
    :param cancels: the working orders to cancel
    """

    verdict: Verdict
    cause: Cause
    quantity: Decimal = ZERO
    wanted: Decimal = ZERO
    purpose: Purpose | None = None
    flips: bool = False
    capital_needed: Decimal = ZERO
    cancels: tuple[WorkingOrder, ...] = ()
    bound: Capped | Denied | None = None

    @property
    def enters(self) -> bool:
        """Tell whether an order is placed that opens or enlarges."""
        return self.quantity != 0 and self.purpose is not None and not self.purpose.reduces

    @property
    def cut_short(self) -> bool:
        """Tell whether free capital or the room that is left let less through than was wanted."""
        return self.quantity != self.wanted


def placement_decide(
    *,
    target: Decimal,
    held: Decimal,
    working: Sequence[WorkingOrder],
    market: Market,
    cause: Cause,
    drift_threshold: Decimal,
    auto_rebalance: bool,
    entries_off: bool = False,
) -> Placement:
    """Decide what to do about one position.

    :param target: signed quantity wanted; ``held`` signed quantity now
    :param entries_off: nothing may be opened: orders working to open are cancelled too
    :param drift_threshold: fraction of the target below which drift is left alone
    """
    expected = held + sum((order.signed for order in working), ZERO)
    quantity, purpose, flips = step_toward(target=target, expected=expected, instrument=market.instrument)
    verdict = _judge(
        quantity=quantity,
        purpose=purpose,
        target=target,
        expected=expected,
        market=market,
        cause=cause,
        drift_threshold=drift_threshold,
        auto_rebalance=auto_rebalance,
    )
    if not working:
        placed = quantity if verdict is Verdict.PLACE else ZERO
        return Placement(verdict, cause, quantity=placed, wanted=placed, purpose=purpose, flips=flips)
    own = tuple(order for order in working if not order.forced_close)
    opening = tuple(order for order in own if order.signed * held >= 0)
    if entries_off and opening:
        return Placement(Verdict.CANCEL, cause, cancels=opening)
    if verdict is not Verdict.PLACE:
        return Placement(Verdict.WORKING, cause)
    against = tuple(order for order in own if order.signed * quantity < 0)
    return Placement(Verdict.CANCEL if against else Verdict.WAIT, cause, cancels=against)


def sendable(*, quantity: Decimal, purpose: Purpose, market: Market) -> bool:
    """Tell whether a signed order quantity reaches the venue's minimums.

    The venue values an entry at its limit, which for a sell lies below the mark; an order that passed at the
    mark alone would be refused and decided again without end.
    """
    price = market.mark
    if not purpose.reduces:
        price = min(price, limit_price(side_up=quantity > 0, purpose=purpose, market=market))
    if not purpose.reduces and abs(quantity) < market.instrument.min_quantity:
        return False
    return abs(quantity) * price >= market.instrument.min_notional


def limit_price(*, side_up: bool, purpose: Purpose, market: Market) -> Decimal:
    """Return the limit of an order: mark + reach for a buy (``side_up``), mark - reach for a sell.

    An entry's price is rounded inside its 10 bps, an exit's outward, so that it fills.
    """
    reach = EXIT_REACH if purpose.reduces else ENTRY_REACH
    raw = market.mark * (ONE + reach if side_up else ONE - reach)
    rounded = market.instrument.price(raw, up=side_up is purpose.reduces)
    return max(rounded, market.instrument.price_smallest)


def step_toward(
    *, target: Decimal, expected: Decimal, instrument: Instrument
) -> tuple[Decimal, Purpose | None, bool]:
    """Return the signed order quantity toward the target, its purpose, and whether it begins a flip."""
    if target == expected:
        return ZERO, None, False
    if target * expected < 0 or (target == 0 and expected != 0):
        return -expected, Purpose.CLOSE, target != 0
    quantity = instrument.quantity(target - expected)
    if abs(target) < abs(expected):
        return quantity, Purpose.REDUCE, False
    return quantity, Purpose.SCALE_IN if expected else Purpose.ENTRY, False


def _judge(
    *,
    quantity: Decimal,
    purpose: Purpose | None,
    target: Decimal,
    expected: Decimal,
    market: Market,
    cause: Cause,
    drift_threshold: Decimal,
    auto_rebalance: bool,
) -> Verdict:
    """Say what becomes of an order of ``quantity``, as if none were working."""
    if purpose is None:
        return Verdict.ON_TARGET
    if target == 0:
        return Verdict.PLACE
    if quantity == 0 or (
        purpose is not Purpose.CLOSE and not sendable(quantity=quantity, purpose=purpose, market=market)
    ):
        return Verdict.SMALL
    if cause is Cause.TRADER:
        return Verdict.PLACE
    if target_drift(actual=expected, target=target) <= drift_threshold:
        return Verdict.WITHIN
    return Verdict.PLACE if cause is Cause.SCALE or auto_rebalance else Verdict.RECOMMEND
