"""A desk for tests about money: one portfolio, a world with marks, and hands to move both."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounts.models import Portfolio, User
from allocation.capital import capital_open
from allocation.models import CapitalAccount, Follow
from allocation.reservations import capital_reserve
from core.decimals import BPS
from core.types import OrderSide, Policy
from execution.domain.orders import OrderDraft, SliceDraft, capital_needed
from execution.models import Order
from execution.orders import order_create
from execution.venues.base import VenueFill
from execution.venues.paper import paper_assumptions
from execution.venues.paper_matching import paper_match
from markets.models import Instrument, Mark, World
from traders.models import Trader

D = Decimal
NOW = datetime(2025, 11, 3, 12, 0, tzinfo=UTC)
WORLD = "replay:desk"


@dataclass
class Desk:
    """The portfolio under test; ``now`` moves only when told to."""

    portfolio: Portfolio
    follows: list[Follow]
    world: World
    now: datetime = NOW
    fills: int = field(default=0)

    @property
    def pk(self) -> int:
        return self.portfolio.pk

    @property
    def account(self) -> CapitalAccount:
        return CapitalAccount.objects.get(pk=self.pk)

    def later(self, seconds: float = 1) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now

    def mark(self, price: str, code: str = "BTC") -> None:
        Mark.objects.update_or_create(
            world=self.world,
            instrument_id=code,
            defaults={"price": D(price), "quoted_at": self.now, "received_at": self.now},
        )

    def order(
        self,
        side: str,
        quantity: str,
        price: str,
        *,
        slices: dict[int | None, str] | None = None,
        purpose: str = "",
        reduce_only: bool = False,
        code: str = "BTC",
        margin_rate: str = "1",
        reserve: str | None = None,
        lifetime_s: int = 60,
    ) -> Order:
        """Store an order; entries reserve what they need (or ``reserve``) first."""
        parts = slices or {self.follows[0].pk: quantity if side == "BUY" else f"-{quantity}"}
        reservation_id = None
        if not reduce_only:
            policy = self.portfolio.policy
            needed = capital_needed(
                quantity=D(quantity),
                price=D(price),
                margin_rate=D(margin_rate),
                fee_rate=paper_assumptions().fee_bps(policy) * BPS,
            )
            reservation = capital_reserve(
                portfolio_id=self.pk,
                amount=D(reserve) if reserve else needed,
                source="test",
                instrument_code=code,
                now=self.now,
                timeout_s=30,
            )
            assert reservation.status == "granted", reservation.reason
            reservation_id = reservation.pk
        draft = OrderDraft(
            instrument_code=code,
            underlying=Instrument.objects.get(pk=code).underlying,
            policy=Policy(self.portfolio.policy),
            side=OrderSide(side),
            quantity=D(quantity),
            limit_price=D(price),
            reduce_only=reduce_only,
            purpose=purpose or ("close" if reduce_only else "entry"),
            slices=[SliceDraft(follow_id, D(part)) for follow_id, part in parts.items()],
            decision_mark=D(price),
            margin_rate=D(margin_rate),
            lifetime_s=lifetime_s,
        )
        return order_create(
            portfolio_id=self.pk, draft=draft, reservation_id=reservation_id, run=1, now=self.now
        )

    def fill(self, order: Order, quantity: str, price: str, fee: str = "0", fill_id: str = "") -> VenueFill:
        """Make up an execution of an order as a venue would report it."""
        self.fills += 1
        return VenueFill(
            client_order_id=order.client_order_id,
            venue_fill_id=fill_id or f"desk-{self.fills}",
            quantity=D(quantity),
            price=D(price),
            fee=D(fee),
            world_at=self.now,
        )

    def match(self) -> list[str]:
        return paper_match(world=WORLD, now=self.now, clock=self.world.clock())


def instrument_make(code: str, **fields: object) -> Instrument:
    defaults = {"underlying": code, "quantity_step": "0.00001", "price_places": 1, "max_leverage": 40}
    row, _ = Instrument.objects.get_or_create(code=code, defaults=defaults | fields)
    row.refresh_from_db()
    return row


def desk_open(*, policy: str = "perp", cash: str = "10000", name: str = "Desk", traders: int = 2) -> Desk:
    """Open a portfolio of Alice's with cash, a world whose time equals wall time, and BTC and ETH."""
    owner, _ = User.objects.get_or_create(email="alice@example.com")
    portfolio = Portfolio.objects.create(owner=owner, name=name, policy=policy, world=WORLD)
    world, _ = World.objects.get_or_create(
        name=WORLD,
        defaults={"label": "Desk", "anchored_at": NOW, "world_anchor_at": NOW, "world_start_at": NOW},
    )
    instrument_make("BTC")
    instrument_make("ETH", quantity_step="0.0001", price_places=2, max_leverage=25)
    capital_open(portfolio=portfolio, amount=D(cash), now=NOW, world_at=NOW)
    follows = []
    for place in range(1, traders + 1):
        trader, _ = Trader.objects.get_or_create(
            kind="replay",
            key=f"desk-{place}",
            world=WORLD,
            defaults={"name": f"T{place}", "monogram": f"T{place}"},
        )
        weight = (D(1) / traders).quantize(D("0.0001"))
        if place == traders:
            weight = 1 - weight * (traders - 1)
        follows.append(
            Follow.objects.create(portfolio=portfolio, trader=trader, place=place, hue=place, weight=weight)
        )
    return Desk(portfolio=portfolio, follows=follows, world=world)
