"""What the paper venue assumes about a market, and how one order meets one price.

There is no randomness: the same order on the same marks fills the same way. Prices are quote
currency per unit; a buy pays the mark plus half the spread plus slippage, a sell receives the mirror
of it. Each new mark shows a limited depth; what does not fit waits for the next one.

Assumptions and where they come from:

- Fees: every paper fill is charged as a taker of Hyperliquid's base tier: 0.045 % on perpetuals,
  0.070 % on spot (Hyperliquid documentation, "Fees", tier 0). Makers pay less; we never assume it.
- Depth: 250 quote units per unit of the venue's highest leverage for the instrument and mark. The venue's
  leverage is its own judgement of liquidity (BTC 40, small coins 3); the factor is ours and cautious.
- Slippage grows linearly with the share of that depth which an order takes, up to ``slippage_bps``.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from core.decimals import BPS, ONE, ZERO, to_money
from core.instruments import Instrument
from core.types import OrderSide, Policy

DEPTH_PER_LEVERAGE: Final = Decimal(250)
SPOT_TAKER_BPS: Final = Decimal(7)
PERP_TAKER_BPS: Final = Decimal("4.5")


@dataclass(frozen=True, slots=True)
class PaperAssumptions:
    """How the paper market behaves.

    :param half_spread_bps: distance from the mark to the touch
    :param slippage_bps: further distance at which an order that takes the whole depth fills
    :param depth_per_leverage: depth per mark in quote units, per unit of the instrument's highest leverage
    """

    half_spread_bps: Decimal = ONE
    slippage_bps: Decimal = Decimal(2)
    perp_fee_bps: Decimal = PERP_TAKER_BPS
    spot_fee_bps: Decimal = SPOT_TAKER_BPS
    depth_per_leverage: Decimal = DEPTH_PER_LEVERAGE
    latency_ms: int = 250

    def fee_bps(self, policy: str) -> Decimal:
        """Return the taker fee of a market."""
        return self.spot_fee_bps if policy == Policy.SPOT else self.perp_fee_bps


@dataclass(frozen=True, slots=True)
class PaperMatch:
    """What one order got at one mark: quantity > 0, its price, and the fee in quote currency."""

    quantity: Decimal
    price: Decimal
    fee: Decimal


def paper_match_step(
    *,
    side: str,
    policy: str,
    remaining: Decimal,
    limit_price: Decimal,
    mark: Decimal,
    instrument: Instrument,
    assumptions: PaperAssumptions,
) -> PaperMatch | None:
    """Match what is left of an order against one mark; None when its limit is not reached.

    :param remaining: base units still wanted (already capped by what may be reduced), a multiple of the step
    """
    buy = side == OrderSide.BUY
    sign = ONE if buy else -ONE
    touch = mark * (ONE + sign * assumptions.half_spread_bps * BPS)
    depth = assumptions.depth_per_leverage * instrument.max_leverage
    quantity = min(remaining, instrument.quantity(depth / touch) or instrument.quantity_step)
    quantity = min(quantity, _quantity_within(limit_price, touch, sign, depth, instrument, assumptions))
    if quantity <= 0:
        return None
    share = min(ONE, quantity * touch / depth)
    price = touch * (ONE + sign * assumptions.slippage_bps * BPS * share)
    price = instrument.price(price, up=buy)
    price = min(price, limit_price) if buy else max(price, limit_price)
    return PaperMatch(
        quantity=quantity,
        price=price,
        fee=to_money(quantity * price * assumptions.fee_bps(policy) * BPS),
    )


def _quantity_within(
    limit_price: Decimal,
    touch: Decimal,
    sign: Decimal,
    depth: Decimal,
    instrument: Instrument,
    assumptions: PaperAssumptions,
) -> Decimal:
    """Return the largest quantity whose slippage stays within the limit; 0 when the touch is beyond it."""
    room = sign * (limit_price / touch - ONE)
    if room < 0:
        return ZERO
    full_slippage = assumptions.slippage_bps * BPS
    share = ONE if room >= full_slippage else room / full_slippage
    within = instrument.quantity(share * depth / touch)
    return within or (instrument.quantity_step if share == ONE else ZERO)


def accept_problem(
    *,
    side: str,
    policy: str,
    quantity: Decimal,
    limit_price: Decimal,
    reduce_only: bool,
    held: Decimal,
    instrument: Instrument,
) -> str:
    """Return why the venue refuses an order, in words; empty when it takes it.

    :param held: signed quantity that the account holds of the instrument
    """
    if quantity <= 0 or quantity != instrument.quantity(quantity):
        return f"quantity {quantity} is not a multiple of the step {instrument.quantity_step}"
    if limit_price <= 0 or limit_price != instrument.price(limit_price, up=False):
        return f"price {limit_price} has more digits than {instrument.code} allows"
    if not reduce_only and quantity * limit_price < instrument.min_notional:
        return f"order value {quantity * limit_price} is below the minimum of {instrument.min_notional}"
    reducible = reducible_quantity(side=side, held=held)
    if reduce_only and reducible == 0:
        return "a reduce-only order, and there is nothing to reduce"
    if policy == Policy.SPOT and side == OrderSide.SELL and quantity > reducible:
        return f"{quantity} to sell and {reducible} held"
    return ""


def reducible_quantity(*, side: str, held: Decimal) -> Decimal:
    """Return how much an order of this side can take off a signed holding."""
    return max(ZERO, -held if side == OrderSide.BUY else held)
