"""Small worlds to decide in: traders by a few words, and a book-keeper that carries a plan out in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from allocation.domain.books import TraderBook, TraderLeg
from allocation.domain.limits import Limits
from core.decimals import ZERO
from core.instruments import Instrument
from core.types import ConflictRule, OrderSide, Policy
from engine.domain.copy_types import CopyInputs, FollowInput, FollowState, Holding, LegMemory, Market
from engine.domain.plan_types import CopyPlan
from positions.domain.netting import FollowId, Transfer, slices_after

D = Decimal
T0 = datetime(2025, 10, 20, 12, 0, tzinfo=UTC)
WIDE = Limits(
    max_position=D(10),
    max_positions=100,
    max_correlated=D(10),
    max_gross=D(2),
    max_asset_weight=D(10),
    max_open_orders=100,
)
PRICES = {"BTC": D(60000), "ETH": D(3000), "SOL": D(200), "DOGE": D("0.2")}
STEPS = {"BTC": D("0.00001"), "ETH": D("0.0001"), "SOL": D("0.01"), "DOGE": D(1)}


def bounds(position: Decimal, positions: int, gross: Decimal) -> Limits:
    """Limits for the size of one position, their number and their sum; wide for all else."""
    return replace(WIDE, max_position=position, max_positions=positions, max_gross=gross)


def instrument(code: str, *, step: Decimal | None = None) -> Instrument:
    """An instrument with the steps of the venue's own, underlying equal to its code."""
    return Instrument(
        code=code,
        underlying=code,
        multiplier=D(1),
        quantity_step=step or STEPS.get(code, D("0.01")),
        price_places=6,
    )


def markets(
    prices: Mapping[str, Decimal] = PRICES, *, stale: frozenset[str] = frozenset()
) -> dict[str, Market]:
    return {code: Market(instrument(code), price, stale=code in stale) for code, price in prices.items()}


def book(
    equity: Decimal | int,
    quantities: Mapping[str, Any],
    prices: Mapping[str, Decimal] = PRICES,
    *,
    entries: Mapping[str, Decimal] | None = None,
) -> TraderBook:
    """A trader with ``equity`` and these signed quantities at these prices; opened in the given order.

    Its ``entries`` are what it paid, by default today's prices.
    """
    legs = {
        code: TraderLeg(
            underlying=code,
            quantity=D(quantity),
            notional=D(quantity) * prices[code],
            entry_price=(entries or prices)[code],
            opened_at=T0 + timedelta(minutes=place),
        )
        for place, (code, quantity) in enumerate(quantities.items())
        if D(quantity)
    }
    return TraderBook(equity=D(equity), legs=legs)


def follow(follow_id: int, trader: TraderBook | None, **more: Any) -> FollowInput:
    """Follow ``follow_id``, named after it (A, B, …) and placed by it."""
    values: dict[str, Any] = {
        "follow_id": follow_id,
        "trader_id": 100 + follow_id,
        "name": chr(64 + follow_id),
        "place": follow_id,
        "state": FollowState.ACTIVE,
        "book": trader,
        "basis_id": 1,
        "decided_basis_id": 1,
    }
    return FollowInput(**(values | more))


def inputs(*follows: FollowInput, **more: Any) -> CopyInputs:
    """A perp portfolio of 10,000 with wide limits, unless said otherwise."""
    values: dict[str, Any] = {
        "policy": Policy.PERP,
        "rule": ConflictRule.COMBINE,
        "limits": WIDE,
        "equity": D(10000),
        "free_capital": D(1000000),
        "follows": follows,
        "holdings": {},
        "markets": markets(),
    }
    return CopyInputs(**(values | more))


def holding(underlying: str, slices: Mapping[FollowId, Any], **more: Any) -> Holding:
    parts = {follow_id: D(quantity) for follow_id, quantity in slices.items()}
    return Holding(underlying=underlying, quantity=sum(parts.values(), ZERO), slices=parts, **more)


@dataclass
class Keeper:
    """Keeps positions, slices and memory between decisions, and fills every order in full."""

    slices: dict[str, dict[FollowId, Decimal]] = field(default_factory=dict)
    memory: dict[int, dict[str, LegMemory]] = field(default_factory=dict)
    ignored: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    bases: dict[int, int] = field(default_factory=dict)

    def quantity(self, underlying: str) -> Decimal:
        return sum(self.slices.get(underlying, {}).values(), ZERO)

    def filled_in(self, given: CopyInputs) -> CopyInputs:
        """Return the inputs with what is held and remembered."""
        holdings = {
            underlying: holding(underlying, {f: q for f, q in parts.items() if q})
            for underlying, parts in self.slices.items()
            if any(parts.values())
        }
        follows = tuple(
            replace(
                f,
                memory=self.memory.get(f.follow_id, {}),
                ignored=self.ignored.get(f.follow_id, f.ignored),
                decided_basis_id=self.bases.get(f.follow_id, f.decided_basis_id),
            )
            for f in given.follows
        )
        return replace(given, follows=follows, holdings=holdings)

    def carry_out(self, plan: CopyPlan) -> None:
        """Book transfers, fill orders in full, remember what is to be remembered."""
        for transfer in plan.transfers:
            pair = Transfer(transfer.from_follow_id, transfer.to_follow_id, transfer.quantity)
            self.slices[transfer.underlying] = slices_after(
                slices=self.slices.get(transfer.underlying, {}), transfers=[pair]
            )
        for order in plan.orders:
            before = self.quantity(order.underlying)
            self.slices[order.underlying] = slices_after(
                slices=self.slices.get(order.underlying, {}), transfers=(), changes=order.slices
            )
            signed = order.quantity if order.side is OrderSide.BUY else -order.quantity
            assert self.quantity(order.underlying) == before + signed  # Σ slices = position
        for update in plan.memory:
            self.memory.setdefault(update.follow_id, {})[update.underlying] = update.memory
        for change in plan.ignored:
            self.ignored.setdefault(change.follow_id, {})[change.underlying] = change.quantity
        self.bases |= plan.decided_bases
