"""What closes a position by itself, as the view and the API write it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from accounts.models import Portfolio
from core.decimals import ONE, plain
from core.errors import NotFound
from engine.models import ExitTrigger
from engine.view_context import iso, percent
from engine.view_context import price as price_text
from markets.models import Mark
from positions.domain.exit_checks import plan_warnings
from positions.domain.exits import ExitState, reachable, step_price
from positions.exits import defaults_of, plan_of, state_of
from positions.models import ExitGuard, ExitRules, Position

_LEVELS: Final = ("stop", "trail", "activation", "target")


def exits_record(*, guard: ExitGuard | None, trigger: ExitTrigger | None) -> dict[str, Any] | None:
    """Return a position's exit levels; None where nothing is held in all, so that nothing guards it.

    :param trigger: the one that stands
    """
    if guard is None or guard.ended_at is not None:
        return None
    state = state_of(guard)
    return {
        "stop": price_text(guard.stop_price),
        "first_stop": price_text(guard.first_stop_price),
        "trail": price_text(guard.trail_price),
        "activation": price_text(state.activation_price),
        "peak": price_text(guard.peak_price),
        "target": price_text(state.target_price),
        "steps": _steps(state),
        "time_stop_at": iso(state.time_stop_at),
        "opened_at": iso(guard.opened_world_at),
        "own": guard.own,
        "rules": rules_record(guard),
        "trigger": None if trigger is None else trigger_record(trigger),
    }


def rules_record(rules: ExitRules) -> dict[str, Any]:
    """Return the rules as they are written down: percent points, "0" is a rule that is off."""
    return {
        "stop_loss_pct": plain(rules.stop_loss_pct),
        "trail_from_pct": plain(rules.trail_from_pct),
        "trail_by_pct": plain(rules.trail_by_pct),
        "time_stop_days": plain(rules.time_stop_days),
        "take_profit": rules.take_profit,
    }


def trigger_record(trigger: ExitTrigger) -> dict[str, Any]:
    """Return which rule is closing a position, and how far it is."""
    return {
        "kind": trigger.kind,
        "text": trigger.text or trigger.get_kind_display(),
        "status": trigger.status,
    }


def _steps(state: ExitState) -> list[dict[str, Any]]:
    """Return every step of take profit; one that no price can reach has no price."""
    return [
        {
            "price": price_text(reachable(step_price(step, entry=state.entry_price, sign=state.sign))),
            "fraction_pct": plain(step.fraction * 100),
            "done": number < state.steps_done,
        }
        for number, step in enumerate(state.plan.take_profit)
    ]


def position_exits(*, portfolio: Portfolio, position_id: int) -> dict[str, Any]:
    """Return what closes one position, and how far the price is from each level.

    ``distances_pct`` are percent of the mark that the price has to move, signed; None where there is no such
    level or no price.

    :raises NotFound: the portfolio has no such position
    """
    position = Position.objects.filter(portfolio=portfolio, pk=position_id).select_related("guard").first()
    if position is None:
        raise NotFound(f"This portfolio has no position {position_id}.")
    trigger = ExitTrigger.objects.filter(position=position, status__in=ExitTrigger.STANDING).first()
    guard = getattr(position, "guard", None)
    mark = Mark.objects.filter(world_id=portfolio.world, instrument_id=position.instrument_id).first()
    price = mark.price if mark else None
    exits = exits_record(guard=guard, trigger=trigger)
    return {
        "position_id": position.pk,
        "code": position.instrument_id,
        "status": position.status,
        "mark_price": price_text(price),
        "exits": exits,
        "distances_pct": exits and {name: _distance(exits[name], price) for name in _LEVELS},
    }


def _distance(level: str | None, price: Decimal | None) -> str | None:
    return None if level is None or price is None else percent(Decimal(level) / price - ONE)


def defaults_record(*, portfolio: Portfolio) -> dict[str, Any]:
    """Return what guards a portfolio's new positions, and whether it is its own or the server's."""
    rules = defaults_of(portfolio_id=portfolio.pk)
    return {
        "own": not rules._state.adding,
        "rules": rules_record(rules),
        "stops_at_venue": rules.stops_at_venue,
        "warnings": plan_warnings(plan=plan_of(rules)),
    }
