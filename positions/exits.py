"""What guards positions: read as the pure rules take it, and kept in line with what fills make of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from django.conf import settings

from core.decimals import to_price
from positions.domain.exits import (
    ExitPlan,
    ExitState,
    TakeProfitStep,
    state_enlarge,
    state_open,
)
from positions.locks import guard_lock
from positions.models import ExitDefaults, ExitGuard, ExitRules, Position

HUNDRED: Final = Decimal(100)
DAY_US: Final = 86_400_000_000
RULE_FIELDS: Final = ("stop_loss_pct", "trail_from_pct", "trail_by_pct", "time_stop_days", "take_profit")


def plan_of(rules: ExitRules) -> ExitPlan:
    """Return written rules as the pure rules take them; 0 percent is a rule that is off."""
    trails = bool(rules.trail_from_pct and rules.trail_by_pct)
    return ExitPlan(
        stop_loss=_fraction(rules.stop_loss_pct),
        trail_from=_fraction(rules.trail_from_pct) if trails else None,
        trail_by=_fraction(rules.trail_by_pct) if trails else None,
        take_profit=tuple(_step(row) for row in rules.take_profit),
        time_stop=timedelta(microseconds=int(rules.time_stop_days * DAY_US))
        if rules.time_stop_days
        else None,
    )


def _fraction(percent: Decimal) -> Decimal | None:
    return percent / HUNDRED if percent else None


def _days(days: Decimal) -> timedelta | None:
    return timedelta(microseconds=int(days * DAY_US)) if days else None


def _step(row: dict[str, Any]) -> TakeProfitStep:
    return TakeProfitStep(
        fraction=Decimal(row["fraction_pct"]) / HUNDRED,
        gain=Decimal(row["gain_pct"]) / HUNDRED if "gain_pct" in row else None,
        price=Decimal(row["price"]) if "price" in row else None,
    )


def state_of(guard: ExitGuard) -> ExitState:
    """Return a guard as the pure rules take it."""
    return ExitState(
        plan=plan_of(guard),
        sign=guard.sign,
        entry_price=guard.entry_price,
        opened_at=guard.opened_world_at,
        peak_price=guard.peak_price,
        stop_price=guard.stop_price,
        trail_price=guard.trail_price,
        steps_done=guard.steps_done,
    )


def rules_values(rules: ExitRules) -> dict[str, Any]:
    """Return written rules by column."""
    return {name: getattr(rules, name) for name in RULE_FIELDS}


def defaults_of(*, portfolio_id: int) -> ExitDefaults:
    """Return what guards a portfolio's new positions: its own row, else the site's settings (not stored)."""
    own = ExitDefaults.objects.filter(portfolio_id=portfolio_id).first()
    return own or ExitDefaults(
        portfolio_id=portfolio_id,
        stop_loss_pct=settings.EXIT_STOP_LOSS_PCT,
        trail_from_pct=settings.EXIT_TRAIL_FROM_PCT,
        trail_by_pct=settings.EXIT_TRAIL_BY_PCT,
        time_stop_days=settings.EXIT_TIME_STOP_DAYS,
        take_profit=[],
    )


def entry_of(*, position: Position, price: Decimal) -> Decimal:
    """Return the average entry of a position that holds something.

    :param price: of the fill, which stands in where so little is held that its cost rounds to nothing
    """
    entry = to_price(position.cost / position.quantity)
    return entry if entry > 0 else price


def guard_follow(
    *, position: Position, before: Decimal, price: Decimal, world: str, now: datetime, world_at: datetime
) -> None:
    """Bring what guards a position in line with a fill that was booked into it, in the same transaction.

    A position that opens, or changes its side, gets its portfolio's defaults; one that is enlarged takes its
    stops along where that tightens them; one that is flat is guarded no more.

    :param position: after the fill; ``before`` is its signed quantity before it
    :param price: of the fill
    :param now: wall time of the fill, from which on prices are looked at
    """
    quantity = position.quantity
    guard = guard_lock(position_id=position.pk)
    if quantity == 0:
        if guard is not None and guard.ended_at is None:
            guard_changed(guard, now=now, ended_at=now)
        return
    if guard is None or guard.ended_at is not None or quantity * guard.sign < 0:
        _guard_begin(guard=guard, position=position, price=price, world=world, now=now, world_at=world_at)
    elif abs(quantity) > abs(before):
        entry = entry_of(position=position, price=price)
        state = state_enlarge(state=state_of(guard), entry_price=entry, price=price)
        # A best price of before was no gain on what is held now, and starts no trailing stop of it.
        since = now if state.trail_price is None else guard.since
        guard_changed(
            guard, now=now, since=since, levels_from=now, entry_price=entry, peak_price=state.peak_price,
            stop_price=state.stop_price,
        )  # fmt: skip


def _guard_begin(
    *,
    guard: ExitGuard | None,
    position: Position,
    price: Decimal,
    world: str,
    now: datetime,
    world_at: datetime,
) -> None:
    """Guard a position by its portfolio's defaults; what an earlier side of it had does not count."""
    rules = defaults_of(portfolio_id=position.portfolio_id)
    sign = 1 if position.quantity > 0 else -1
    entry = entry_of(position=position, price=price)
    state = state_open(plan=plan_of(rules), sign=sign, entry_price=entry, price=price, opened_at=world_at)
    values: dict[str, Any] = {
        **rules_values(rules),
        "world_id": world,
        "run": position.run,
        "instrument_id": position.instrument_id,
        "sign": sign,
        "own": False,
        "entry_price": entry,
        "opened_world_at": world_at,
        "peak_price": state.peak_price,
        "first_stop_price": state.stop_price,
        "stop_price": state.stop_price,
        "trail_price": None,
        "steps_done": 0,
        "since": now,
        "levels_from": now,
        "changed_at": now,
        "ended_at": None,
    }
    if guard is None:
        ExitGuard.objects.create(position=position, **values)
    else:
        guard_changed(guard, **{**values, "now": now, "episode": guard.episode + 1})


def guard_changed(guard: ExitGuard, *, now: datetime, **values: Any) -> None:
    """Write a change of a locked guard that the exit watch must see: the version rises."""
    for name, value in {**values, "version": guard.version + 1, "changed_at": now}.items():
        setattr(guard, name, value)
    guard.save(update_fields=[*values, "version", "changed_at"])
