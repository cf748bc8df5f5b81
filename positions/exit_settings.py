"""Exit rules as people set them: a portfolio's defaults for new positions, and one position's own (EXT-2).

Written rules are the columns of ``ExitRules``: percent and days as Decimals, 0 for a rule that is off, and
``take_profit`` as a list of {"gain_pct" or "price", "fraction_pct"}, decimals as strings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from accounts.models import Portfolio
from core.errors import InputError, NotFound
from markets.models import Mark
from positions.domain.exit_checks import TRAIL_WHOLE, plan_check, plan_warnings
from positions.domain.exit_edits import Edited, Moment, state_edit, stop_stays
from positions.domain.exits import planned_stop
from positions.exits import RULE_FIELDS, defaults_of, guard_changed, plan_of, rules_values, state_of
from positions.locks import exit_defaults_lock, guard_lock, position_by_id_lock
from positions.models import ExitDefaults, ExitGuard, ExitRules, Position

_PAIRS: Final = (("trail_from_pct", "trail_by_pct"), ("trail_by_pct", "trail_from_pct"))


@dataclass(frozen=True, slots=True)
class GuardEdit:
    """What a person asks for of one position's exits.

    :param rules: written rules by column; those not given stay as they are
    :param stop_price: put the stop there
    :param use_defaults: take the portfolio's defaults instead; nothing else can be given with it
    """

    position_id: int
    rules: Mapping[str, Any] = field(default_factory=dict)
    stop_price: Decimal | None = None
    use_defaults: bool = False


@dataclass(frozen=True, slots=True)
class GuardEdited:
    """What an edit of one position's exits came to.

    :param changed: False where everything stood as asked for already
    :param notes: what was asked for and changes nothing that stands; ``warnings`` what is daring
    """

    guard: ExitGuard
    underlying: str
    changed: bool
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def rules_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the written rules among named values whose numbers are text; other names are left out."""
    return {
        name: data[name] if name == "take_profit" else Decimal(data[name])
        for name in RULE_FIELDS
        if name in data
    }


def exit_defaults_check(*, portfolio: Portfolio, rules: Mapping[str, Any]) -> list[str]:
    """See that rules make sense beside those that stay; return what is daring about them.

    :raises InputError: they do not, with the field at fault
    """
    return _defaults_check(_written(defaults_of(portfolio_id=portfolio.pk), rules))


@transaction.atomic
def exit_defaults_set(
    *,
    portfolio: Portfolio,
    rules: Mapping[str, Any],
    stops_at_venue: bool | None = None,
    now: datetime,
) -> list[str]:
    """Keep what guards a portfolio's new positions; open ones keep theirs. Return what is daring about it.

    :param rules: written rules by column; those not given stay as they are
    :param stops_at_venue: whether stops also rest at the venue, of open positions too; None: as it is
    :raises InputError: rules that make no sense, with the field at fault
    """
    ExitDefaults.objects.get_or_create(
        portfolio=portfolio, defaults=rules_values(defaults_of(portfolio_id=portfolio.pk))
    )
    row = _written(exit_defaults_lock(portfolio_id=portfolio.pk), rules)
    warnings = _defaults_check(row)
    row.updated_at = now
    if stops_at_venue is not None:
        row.stops_at_venue = stops_at_venue
    row.save(update_fields=[*rules, "stops_at_venue", "updated_at"])
    return warnings


def _defaults_check(row: ExitDefaults) -> list[str]:
    if any("price" in step for step in row.take_profit):
        raise InputError(
            "A step for every position names a gain; a price is for one position.", field="take_profit"
        )
    return plan_warnings(plan=plan_check(plan_of(row)))


def guard_edit_check(*, portfolio: Portfolio, edit: GuardEdit) -> None:
    """See that an edit would be accepted as things stand, whatever the time; nothing is changed or locked.

    :raises NotFound: the portfolio has no such position
    :raises InputError: see ``guard_edit``
    """
    position, guard = _held(
        Position.objects.filter(portfolio=portfolio, pk=edit.position_id).first(),
        ExitGuard.objects.filter(pk=edit.position_id).first(),
        edit,
    )
    _edited(portfolio, position, guard, edit, world_at=guard.opened_world_at)


@transaction.atomic
def guard_edit(*, portfolio: Portfolio, edit: GuardEdit, now: datetime, world_at: datetime) -> GuardEdited:
    """Change what guards one position. Stops that stand only tighten; the same edit twice is one edit.

    :raises NotFound: the portfolio has no such position
    :raises InputError: nothing guards it, or the edit is refused (see ``state_edit``); names the field
    """
    position, guard = _held(
        position_by_id_lock(portfolio_id=portfolio.pk, position_id=edit.position_id),
        guard_lock(position_id=edit.position_id),
        edit,
    )
    wanted, edited = _edited(portfolio, position, guard, edit, world_at)
    if edited is None:
        return GuardEdited(guard=guard, underlying=position.underlying, changed=False)
    notes = list(edited.notes)
    stop = edited.state.stop_price
    if edit.use_defaults and stop is not None and stop != planned_stop(edited.state):
        notes.insert(0, stop_stays(stop))
    _keep(guard, wanted, edited, own=not edit.use_defaults, now=now)
    return GuardEdited(
        guard=guard,
        underlying=position.underlying,
        changed=True,
        notes=tuple(dict.fromkeys(notes)),
        warnings=edited.warnings,
    )


def _held(position: Position | None, guard: ExitGuard | None, edit: GuardEdit) -> tuple[Position, ExitGuard]:
    """Return a portfolio's position and what guards it.

    :raises NotFound: it has none; InputError: nothing is held, so nothing guards it
    """
    if position is None:
        raise NotFound(f"This portfolio has no position {edit.position_id}.", field="position_id")
    if guard is None or guard.ended_at is not None:
        raise InputError(
            f"Nothing of {position.underlying} is held, so nothing guards it.", field="position_id"
        )
    return position, guard


def _edited(
    portfolio: Portfolio, position: Position, guard: ExitGuard, edit: GuardEdit, world_at: datetime
) -> tuple[ExitRules, Edited | None]:
    """Return the rules that are wanted and what they make of the levels; None where all stands so already."""
    wanted = defaults_of(portfolio_id=portfolio.pk)
    if not edit.use_defaults:
        wanted = _written(ExitDefaults(**rules_values(guard)), edit.rules)
    if _stands(guard, wanted, edit.stop_price, own=not edit.use_defaults):
        return wanted, None
    return wanted, state_edit(
        state=state_of(guard),
        plan=plan_of(wanted),
        steps_done=_steps_done(guard, wanted.take_profit),
        stop_price=edit.stop_price,
        moment=Moment(price=_mark(portfolio, position), world_at=world_at),
    )


def _written(row: ExitDefaults, rules: Mapping[str, Any]) -> ExitDefaults:
    """Return a row in memory with the given rules written into it.

    :raises InputError: half a trailing stop: a distance that starts nowhere, or a start without a distance
    """
    unknown = sorted(set(rules) - set(RULE_FIELDS))
    if unknown:
        raise InputError(
            f"There is no exit rule {unknown[0]}; there are {', '.join(RULE_FIELDS)}.", field=unknown[0]
        )
    for name, value in rules.items():
        setattr(row, name, value)
    for given, missing in _PAIRS:
        if rules.get(given) and not getattr(row, missing):
            raise InputError(TRAIL_WHOLE, field=missing)
    return row


def _stands(guard: ExitGuard, wanted: ExitRules, stop_price: Decimal | None, *, own: bool) -> bool:
    """Whether everything stands as asked for: the edit was made before, or changes nothing."""
    return (
        rules_values(wanted) == rules_values(guard)
        and stop_price in {None, guard.stop_price}
        and guard.own == own
    )


def _steps_done(guard: ExitGuard, steps: Sequence[Mapping[str, str]]) -> int:
    """Steps that were taken count as taken where the new list begins with them; another list begins anew."""
    taken = guard.take_profit[: guard.steps_done]
    return guard.steps_done if list(steps[: guard.steps_done]) == taken else 0


def _mark(portfolio: Portfolio, position: Position) -> Decimal:
    mark = Mark.objects.filter(world_id=portfolio.world, instrument_id=position.instrument_id).first()
    if mark is None:
        raise InputError(
            f"{position.instrument_id} has no price here, so nothing says what a level would do. Try again "
            "once it has one.",
            field="position_id",
        )
    return mark.price


def _keep(guard: ExitGuard, wanted: ExitRules, edited: Edited, *, own: bool, now: datetime) -> None:
    state = edited.state
    guard_changed(
        guard,
        now=now,
        **rules_values(wanted),
        own=own,
        stop_price=state.stop_price,
        first_stop_price=guard.first_stop_price or state.stop_price,
        trail_price=state.trail_price,
        steps_done=state.steps_done,
        levels_from=now,
    )
