"""What must hold of one portfolio after every step (docs/architecture.md, "What always holds")."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from accounts.models import Portfolio
from allocation.domain.limits import gross_cap
from allocation.follows import MAX_FOLLOWS
from allocation.models import CapitalAccount, Follow
from allocation.own_limits import limits_of
from core.decimals import ONE, ZERO
from core.events import PortfolioView, view_apply, view_diff
from core.types import Policy
from engine.models import Decision
from engine.selectors import view_build
from engine.view_context import context_read
from execution.domain.orders import TRANSITIONS, OrderStatus
from execution.models import Order, OrderEvent
from markets.models import Mark
from positions.audit import Finding, books_audit
from positions.models import Position, PositionSlice
from positions.valuation import portfolio_equity

UNDONE = ("refused", "held", "capped", "delayed")
DUST = Decimal("0.000001")  # of quote currency: targets are rounded to 12 places of quantity


def books_hold(*, portfolio: Portfolio, untold: bool) -> None:
    """Every record of money and quantity agrees with its counterpart (OPS-2).

    :param untold: the venue keeps a fill from us; such fills alone may be missing in our books
    """
    findings = [f for f in books_audit(portfolio_id=portfolio.pk) if not (untold and _is_missing(f))]
    assert findings == []


def _is_missing(finding: Finding) -> bool:
    return finding.kind == "paper_fill_is_booked" and finding.found == 0


def capital_adds_up(*, portfolio: Portfolio) -> None:
    """ALL-5: free + reserved + committed = cash, none below zero."""
    account = CapitalAccount.objects.get(portfolio=portfolio)
    parts = (account.free, account.reserved, account.committed)
    assert sum(parts, ZERO) == account.cash
    assert min(*parts, account.cash, account.deployed, account.deficit) >= 0


def weights_are_one(*, portfolio: Portfolio) -> None:
    """ALL-1, FOL-1: at most ten follows; the active ones share exactly 1, the others nothing."""
    follows = Follow.objects.filter(portfolio=portfolio).exclude(status=Follow.Status.REMOVED)
    active = [f.weight for f in follows if f.status == Follow.Status.ACTIVE]
    assert len(follows) <= MAX_FOLLOWS
    assert sum(active, ZERO) == (1 if active else 0)
    assert all(f.weight == 0 for f in follows if f.status != Follow.Status.ACTIVE)


def positions_are_single(*, portfolio: Portfolio) -> None:
    """EXE-7, BEY-1: one open position per underlying, Σ slices = position, spot never short."""
    held = Position.objects.filter(portfolio=portfolio).exclude(status=Position.Status.CLOSED)
    counts = Counter(position.underlying for position in held)
    assert all(count == 1 for count in counts.values())
    sums: dict[int, Decimal] = {}
    for part in PositionSlice.objects.filter(position__in=held):
        sums[part.position_id] = sums.get(part.position_id, ZERO) + part.quantity
    for position in held:
        assert sums.get(position.pk, ZERO) == position.quantity
        assert position.policy == Policy.PERP or position.quantity >= 0


def statuses_follow_the_table(*, portfolio: Portfolio) -> None:
    """EXE-3: each order's history is a walk along the table that ends at its status."""
    events = OrderEvent.objects.filter(order__portfolio=portfolio).order_by("order_id", "id")
    reached: dict[int, str] = {}
    for event in events:
        assert event.from_status == reached.get(event.order_id, ""), "an event is missing"
        if event.from_status == event.to_status:
            assert event.detail, "a fill that came late or was too much says so"
        elif event.from_status:
            assert OrderStatus(event.to_status) in TRANSITIONS[OrderStatus(event.from_status)]
        else:
            assert event.to_status == OrderStatus.PENDING
        reached[event.order_id] = event.to_status
    assert reached == dict(Order.objects.filter(portfolio=portfolio).values_list("pk", "status"))


def orders_work_alone(*, portfolio: Portfolio) -> None:
    """One order works per underlying, so that nothing is ordered twice.

    A forced close alone does not wait for an order that is still being called back; it can only reduce.
    """
    working = Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES)
    forced = Order.Purpose.LIQUIDATION
    counts = Counter(
        (underlying, purpose == forced)
        for underlying, purpose in working.values_list("underlying", "purpose")
    )
    assert all(count == 1 for count in counts.values()), counts


def undone_is_explained(*, portfolio: Portfolio) -> None:
    """BEY-3: what was refused, held, capped or delayed has a reason a person can read."""
    assert not Decision.objects.filter(portfolio=portfolio, kind__in=UNDONE, reason="").exists()


def view_now(*, portfolio: Portfolio, now: datetime) -> PortfolioView:
    """Return the view as it arrives in a browser."""
    view = view_build(context=context_read(portfolio=portfolio, now=now))
    return _as_sent(view)


def view_follows(*, old: PortfolioView, new: PortfolioView) -> None:
    """VIEW-2: old snapshot + change = fresh snapshot, and a view equal to the old one needs no change."""
    assert view_apply(old, _as_sent(view_diff(old, new))) == new
    assert view_diff(new, new) == {"set": {}, "drop": {}}


def _as_sent(document: Any) -> Any:
    return json.loads(json.dumps(document))


@dataclass(frozen=True, slots=True)
class Exposure:
    """Signed notional per underlying at the present marks.

    :param held: of the positions
    :param expected: of the positions as if every working order filled but those that are called back
    :param places: underlyings that are held (also flat, by opposite slices) or have an order working
    """

    equity: Decimal
    held: Mapping[str, Decimal]
    expected: Mapping[str, Decimal]
    places: frozenset[str]

    def stays(self, underlying: str, *, side: Decimal) -> Decimal:
        """Return the size that is held or on its way on one side (the sign of ``side``)."""
        both = (self.held.get(underlying, ZERO), self.expected.get(underlying, ZERO))
        return max((abs(notional) for notional in both if notional * side > 0), default=ZERO)

    @property
    def gross(self) -> Decimal:
        """Σ of the sizes, each with or without its working orders, whichever is larger."""
        underlyings = {*self.held, *self.expected}
        return sum((max(self.stays(u, side=ONE), self.stays(u, side=-ONE)) for u in underlyings), ZERO)


def exposure_now(*, portfolio: Portfolio) -> Exposure:
    """Measure what is held and on its way."""
    marks = dict(Mark.objects.filter(world_id=portfolio.world).values_list("instrument_id", "price"))
    positions = Position.objects.filter(portfolio=portfolio).exclude(status=Position.Status.CLOSED)
    held = {p.underlying: p.quantity * marks[p.instrument_id] for p in positions}
    expected = dict(held)
    working = Order.objects.filter(portfolio=portfolio, status__in=Order.OPEN_STATUSES)
    for order in working:
        left = (order.quantity - order.filled_quantity) * marks[order.instrument_id]
        signed = left if order.side == "BUY" else -left
        if order.cancel_requested_at is None:
            expected[order.underlying] = expected.get(order.underlying, ZERO) + signed
    places = frozenset({*held, *(order.underlying for order in working)})
    return Exposure(portfolio_equity(portfolio=portfolio), held, expected, places)


def entries_within_limits(*, portfolio: Portfolio, before: Exposure, after: Exposure) -> None:
    """RSK-1: a decision makes nothing larger than the limits allow, at the marks it was made at."""
    limits = limits_of(portfolio=portfolio)
    equity = max(before.equity, ZERO)
    for underlying, notional in after.expected.items():
        allowed = max(limits.max_position * equity, before.stays(underlying, side=notional))
        assert abs(notional) <= allowed + DUST, underlying
    cap = gross_cap(limits=limits, policy=Policy(portfolio.policy)) * equity
    assert sum(map(abs, after.expected.values()), ZERO) <= max(cap, before.gross) + DUST
    assert len(after.places) <= max(limits.max_positions, len(before.places))
