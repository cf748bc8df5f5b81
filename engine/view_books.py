"""The sections of a portfolio's view that come from its books: worth, capital, positions, orders."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from core.decimals import ONE, ZERO, plain
from core.types import Policy, PositionSide
from engine.models import Command
from engine.view_context import ViewContext, iso, money, percent, ratio
from engine.view_context import price as price_text
from engine.view_exits import exits_record
from execution.models import Order
from positions.models import Position, PositionSlice
from positions.valuation import liquidation_price

Section = dict[str, dict[str, Any]]


def portfolio_record(context: ViewContext) -> dict[str, Any]:
    """Return what the portfolio is and in which world it lives."""
    portfolio, world = context.portfolio, context.world
    return {
        "id": portfolio.pk,
        "name": portfolio.name,
        "mode": portfolio.mode,
        "policy": portfolio.policy,
        "risk_profile": portfolio.risk_profile,
        "conflict_rule": portfolio.conflict_rule,
        "auto_rebalance": portfolio.auto_rebalance,
        "weighting": portfolio.weighting,
        "trading_mode": portfolio.trading_mode,
        "dry_run": portfolio.dry_run,
        "approves_conflicts": portfolio.approves_conflicts,
        "status": portfolio.status,
        "status_reason": portfolio.status_reason,
        "start_at": iso(portfolio.created_at),
        "world": portfolio.world or None,
        "world_label": world.label if world else None,
        "world_anchor_at": iso(world.world_anchor_at) if world else None,
        "anchored_at": iso(world.anchored_at) if world else None,
        "world_end_at": iso(world.world_end_at) if world else None,
        "world_speed": plain(world.speed) if world else None,
        "run": context.run,
        "price_note": world.price_note if world else "",
    }


def kpis_record(context: ViewContext) -> dict[str, Any]:
    """Return worth, results and exposure. Percentages of results are per fund unit, free of deposits."""
    valuation, capital, wins = context.valuation, context.capital, context.books.wins
    equity = valuation.equity
    gross, net = exposure(context)
    day_flows = capital.deposits_net - valuation.day_start_deposits_net
    return {
        "equity": money(equity),
        "peak_equity": money(valuation.peak_equity),
        "peak_at": iso(valuation.peak_at),
        "day_pnl": money(equity - valuation.day_start_equity - day_flows),
        "day_pnl_pct": percent(_growth(valuation.unit_value, valuation.day_start_unit_value)),
        "total_pnl": money(equity - capital.deposits_net),
        "total_pnl_pct": percent(valuation.unit_value - ONE),
        "gross": money(gross),
        "net": money(net),
        "exposure_pct": percent(ratio(gross, equity)),
        "exposure_limit_pct": percent(context.limits.max_gross),
        "drawdown_pct": percent(_growth(valuation.unit_value, valuation.peak_unit_value)),
        "win_rate_pct": percent(ratio(Decimal(wins.won), Decimal(wins.closed))),
        "closed_count": wins.closed,
        "deposits_net": money(capital.deposits_net),
    }


def _growth(now: Decimal, then: Decimal) -> Decimal | None:
    """Return the relative change from ``then`` to ``now``."""
    return now / then - ONE if then else None


def exposure(context: ViewContext) -> tuple[Decimal, Decimal]:
    """Return gross and net notional of the open positions at their last marks."""
    notionals = [position_notional(context, position) for position in context.books.positions]
    return sum((abs(n) for n in notionals), ZERO), sum(notionals, ZERO)


def position_notional(context: ViewContext, position: Position) -> Decimal:
    """Return a position's signed notional; at cost where there is no mark yet."""
    mark = context.mark_price(position.instrument_id)
    return position.cost if mark is None else position.quantity * mark


def capital_record(context: ViewContext) -> dict[str, Any]:
    """Return the capital account; its parts add up by constraint (ALL-5)."""
    capital = context.capital
    total = capital.cash + capital.deployed
    return {
        "total": money(total),
        "cash": money(capital.cash),
        "free": money(capital.free),
        "reserved": money(capital.reserved),
        "committed": money(capital.committed),
        "deployed": money(capital.deployed),
        "deficit": money(capital.deficit),
        "allocated": money(total - capital.free),
        "idle": money(sum((Decimal(cause["amount"]) for cause in context.cycle.idle), ZERO)),
        "idle_by": context.cycle.idle,
    }


def health_record(context: ViewContext) -> dict[str, Any]:
    """Return how fresh prices and traders are, and when the cycle last ran."""
    marks = context.marks.values()
    degraded = [f for f in context.current if context.syncs[f.trader_id].status in {"degraded", "stale"}]
    return {
        "marks_received_at": iso(min((mark.received_at for mark in marks), default=None)),
        "marks_stale": any(
            context.mark_is_stale(position.instrument_id) for position in context.books.positions
        ),
        "traders_degraded": len(degraded),
        "last_cycle_at": iso(context.cycle.ran_at),
        "next_cycle_at": iso(context.cycle.next_at),
        "cycle_error": context.cycle.error,
        "alerts_unread": context.alerts_unread,
    }


def positions_section(context: ViewContext) -> Section:
    """Return the open positions, each with a slice per trader."""
    working: dict[str, int] = {}
    for order in context.orders:
        working[order.underlying] = working.get(order.underlying, 0) + 1
    return {
        str(position.pk): {
            **_position(context, position),
            "working_orders": working.get(position.underlying, 0),
        }
        for position in context.books.positions
    }


def _position(context: ViewContext, position: Position) -> dict[str, Any]:
    mark = context.marks.get(position.instrument_id)
    price = mark.price if mark else None
    unrealized = None if price is None else position.quantity * price - position.cost
    notional = abs(position_notional(context, position))
    basis = abs(position.cost)
    liquidation = None
    if position.policy == Policy.PERP:
        liquidation = liquidation_price(
            quantity=position.quantity,
            mark=price,
            equity=context.valuation.equity,
            max_leverage=position.instrument.max_leverage,
        )
    return {
        "id": position.pk,
        "code": position.instrument_id,
        "underlying": position.underlying,
        "side": side_of(position.quantity),
        "status": position.status,
        "quantity": plain(position.quantity),
        "notional": money(notional),
        "share_pct": percent(ratio(notional, context.valuation.equity)),
        "entry_price": price_text(ratio(position.cost, position.quantity)),
        "mark_price": price_text(price),
        "mark_at": iso(mark.quoted_at) if mark else None,
        "mark_stale": context.mark_is_stale(position.instrument_id),
        "unrealized_pnl": money(unrealized),
        "unrealized_pct": percent(None if unrealized is None else ratio(unrealized, basis)),
        "realized_pnl": money(position.realized_pnl),
        "fees": money(position.fees),
        "funding": money(position.funding),
        "leverage": money(ratio(ONE, position.margin_rate)) if position.policy == Policy.PERP else "1",
        "liquidation_price": price_text(liquidation),
        "opened_at": iso(position.opened_world_at),
        "exits": exits_record(
            guard=context.guards.get(position.pk), trigger=context.triggers.get(position.pk)
        ),
        "slices": [
            _slice(context, position, part, price)
            for part in sorted(position.slices.all(), key=lambda s: -abs(s.quantity))
            if part.quantity
        ],
    }


def _slice(
    context: ViewContext, position: Position, part: PositionSlice, price: Decimal | None
) -> dict[str, Any]:
    whole = abs(position.quantity) or sum((abs(s.quantity) for s in position.slices.all()), ZERO) / 2
    sign = -ONE if position.quantity < 0 else ONE
    return {
        **context.trader_chip(part.follow_id),
        "quantity": plain(part.quantity),
        "share_pct": percent(ratio(part.quantity * sign, whole)),
        "unrealized_pnl": money(None if price is None else part.quantity * price - part.cost),
        "realized_pnl": money(part.realized_pnl - part.fees + part.funding),
    }


def side_of(quantity: Decimal) -> str:
    """Name the side of a signed quantity."""
    if quantity == 0:
        return PositionSide.FLAT.value
    return PositionSide.LONG.value if quantity > 0 else PositionSide.SHORT.value


def orders_section(context: ViewContext) -> Section:
    """Return the orders that still work at the venue, or whose outcome is unknown."""
    return {str(order.pk): _order(order) for order in context.orders}


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.pk,
        "code": order.instrument_id,
        "side": order.side,
        "quantity": plain(order.quantity),
        "filled_quantity": plain(order.filled_quantity),
        "limit_price": price_text(order.limit_price),
        "average_price": price_text(ratio(order.filled_notional, order.filled_quantity)),
        "status": order.status,
        "purpose": order.purpose,
        "origin": order.origin,
        "market": order.market,
        "reduce_only": order.reduce_only,
        "created_at": iso(order.created_at),
        "expires_at": iso(order.expires_at),
    }


def commands_section(context: ViewContext) -> Section:
    """Return the newest commands with their answers, so that every open page shows what came of them."""
    return {str(command.pk): _command(command) for command in context.commands}


def _command(command: Command) -> dict[str, Any]:
    return {
        "id": str(command.pk),
        "kind": command.kind,
        "label": command.get_kind_display(),
        "data": command.data,
        "status": command.status,
        "answer": command.answer,
        "result": command.result,
        "via": command.via,
        "accepted_at": iso(command.accepted_at),
        "finished_at": iso(command.finished_at),
    }
