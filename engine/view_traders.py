"""The sections of a portfolio's view about its traders: their cards, conflicts, curve and activity."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from allocation.models import Follow
from core.decimals import BPS, plain
from engine.models import FollowFidelity
from engine.view_context import (
    ViewContext,
    iso,
    money,
    percent,
    points,
    price,
    ratio,
    short_key,
    unrealized_by_follow,
)
from positions.models import ConflictApproval, ConflictRecord
from positions.selectors import FollowResult

Section = dict[str, dict[str, Any]]


def traders_section(context: ViewContext) -> Section:
    """Return a card per followed trader: their own result, our result with them, and how fresh it is."""
    unrealized = unrealized_by_follow(context)
    return {str(follow.pk): _trader(context, follow, unrealized[follow.pk]) for follow in context.current}


def _trader(context: ViewContext, follow: Follow, unrealized: Decimal) -> dict[str, Any]:
    trader, snapshot = follow.trader, follow.trader.latest_snapshot
    stats, sync = context.stats[trader.pk], context.syncs[trader.pk]
    totals = context.books.results.get(follow.pk, FollowResult())
    assigned = follow.weight * context.valuation.equity
    pnl = totals.realized_net + unrealized
    return {
        "follow_id": follow.pk,
        "trader_id": trader.pk,
        "name": trader.name,
        "monogram": trader.monogram,
        "hue": follow.hue,
        "order": follow.place,
        "kind": trader.kind,
        "detail": trader.detail or short_key(trader),
        "key": trader.key,
        "note": " ".join([*(snapshot.notes if snapshot else ()), trader.note]).strip(),
        "signals": [{"code": row.code, "side": row.side} for row in context.signals.get(trader.pk, ())],
        "fidelity": _fidelity(context.fidelity.get(follow.pk)),
        "style": [
            {"id": alarm.pk, "measure": alarm.measure, "text": alarm.text, "world_at": iso(alarm.world_at)}
            for alarm in context.styles.get(follow.pk, ())
        ],
        "style_action": follow.style_action,
        "follow_status": follow.status,
        "sync_status": sync.status,
        "weight_pct": percent(follow.weight),
        "assigned": money(assigned),
        "equity": money(snapshot.equity) if snapshot else None,
        "total_pnl": money(pnl),
        "total_pnl_pct": percent(ratio(pnl, assigned)),
        "our_positions": totals.open_positions,
        "trader_return_pct": percent(stats.total_return),
        "day_return_pct": percent(stats.day_return),
        "max_drawdown_pct": percent(stats.max_drawdown),
        "exposure": points(stats.exposure),
        "position_count": stats.position_count,
        "sparkline": stats.sparkline,
        "synced_at": iso(sync.synced_at),
        "next_sync_at": iso(sync.next_sync_at),
        "failing_since": iso(sync.failing_since),
        "error": sync.error,
        "error_rate_pct": percent(sync.error_rate),
    }


def _fidelity(kept: FollowFidelity | None) -> dict[str, Any] | None:
    """Return how near our fills come to the trader's own prices; None before the first was measured."""
    if kept is None:
        return None
    return {
        "fills": kept.fills,
        "p50_bps": plain(kept.whole_p50_bps),
        "p95_bps": plain(kept.whole_p95_bps),
        "delay_bps": plain(kept.delay_p50_bps),
        "execution_bps": plain(kept.execution_p50_bps),
        "fee_bps": plain(kept.fee_p50_bps),
        "unsized_pct": percent(None if kept.unsized_p50_bps is None else kept.unsized_p50_bps * BPS),
        "lag_least_s": None if kept.lag_least_p50_s is None else plain(kept.lag_least_p50_s),
        "lag_most_s": None if kept.lag_most_p50_s is None else plain(kept.lag_most_p50_s),
    }


def conflicts_section(context: ViewContext) -> Section:
    """Return the conflicts that stand now, newest first."""
    return {str(record.pk): _conflict(context, record) for record in context.conflicts}


def _approval(approval: ConflictApproval | None) -> dict[str, Any] | None:
    """Return what its owner is asked about a conflict, and until when; None where nothing waits."""
    if approval is None:
        return None
    return {"id": approval.pk, "lapses_at": iso(approval.lapses_at), "previews": approval.previews}


def _conflict(context: ViewContext, record: ConflictRecord) -> dict[str, Any]:
    return {
        "id": record.pk,
        "underlying": record.underlying,
        "kind": record.kind,
        "rule": record.rule,
        "before": plain(record.before_quantity),
        "after": plain(record.after_quantity),
        "after_notional": money(record.after_notional),
        "mark_price": price(record.mark_price),
        "capped_reason": record.capped_reason,
        "approval": _approval(context.approvals.get(record.underlying)),
        "at": iso(record.at),
        "world_at": iso(record.world_at),
        "holders": [{**holder, **context.trader_chip(holder["follow_id"])} for holder in record.holders],
    }


def curve_record(context: ViewContext) -> dict[str, Any]:
    """Return the newest point of the equity curves; ``at`` is world time."""
    return {
        "at": iso(context.valuation.world_at),
        "run": context.run,
        "portfolio": money(context.valuation.equity),
        "unit_value": plain(context.valuation.unit_value),
        "traders": {
            str(follow.pk): money(follow.trader.latest_snapshot.equity)
            for follow in context.current
            if follow.trader.latest_snapshot is not None
        },
    }


def activity_section(context: ViewContext) -> Section:
    """Return the newest decisions and events, newest first."""
    return {str(entry.pk): _activity(entry) for entry in context.decisions}


def _activity(decision: Any) -> dict[str, Any]:
    return {
        "id": decision.pk,
        "at": iso(decision.at),
        "world_at": iso(decision.world_at),
        "kind": decision.kind,
        "underlying": decision.underlying,
        "text": decision.text,
        "detail": decision.reason,
        "follow_ids": decision.follow_ids,
    }
