"""How much room the limits leave for entries now, beside everything that is held or on its way.

Targets together fit the limits, but what is above its target is not sold yet: a reduction may still be on
its way, or be left alone as drift. So before an entry goes it is asked once more what it may add to what is
there. What does not fit waits, as it does for capital, and goes when something else has been sold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from allocation.domain.correlation import Correlations
from allocation.domain.limits import Allowed, Capped, Denied, Limits, order_check
from core.decimals import ZERO
from core.types import Policy
from engine.domain.copy_types import CopyInputs, Holding, Market


@dataclass(slots=True)
class Room:
    """What is there, and what the entries given out so far will add.

    :param taken: signed notional by underlying; an underlying that has a place is listed, also with 0
    """

    limits: Limits
    equity: Decimal
    policy: Policy
    correlations: Correlations = field(default_factory=Correlations)
    taken: dict[str, Decimal] = field(default_factory=dict)

    def left_for(self, *, underlying: str, quantity: Decimal, market: Market) -> Capped | Denied | None:
        """Return what a limit leaves of an entry of this signed quantity; None where all of it fits."""
        answer = order_check(
            underlying=underlying,
            notional=quantity * market.mark,
            held=self.taken,
            open_orders=0,  # how many may work at once is the turn's to say
            limits=self.limits,
            equity=self.equity,
            policy=self.policy,
            correlations=self.correlations,
        )
        return None if isinstance(answer, Allowed) else answer

    def take(self, *, underlying: str, quantity: Decimal, market: Market) -> None:
        """Give room to an entry of this signed quantity."""
        self.taken[underlying] = self.taken.get(underlying, ZERO) + quantity * market.mark


def room_beside(*, inputs: CopyInputs) -> Room:
    """Return the room beside the positions as they are, and the orders that will enlarge them."""
    return Room(
        limits=inputs.limits,
        equity=inputs.equity,
        policy=inputs.policy,
        correlations=inputs.correlations,
        taken={u: _coming(holding, inputs.markets) for u, holding in inputs.holdings.items()},
    )


def _coming(holding: Holding, markets: Mapping[str, Market]) -> Decimal:
    """Return what a holding is worth with what works to enlarge it; at its entry without a price."""
    market = markets.get(holding.underlying)
    opening = sum((order.signed for order in holding.opening), ZERO)
    return (holding.quantity + opening) * (market.mark if market else holding.average_entry)
