"""The owner's own limit entry: whether it may be placed, and as what. Pure.

Nothing is cut to fit: what does not pass as asked is refused with the reason and with what would pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from allocation.domain.limits import Allowed, order_check
from core.decimals import ONE, ZERO, dollars, plain
from core.errors import InputError
from core.types import OrderSide, Policy
from engine.domain.copy_types import CopyInputs, Holding, Market
from engine.domain.nets import entries_barred
from engine.domain.plan_types import Purpose
from execution.domain.orders import capital_needed

REACH: Final = Decimal("0.05")  # a limit further beyond the mark than this is taken for a slip of the finger


@dataclass(frozen=True, slots=True)
class EntryWish:
    """What the owner asks for.

    :param code: the instrument
    :param quantity: base units, positive
    """

    code: str
    side: OrderSide
    quantity: Decimal
    limit_price: Decimal

    @property
    def signed(self) -> Decimal:
        """The change of the position if all of it fills."""
        return self.quantity if self.side is OrderSide.BUY else -self.quantity


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """An entry that may be placed.

    :param capital_needed: what has to be reserved for it
    """

    wish: EntryWish
    market: Market
    purpose: Purpose
    capital_needed: Decimal


def entry_decide(*, wish: EntryWish, inputs: CopyInputs, granted: Decimal | None = None) -> EntryPlan:
    """Decide on an entry under the same bars and limits as every other (RSK-1, EXE-4).

    :param granted: capital that was reserved for it before; None takes it from what is free
    :raises InputError: it may not be placed; the message says why, and the field names what to change
    """
    market = market_find(code=wish.code, markets=inputs.markets)
    if market is None:
        raise InputError(f"“{wish.code}” is not traded here, or has no price yet.", field="instrument")
    underlying = market.instrument.underlying
    holding = inputs.holdings.get(underlying, Holding(underlying=underlying, quantity=ZERO))
    if barred := _barred(inputs, underlying):
        raise InputError(f"Nothing is opened in {underlying} now: {barred}.")
    _check_side(wish, holding, inputs.policy)
    _check_steps(wish, market)
    if holding.working:
        raise InputError(
            f"An order in {underlying} is working already; one works at a time. Cancel it first, or wait."
        )
    _check_limits(wish, market, holding, inputs)
    needed = capital_needed(
        quantity=wish.quantity,
        price=max(wish.limit_price, market.mark),
        margin_rate=inputs.margin_rate,
        fee_rate=inputs.fee_rate,
    )
    there = inputs.free_capital if granted is None else granted
    if needed > there:
        raise InputError(
            f"It needs {dollars(needed)} of capital, {dollars(there)} is "
            f"{'free' if granted is None else 'reserved'}.",
            field="quantity",
        )
    purpose = Purpose.SCALE_IN if holding.quantity else Purpose.ENTRY
    return EntryPlan(wish=wish, market=market, purpose=purpose, capital_needed=needed)


def _barred(inputs: CopyInputs, underlying: str) -> str:
    if inputs.world_ended:
        return "the recording is over"
    return entries_barred(inputs=inputs, underlying=underlying)


def market_find(*, code: str, markets: Mapping[str, Market]) -> Market | None:
    """Return the market of an instrument, None where it is not the one its underlying is traded in here."""
    by_code = {market.instrument.code: market for market in markets.values()}
    return by_code.get(code) or by_code.get(code.upper())


def _check_side(wish: EntryWish, holding: Holding, policy: Policy) -> None:
    if policy is Policy.SPOT and wish.side is OrderSide.SELL:
        raise InputError(
            "A spot portfolio opens nothing by selling. To sell what is held, close it.", field="side"
        )
    if wish.signed * holding.quantity < 0:
        held = "long" if holding.quantity > 0 else "short"
        raise InputError(
            f"{holding.underlying} is held {held}; this would reduce it. Close it, or a part of it, instead.",
            field="side",
        )


def _check_steps(wish: EntryWish, market: Market) -> None:
    """Hold quantity and price to the venue's steps, and the price to reason."""
    spec = market.instrument
    if wish.quantity != spec.quantity(wish.quantity):
        raise InputError(
            f"{spec.code} is traded in steps of {plain(spec.quantity_step)}; "
            f"{plain(spec.quantity(wish.quantity))} would pass.",
            field="quantity",
        )
    rounded = spec.price(wish.limit_price, up=False)
    if wish.limit_price != rounded:
        raise InputError(
            f"{spec.code} does not take so many digits in a price; {plain(rounded)} would pass.",
            field="limit_price",
        )
    value = wish.quantity * wish.limit_price
    if value < spec.min_notional:
        raise InputError(
            f"{dollars(value)} is below the venue's minimum of {dollars(spec.min_notional)}.",
            field="quantity",
        )
    buy = wish.side is OrderSide.BUY
    beyond = (wish.limit_price / market.mark - ONE) * (1 if buy else -1)
    if beyond > REACH:
        raise InputError(
            f"The limit is {plain(round(beyond * 100, 1))} % {'above' if buy else 'below'} the price of "
            f"{plain(market.mark)}; at most {plain(REACH * 100)} % is taken.",
            field="limit_price",
        )


def _check_limits(wish: EntryWish, market: Market, holding: Holding, inputs: CopyInputs) -> None:
    price = max(wish.limit_price, market.mark)
    answer = order_check(
        underlying=holding.underlying,
        notional=wish.signed * price,
        held={u: _coming(other, inputs.markets.get(u)) for u, other in inputs.holdings.items()},
        open_orders=sum(len(other.opening) for other in inputs.holdings.values()),
        limits=inputs.limits,
        equity=inputs.equity,
        policy=inputs.policy,
        correlations=inputs.correlations,
    )
    if not isinstance(answer, Allowed):
        room = market.instrument.quantity(abs(answer.to) / price)
        fits = f"{plain(room)} {market.instrument.code} would pass" if room else "no more of it passes"
        raise InputError(f"Your limits do not allow it: {answer.why}; {fits}.", field="quantity")


def _coming(holding: Holding, market: Market | None) -> Decimal:
    """Return what a holding is worth with what its working orders will add; at its entry without a price."""
    price = holding.average_entry if market is None else market.mark
    return (holding.quantity + sum((order.signed for order in holding.working), ZERO)) * price
