"""The order that takes something off a position: reduce-only, its part of every slice pro rata.

Whoever exits on our own account drafts it here: the owner, a breaker, a liquidation, an exit rule. What the
copy cycle reduces is for one trader's slice and drafted by its plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from core.decimals import ZERO
from core.instruments import Instrument
from core.types import OrderSide, Policy
from engine.domain.copy_types import Market
from engine.domain.placement import limit_price
from engine.domain.plan_types import Purpose
from execution.domain.orders import OrderDraft, SliceDraft, market_limit
from positions.domain.netting import FollowId, exit_slices


@dataclass(frozen=True, slots=True)
class HeldPosition:
    """An open position as an exit sees it.

    :param quantity: signed, in units of the instrument, not 0
    :param slices: signed quantity by follow, Σ = ``quantity``; None is the owner's own part
    :param there: how much of it the venue still shows, positive, where that is less; None: all of it
    """

    instrument: Instrument
    policy: Policy
    quantity: Decimal
    margin_rate: Decimal
    slices: Mapping[FollowId, Decimal]
    there: Decimal | None = None

    @property
    def closable(self) -> Decimal:
        """How much can be closed: what is held, or what the venue still shows of it, in its steps."""
        held = abs(self.quantity)
        return held if self.there is None else min(held, self.instrument.quantity(self.there))


class NothingThere(ValueError):
    """The venue shows nothing any more of a position that our books hold."""


def exit_draft(
    *,
    held: HeldPosition,
    quantity: Decimal,
    mark: Decimal,
    market: bool,
    purpose: str,
    reason: str,
    lifetime_s: int,
    origin: str,
    command_id: UUID | None = None,
) -> OrderDraft:
    """Return the reduce-only order that takes ``quantity`` off a position.

    :param quantity: base units, 0 < quantity ≤ what is held; where the venue shows less, so much is closed
    :param market: take what is offered, at most 5 % beyond the mark; else the limit is 1 % beyond it
    :param purpose: one of ``execution.models.Order.Purpose``; ``origin`` one of ``Order.Origin``
    :raises NothingThere: the venue shows nothing of it any more
    :raises ValueError: more than is held, or nothing
    """
    if not ZERO < quantity <= abs(held.quantity):
        msg = f"an exit takes more than 0 and at most the {abs(held.quantity)} that is held, got {quantity}"
        raise ValueError(msg)
    if not held.closable:
        msg = f"the account shows nothing of the {abs(held.quantity)} {held.instrument.code} in our books"
        raise NothingThere(msg)
    quantity = min(quantity, held.closable)
    side = OrderSide.BUY if held.quantity < 0 else OrderSide.SELL
    shares = exit_slices(slices=held.slices, quantity=quantity if side is OrderSide.BUY else -quantity)
    return OrderDraft(
        instrument_code=held.instrument.code,
        underlying=held.instrument.underlying,
        policy=held.policy,
        side=side,
        quantity=quantity,
        limit_price=_limit(side=side, mark=mark, instrument=held.instrument, market=market),
        reduce_only=True,
        purpose=purpose,
        slices=[SliceDraft(share.follow_id, share.quantity) for share in shares],
        decision_mark=mark,
        margin_rate=held.margin_rate,
        reason=reason,
        lifetime_s=lifetime_s,
        origin=origin,
        market=market,
        command_id=command_id,
    )


def _limit(*, side: OrderSide, mark: Decimal, instrument: Instrument, market: bool) -> Decimal:
    if market:
        return market_limit(side=side, mark=mark, instrument=instrument)
    priced = Market(instrument=instrument, mark=mark)
    return limit_price(side_up=side is OrderSide.BUY, purpose=Purpose.REDUCE, market=priced)
