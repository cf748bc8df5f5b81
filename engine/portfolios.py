"""Opening portfolios, changing their settings, and moving paper cash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

from django.db import transaction

from accounts.models import OWN_PROFILE, Portfolio, User
from accounts.services import portfolio_create, portfolio_update
from allocation import capital, cash
from allocation.locks import capital_lock
from allocation.models import BlockedUnderlying
from allocation.own_limits import portfolio_profile_set
from core.decimals import plain
from core.errors import InputError
from core.instruments import is_code
from core.types import ConflictRule
from engine.decisions import DecisionNote, decision_store, world_time
from engine.models import CycleState
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake
from execution.models import Order
from positions.models import ConflictOverride, Position, Valuation
from positions.valuation import (
    portfolio_equity,
    portfolio_withdrawable,
    valuation_rebase,
    valuations_update,
)


@transaction.atomic
def portfolio_open(*, owner: User, initial_cash: Decimal, now: datetime, **fields: Any) -> Portfolio:
    """Create a portfolio with paper cash in it, ready to follow traders.

    :param fields: name, policy, risk_profile, conflict_rule, auto_rebalance, dry_run as in
        ``portfolio_create``
    :raises InputError: a field makes no sense
    """
    portfolio = portfolio_create(owner=owner, **fields)
    capital.capital_open(portfolio=portfolio, amount=initial_cash, now=now, world_at=now)
    CycleState.objects.create(portfolio=portfolio, next_at=now)
    Valuation.objects.create(
        portfolio=portfolio, equity=initial_cash, peak_equity=initial_cash, day_start_equity=initial_cash,
        day_start_deposits_net=initial_cash,
    )  # fmt: skip
    return portfolio


@transaction.atomic
def portfolio_settings_save(
    *,
    portfolio: Portfolio,
    now: datetime,
    overrides: Mapping[str, str] | None = None,
    blocked: list[str] | None = None,
    **fields: Any,
) -> Portfolio:
    """Change a portfolio's settings; every target is placed anew under them.

    :param overrides: conflict rule per underlying; replaces the stored ones when given
    :param blocked: underlyings never to open; replaces the stored ones when given
    :raises InputError: a field makes no sense, or the policy would change with something open
    """
    capital.capital_version_raise(portfolio_id=portfolio.pk)  # from here on no cycle acts on the old settings
    new_policy = fields.get("policy", portfolio.policy)
    if new_policy != portfolio.policy and _has_open(portfolio_id=portfolio.pk):
        raise InputError(
            "The policy can change only while no position and no order is open. Close them first.",
            field="policy",
        )
    if fields.get("risk_profile") == OWN_PROFILE:
        portfolio_profile_set(portfolio=portfolio, profile=OWN_PROFILE)  # its numbers begin with those of now
    portfolio_update(portfolio=portfolio, **fields)
    if overrides is not None:
        _overrides_save(portfolio=portfolio, overrides=overrides)
    if blocked is not None:
        _blocked_save(portfolio=portfolio, blocked=blocked)
    decision_store(portfolio=portfolio, note=DecisionNote(kind="settings", text="Settings saved"), now=now)
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="settings saved", force_all=True)
    portfolio_changed(portfolio_id=portfolio.pk)
    return portfolio


def portfolio_unstarted(*, portfolio: Portfolio) -> bool:
    """Tell whether a portfolio has been in its dry run from the beginning: it never ordered anything."""
    return portfolio.dry_run and not Order.objects.filter(portfolio=portfolio).exists()


@transaction.atomic
def conflict_rule_set(*, portfolio: Portfolio, underlying: str, rule: str, now: datetime) -> None:
    """Give one underlying a conflict rule of its own; every target is placed anew.

    :raises InputError: it is no instrument's name, or no rule
    """
    capital_lock(portfolio_id=portfolio.pk)  # nobody else changes the rules between reading and saving
    rules = _overrides(portfolio=portfolio) | {underlying: rule}
    portfolio_settings_save(portfolio=portfolio, now=now, overrides=rules)


@transaction.atomic
def conflict_rule_unset(*, portfolio: Portfolio, underlying: str, now: datetime) -> None:
    """Let one underlying follow the portfolio's rule again; harmless when it does already."""
    capital_lock(portfolio_id=portfolio.pk)
    rules = _overrides(portfolio=portfolio)
    if rules.pop(underlying, None) is not None:
        portfolio_settings_save(portfolio=portfolio, now=now, overrides=rules)


@transaction.atomic
def underlying_block(*, portfolio: Portfolio, underlying: str, now: datetime) -> None:
    """Never open an underlying again; harmless when it is blocked already.

    :raises InputError: it is no instrument's name
    """
    capital_lock(portfolio_id=portfolio.pk)
    blocked = _blocked(portfolio=portfolio)
    if underlying not in blocked:
        portfolio_settings_save(portfolio=portfolio, now=now, blocked=sorted({*blocked, underlying}))


@transaction.atomic
def underlying_allow(*, portfolio: Portfolio, underlying: str, now: datetime) -> None:
    """Allow an underlying again; harmless when it is allowed already."""
    capital_lock(portfolio_id=portfolio.pk)
    blocked = _blocked(portfolio=portfolio)
    if underlying in blocked:
        portfolio_settings_save(portfolio=portfolio, now=now, blocked=sorted(blocked - {underlying}))


def _overrides(*, portfolio: Portfolio) -> dict[str, str]:
    return dict(ConflictOverride.objects.filter(portfolio=portfolio).values_list("underlying", "rule"))


def _blocked(*, portfolio: Portfolio) -> set[str]:
    rows = BlockedUnderlying.objects.filter(portfolio=portfolio)
    return set(rows.values_list("underlying", flat=True))


def cash_deposit(
    *, portfolio: Portfolio, amount: Decimal, key: str, now: datetime, at_venue: bool = False
) -> None:
    """Put cash in. ``key`` makes a repeated request harmless.

    :param at_venue: it came in at the portfolio's venue; else it is paper
    :raises InputError: the amount is not above zero, or the portfolio is not on paper
    """
    move = partial(cash.cash_deposit, at_venue=at_venue)
    _cash_move(portfolio=portfolio, move=move, text="Deposited", amount=amount, key=key, now=now)


@transaction.atomic
def cash_withdraw(
    *, portfolio: Portfolio, amount: Decimal, key: str, now: datetime, at_venue: bool = False
) -> None:
    """Take cash out, at most what is free and no margin of open perpetuals.

    ``key`` makes a repeated request harmless.

    :param at_venue: it went out at the portfolio's venue; else it is paper
    :raises InputError: more than can be spared, not above zero, or the portfolio is not on paper
    """
    capital_lock(portfolio_id=portfolio.pk)
    withdrawable = portfolio_withdrawable(portfolio=portfolio)
    move = partial(cash.cash_withdraw, withdrawable=withdrawable, at_venue=at_venue)
    _cash_move(portfolio=portfolio, move=move, text="Withdrew", amount=amount, key=key, now=now)


@transaction.atomic
def cash_reset(*, portfolio: Portfolio, amount: Decimal, key: str, now: datetime) -> None:
    """Start the paper account over with ``amount``; nothing may be open.

    :raises InputError: a position or order is open, the amount makes no sense, or not on paper
    """
    capital_lock(portfolio_id=portfolio.pk)
    if _has_open(portfolio_id=portfolio.pk):
        raise InputError(
            "Paper cash can be reset only while no position and no order is open. Close them first."
        )
    booked = _cash_move(
        portfolio=portfolio,
        move=cash.cash_reset,
        text="Reset paper cash to",
        amount=amount,
        key=key,
        now=now,
    )
    if booked:
        valuation_rebase(portfolio_id=portfolio.pk, now=now)


@transaction.atomic
def _cash_move(
    *, portfolio: Portfolio, move: Any, text: str, amount: Decimal, key: str, now: datetime
) -> bool:
    """Move cash at today's worth; False where the same request was booked before."""
    capital_lock(portfolio_id=portfolio.pk)  # nothing is booked between valuing and booking
    world_at, _ = world_time(world_name=portfolio.world, now=now)
    equity = portfolio_equity(portfolio=portfolio)
    booked = move(portfolio=portfolio, amount=amount, equity=equity, key=key, now=now, world_at=world_at)
    if not booked:
        return False
    note = DecisionNote(kind="cash", text=f"{text} ${plain(amount)}")
    decision_store(portfolio=portfolio, note=note, now=now)
    valuations_update(portfolio_ids=[portfolio.pk], now=now)
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="cash moved")
    portfolio_changed(portfolio_id=portfolio.pk)
    return True


def _has_open(*, portfolio_id: int) -> bool:
    return (
        Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED).exists()
        or Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES).exists()
    )


def _overrides_save(*, portfolio: Portfolio, overrides: Mapping[str, str]) -> None:
    for underlying, rule in overrides.items():
        _check_underlying(underlying, field="overrides")
        if rule not in set(ConflictRule):
            raise InputError(
                f"“{rule}” is no conflict rule; choose combine, largest or first.", field="overrides"
            )
    ConflictOverride.objects.filter(portfolio=portfolio).exclude(underlying__in=overrides).delete()
    for underlying, rule in overrides.items():
        ConflictOverride.objects.update_or_create(
            portfolio=portfolio, underlying=underlying, defaults={"rule": rule}
        )


def _blocked_save(*, portfolio: Portfolio, blocked: list[str]) -> None:
    for underlying in blocked:
        _check_underlying(underlying, field="blocked")
    BlockedUnderlying.objects.filter(portfolio=portfolio).exclude(underlying__in=blocked).delete()
    for underlying in blocked:
        BlockedUnderlying.objects.get_or_create(portfolio=portfolio, underlying=underlying)


def _check_underlying(underlying: str, *, field: str) -> None:
    if not is_code(underlying):
        raise InputError(
            f"“{underlying}” is not an instrument name; write it like BTC or xyz:TSLA.", field=field
        )
