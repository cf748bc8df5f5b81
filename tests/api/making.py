"""Portfolios, traders and one row of everything else, made without any network or worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from accounts.audit import audit_write
from accounts.domain.scopes import Scope
from accounts.models import (
    Credential,
    KeptAnswer,
    KnownDevice,
    LiveAccount,
    LiveFinding,
    LiveHolding,
    Portfolio,
    User,
)
from alerts.models import Alert, AlertChannel, AlertDelivery, QuietTime, TaskFailure
from allocation.models import (
    BlockedUnderlying,
    BreakerTrip,
    Follow,
    FollowLeg,
    LedgerEntry,
    PortfolioLimits,
    Reservation,
    ReservationTally,
)
from core.clock import utc_now
from core.ids import uuid_new
from core.types import ConflictRule, Policy
from engine.fidelity_models import CopiedSlice, FillFidelity, FollowFidelity
from engine.import_models import StateImport
from engine.models import AnsweredChange, Command, Decision, ExitGap, ExitShard, ExitTrigger, ExitWatcher
from engine.portfolios import portfolio_open
from engine.style_models import StyleDismissal
from execution.client_ids import client_order_id_new
from execution.models import (
    Fill,
    Order,
    OrderEvent,
    OrderSlice,
    PaperFault,
    PaperFill,
    PaperHolding,
    PaperOrder,
    PaperStop,
    VenueOrphan,
    VenueSend,
)
from markets.models import (
    Candle,
    Instrument,
    Mark,
    MarketContext,
    PriceMarket,
    PriceSample,
    VenueInstrument,
    World,
)
from positions.models import (
    ConflictApproval,
    ConflictOverride,
    ConflictRecord,
    EquityPoint,
    ExitDefaults,
    ExitGuard,
    Position,
    PositionSlice,
    SliceEntry,
    VenueStop,
)
from tests.tokens import token_of
from traders.models import (
    PushAgent,
    QuarantinedRead,
    StrategyBook,
    StrategyLeg,
    StrategySignal,
    SyncAttempt,
    Trader,
    TraderSnapshot,
)
from traders.style_models import StyleAlarm, StyleHour

STAND_STILL = "replay:still"
WORLD_START = datetime(2025, 10, 18, tzinfo=UTC)


def portfolio_make(*, owner: User, name: str = "Four models", **fields: Any) -> Portfolio:
    """Open a paper portfolio with $10,000."""
    settings: dict[str, Any] = {
        "policy": Policy.PERP.value,
        "risk_profile": "balanced",
        "conflict_rule": ConflictRule.COMBINE.value,
        "auto_rebalance": False,
    }
    return portfolio_open(
        owner=owner, name=name, initial_cash=Decimal(10_000), now=utc_now(), **(settings | fields)
    )


def world_make() -> World:
    """Return a replay that is over: its time stands still, so that two readings of it are equal."""
    past = utc_now() - timedelta(hours=1)
    world, _ = World.objects.get_or_create(
        name=STAND_STILL,
        defaults={
            "label": "A recording that is over",
            "anchored_at": past,
            "world_anchor_at": WORLD_START,
            "world_start_at": WORLD_START,
            "world_end_at": WORLD_START + timedelta(minutes=1),
            "speed": 600,
            "loops": False,
        },
    )
    for code, price in (("BTC", "107000"), ("ETH", "3900")):
        instrument, _ = Instrument.objects.get_or_create(
            code=code,
            defaults={"underlying": code, "quantity_step": Decimal("0.00001"), "price_places": 1},
        )
        Mark.objects.get_or_create(
            world=world,
            instrument=instrument,
            defaults={"price": Decimal(price), "quoted_at": WORLD_START, "received_at": past},
        )
    return world


def trader_make(*, key: str = "deepseek", world: World | None = None) -> Trader:
    """Return a recorded trader with one snapshot: long 0.1 BTC on $10,000."""
    world = world or world_make()
    trader = Trader.objects.create(
        kind="replay",
        key=key,
        name=key.title(),
        monogram=key[:2].upper(),
        world=world.name,
        detail="AI model",
    )
    snapshot = TraderSnapshot.objects.create(
        trader=trader,
        world_at=WORLD_START,
        equity=Decimal(10_000),
        positions=[
            {
                "code": "BTC",
                "quantity": "0.1",
                "entry_price": "106500",
                "mark_price": "107000",
                "opened_at": WORLD_START.isoformat(),
            }
        ],
        quantities_changed=True,
    )
    trader.latest_snapshot = trader.basis_snapshot = snapshot
    trader.synced_at = utc_now() - timedelta(seconds=20)
    trader.save()
    return trader


def follow_make(*, portfolio: Portfolio, trader: Trader, place: int = 1, **fields: Any) -> Follow:
    """Let a portfolio follow a trader, without cycle or message."""
    Portfolio.objects.filter(pk=portfolio.pk).update(world=trader.world)
    portfolio.refresh_from_db()
    values: dict[str, Any] = {"place": place, "hue": place, "weight": Decimal(1)}
    return Follow.objects.create(portfolio=portfolio, trader=trader, **(values | fields))


def order_make(*, portfolio: Portfolio, follow: Follow | None = None) -> Order:
    """Return a working order: buy 0.01 BTC at 107,000."""
    order = Order.objects.create(
        portfolio=portfolio,
        instrument_id="BTC",
        underlying="BTC",
        client_order_id=client_order_id_new(),
        venue="paper",
        side="BUY",
        quantity=Decimal("0.01"),
        limit_price=Decimal(107_000),
        purpose="entry",
        status="submitted",
        decision_mark=Decimal(107_000),
        expires_at=utc_now() + timedelta(minutes=1),
    )
    OrderSlice.objects.create(order=order, follow=follow, quantity=Decimal("0.01"))
    OrderEvent.objects.create(order=order, from_status="pending", to_status="submitted")
    return order


def decision_make(*, portfolio: Portfolio, follow: Follow | None = None, **fields: Any) -> Decision:
    """Return a stored decision."""
    values: dict[str, Any] = {
        "kind": "copied",
        "underlying": "BTC",
        "text": "Bought 0.01 BTC",
        "reason": "Deepseek bought",
        "world_at": WORLD_START,
    }
    decision = Decision.objects.create(portfolio=portfolio, **(values | fields))
    if follow is not None:
        decision.follows.add(follow)
    return decision


def command_make(*, portfolio: Portfolio, key: str = "one", **fields: Any) -> Command:
    """Return a stored command that nobody has run yet."""
    values: dict[str, Any] = {"kind": "mode", "data": {"trading_mode": "single"}, "via": "api"}
    return Command.objects.create(
        id=uuid_new(), portfolio=portfolio, asked_by=portfolio.owner, key=key, **(values | fields)
    )


def everything_make(*, owner: User) -> Portfolio:
    """Return a portfolio with at least one row in every table of every app."""
    portfolio = portfolio_make(owner=owner)
    trader = trader_make()
    follow = follow_make(portfolio=portfolio, trader=trader)
    order = order_make(portfolio=portfolio, follow=follow)
    FollowLeg.objects.create(follow=follow, underlying="BTC")
    BlockedUnderlying.objects.create(portfolio=portfolio, underlying="DOGE")
    LedgerEntry.objects.get_or_create(
        portfolio=portfolio, kind="fee", reference="fill:1", defaults={"amount": -1, "world_at": WORLD_START}
    )
    Reservation.objects.create(
        id=uuid_new(), portfolio=portfolio, source="copy", instrument_code="BTC", amount=10, status="released"
    )
    alert = Alert.objects.create(owner=owner, kind="breaker", key="a", title="Drawdown")
    channel = AlertChannel.objects.create(
        owner=owner, service="telegram", name="Phone", mask="1… to 2", sealed="sealed", kinds=["breaker"]
    )
    AlertDelivery.objects.create(alert=alert, channel=channel, due_at=utc_now())
    QuietTime.objects.create(owner=owner, begins="22:00", ends="07:00")
    TaskFailure.objects.create(task="sync.shard", error="builtins.ValueError", trace="a.py:1 in f")
    PriceSample.objects.create(world=world_make(), instrument_id="BTC", at=WORLD_START, price=107_000)
    Candle.objects.create(
        world=world_make(), instrument_id="BTC", opened_at=WORLD_START, open=107_000, high=107_100,
        low=106_900, close=107_050, ticks=3, source="recorded", last_at=WORLD_START, closed=True,
    )  # fmt: skip
    MarketContext.objects.create(instrument_id="BTC", day_volume=10**9, read_at=WORLD_START)
    ReservationTally.objects.create(strategy="copy", status="expired", priority=2, count=1)
    PortfolioLimits.objects.create(
        portfolio=portfolio, max_position="0.25", max_asset_weight="0.25", max_positions=20,
        max_correlated="0.6", max_gross=1, max_open_orders=20, daily_loss="0.05", drawdown="0.2",
        losses_in_a_row=5, emergency_loss="0.1", copy_stop="0.2",
    )  # fmt: skip
    BreakerTrip.objects.create(
        portfolio=portfolio, kind="daily_loss", effect="reducing", resets="day", reason="5 % lost today",
        world_at=WORLD_START, reset_at=utc_now(), reset_by="day roll", reset_reason="A new day",
    )  # fmt: skip
    fill = Fill.objects.create(
        order=order,
        venue="paper",
        venue_fill_id="1",
        quantity=Decimal("0.004"),
        price=107_000,
        fee=Decimal("0.2"),
        world_at=WORLD_START,
    )
    token_of(owner, Scope.READ, name="Looking")
    KeptAnswer.objects.create(owner=owner, key="one", fingerprint="0" * 64)
    key = Credential.objects.create(
        owner=owner,
        purpose="trade",
        venue="binance",
        sandbox=True,
        name="Trading",
        mask="abc…xyz",
        sealed="…",
    )
    account = LiveAccount.objects.create(
        portfolio=portfolio, credential=key, venue="binance", sandbox=True, policy="perp", quote="USDT",
        account_id="1", assigned=1000, state="stopped",
    )  # fmt: skip
    LiveHolding.objects.create(account=account, kind="coin", code="BTC", quantity=1)
    LiveFinding.objects.create(
        account=account, kind="cash_came", code="USDT", books=1, seen=2, text="1 USDT came in"
    )
    paper = PaperOrder.objects.create(
        client_order_id=order.client_order_id,
        account=f"portfolio:{portfolio.pk}",
        world=STAND_STILL,
        instrument_code="BTC",
        side="BUY",
        quantity=order.quantity,
        limit_price=order.limit_price,
        matchable_at=utc_now(),
        expires_at=order.expires_at,
    )
    PaperFill.objects.create(
        paper_order=paper, quantity=fill.quantity, price=fill.price, fee=fill.fee, world_at=WORLD_START
    )
    PaperHolding.objects.create(account=paper.account, instrument_code="BTC", quantity=fill.quantity)
    PaperStop.objects.create(
        client_order_id="stop-1", account=paper.account, world=STAND_STILL, instrument_code="BTC",
        side="SELL", quantity=fill.quantity, trigger_price=98_440, matchable_at=utc_now(),
    )  # fmt: skip
    PaperFault.objects.create(operation="fetch", kind="unavailable")
    VenueOrphan.objects.create(portfolio=portfolio, venue="paper", client_order_id="0xorphan")
    position = Position.objects.create(
        portfolio=portfolio,
        instrument_id="BTC",
        underlying="BTC",
        policy="perp",
        status="active",
        quantity=fill.quantity,
        cost=428,
        margin=Decimal("85.6"),
        margin_rate=Decimal("0.2"),
        opened_world_at=WORLD_START,
    )
    part = PositionSlice.objects.create(position=position, follow=follow, quantity=fill.quantity, cost=428)
    SliceEntry.objects.create(
        slice=part, kind="fill", quantity=fill.quantity, price=fill.price, fill=fill, world_at=WORLD_START
    )
    ExitDefaults.objects.create(portfolio=portfolio, **exit_rules())
    ExitGuard.objects.create(
        position=position, world_id=STAND_STILL, instrument_id="BTC", sign=1, entry_price=107_000,
        opened_world_at=WORLD_START, peak_price=107_000, stop_price=98_440, since=utc_now(),
        levels_from=utc_now(), **exit_rules(),
    )  # fmt: skip
    ExitTrigger.objects.create(
        position=position, portfolio=portfolio, kind="stop_loss", price=98_000, level=98_440,
        seen_at=utc_now(), world_at=WORLD_START, order=order,
    )  # fmt: skip
    VenueStop.objects.create(
        portfolio=portfolio, position=position, episode=1, kind="stop_loss", venue="paper", side="SELL",
        client_order_id="stop-1", quantity=fill.quantity, trigger_price=98_440, status="resting",
    )  # fmt: skip
    ExitShard.objects.create(number=0)
    ExitWatcher.objects.create(name="exits@btc", seen_at=utc_now())
    ExitGap.objects.create(shard=0, from_at=utc_now(), until_at=utc_now())
    ConflictApproval.objects.create(
        portfolio=portfolio, underlying="BTC", kind="overlap", fingerprint="1", holders=[], previews={},
        status="lapsed", lapses_at=utc_now(),
    )  # fmt: skip
    ConflictOverride.objects.create(portfolio=portfolio, underlying="ETH", rule="first")
    ConflictRecord.objects.create(
        portfolio=portfolio,
        underlying="BTC",
        kind="overlap",
        rule="combine",
        holders=[],
        before_quantity=0,
        after_quantity=fill.quantity,
        after_notional=428,
        mark_price=107_000,
        fingerprint="f",
        world_at=WORLD_START,
    )
    EquityPoint.objects.create(portfolio=portfolio, world_at=WORLD_START, equity=10_000, unit_value=1)
    SyncAttempt.objects.create(trader=trader, due_at=utc_now(), outcome="good")
    QuarantinedRead.objects.create(trader=trader, reason="3 positions vanished", payload={})
    PushAgent.objects.create(trader=trader, public_id=uuid_new(), sealed="x")
    book = StrategyBook.objects.create(trader=trader, run=1, started_at=WORLD_START, cash=9_500)
    StrategyLeg.objects.create(book=book, code="BTC", reached_at=WORLD_START)
    StrategySignal.objects.create(
        trader=trader, run=1, at=WORLD_START, code="BTC", side="HOLD", reason="Too little data.", outcome="-"
    )
    decision = decision_make(portfolio=portfolio, follow=follow, order=order)
    StateImport.objects.create(owner=owner, text="{}", report={}, portfolio=portfolio)
    AnsweredChange.objects.create(
        follow=follow, decision=decision, snapshot_id=trader.basis_snapshot_id or 0, underlying="BTC",
        change="opened", before=0, after=Decimal("0.1"), world_at=WORLD_START, seen_at=utc_now(),
    )  # fmt: skip
    KnownDevice.objects.create(user=owner, digest="d", device="Firefox on Linux")
    _venue_and_style_make(follow=follow, fill=fill)
    command = command_make(portfolio=portfolio)
    audit_write(
        action="portfolio.mode",
        outcome="accepted",
        via="api",
        actor=owner,
        portfolio_id=portfolio.pk,
        command_id=command.pk,
        now=utc_now(),
    )
    return portfolio


def _venue_and_style_make(*, follow: Follow, fill: Fill) -> None:
    """Make what is kept of a venue's rules, of what was sent there, of fidelity and of style."""
    VenueInstrument.objects.create(
        venue="binance", policy="perp", instrument_id="BTC", quote="USDT", symbol="BTC/USDT:USDT",
        market_id="BTCUSDT", quantity_step="0.001", price_step="0.1", min_notional=100, maker_fee="0.0002",
        taker_fee="0.0005", read_at=utc_now(),
    )  # fmt: skip
    PriceMarket.objects.create(
        instrument=Instrument.objects.create(code="PEPE", underlying="PEPE", quantity_step=1, price_places=8),
        venue="binance", policy="spot",
        symbol="PEPE/USDT", read_at=utc_now(),
    )  # fmt: skip
    VenueSend.objects.create(
        client_order_id=client_order_id_new(), venue="binance", account=f"portfolio:{follow.portfolio_id}",
        instrument_code="BTC", policy="perp", is_stop=False, sent_at=utc_now(), valid_until=utc_now(),
    )  # fmt: skip
    copied = CopiedSlice.objects.create(
        order_slice=fill.order.slices.get(), follow=follow, underlying="BTC", wished=1, sent=1,
        own_price=107_000, price_kind="entry",
    )  # fmt: skip
    FillFidelity.objects.create(
        fill=fill, copied=copied, follow=follow, world_at=WORLD_START, quantity=fill.quantity, delay_bps=1,
        execution_bps=2, fee_bps=3, whole_bps=6,
    )  # fmt: skip
    FollowFidelity.objects.create(
        follow=follow, fills=1, whole_p50_bps=6, whole_p95_bps=6, delay_p50_bps=1, execution_p50_bps=2,
        fee_p50_bps=3,
    )  # fmt: skip
    StyleHour.objects.create(
        trader=follow.trader, run=1, hour_at=WORLD_START, reads=1, held_reads=1, leverage_sum=1, turnover=0
    )
    alarm = StyleAlarm.objects.create(
        trader=follow.trader, run=1, measure="leverage", text="Leverage went from 1 to 5", before=1, after=5,
        z=9, world_at=WORLD_START, ended_at=utc_now(),
    )  # fmt: skip
    StyleDismissal.objects.create(follow=follow, alarm=alarm)


def exit_rules() -> dict[str, Decimal]:
    """Return the shipped exit rules as columns."""
    return {
        "stop_loss_pct": Decimal(8),
        "trail_from_pct": Decimal(12),
        "trail_by_pct": Decimal(5),
        "time_stop_days": Decimal(14),
    }
