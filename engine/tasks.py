"""Celery's doors to the engine: each task is thin, safe to run twice, and found again by a sweep if lost.

A task's name begins with its queue: ``sync.``, ``plan.``, ``orders.``, ``live.``, ``exits.``,
``commands.``, ``upkeep.``, ``alerts.``.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from celery import shared_task
from django.conf import settings

from core.clock import SYSTEM_CLOCK, utc_now
from engine import (
    alerting,
    approvals,
    commands,
    copy_cycle,
    credentials,
    emergency,
    fidelity_measuring,
    order_life,
    recovery,
    style,
    syncing,
    upkeep,
    venue_stops,
)
from engine.exits import standing, sweep
from engine.live import turn
from engine.sending import (
    CYCLES_BY_NAME,
    accounts_later,
    cycles_later,
    cycles_pull,
    live_submit_later,
    recover_later,
)
from execution.orders import order_is_paper

logger = logging.getLogger(__name__)
SHARD_LIFETIME_S: Final = 2


@shared_task(name="sync.shards")
def sync_shards() -> None:
    """Have the traders that are due read, one task per shard."""
    for shard in range(settings.SYNC_SHARDS):
        sync_shard.apply_async((shard, settings.SYNC_SHARDS), expires=SHARD_LIFETIME_S)


@shared_task(name="sync.shard")
def sync_shard(shard: int, shards: int) -> None:
    """Read the due traders of one shard side by side, and wake the portfolios of those that changed."""
    syncing.shard_sync(shard=shard, shards=shards, now=utc_now())


@shared_task(name="sync.strategies")
def sync_strategies() -> None:
    """Let the built-in strategies decide on the candles that have closed."""
    syncing.strategies_run(now=utc_now())


@shared_task(name="plan.due")
def plan_due() -> None:
    """Ask for the copy cycles whose minute is over, or whose wake-up message was lost."""
    now = utc_now()
    if copy_cycle.cycles_waiting(now=now) > CYCLES_BY_NAME:
        cycles_pull()
    else:
        cycles_later(copy_cycle.cycles_due(now=now))


@shared_task(name="plan.many")
def plan_many() -> None:
    """Run the copy cycles that have waited longest, for a moment."""
    copy_cycle.cycles_many(clock=SYSTEM_CLOCK)


@shared_task(name="plan.cycle")
def plan_cycle(portfolio_id: int) -> None:
    """Run one portfolio's copy cycle, if it has not run since it was asked for."""
    copy_cycle.cycle_turn(portfolio_id=portfolio_id, now=utc_now())


@shared_task(name="orders.submit")
def orders_submit(order_id: int) -> None:
    """Send one stored order to the paper venue, or hand it on if it is for another."""
    if order_is_paper(order_id=order_id):
        order_life.order_send(order_id=order_id, now=utc_now(), clock=SYSTEM_CLOCK)
    else:
        live_submit_later(order_id)


@shared_task(name="live.submit")
def live_submit(order_id: int) -> None:
    """Send one stored order to its venue."""
    with order_life.one_order(order_id=order_id, now=utc_now()):
        order_life.order_send(order_id=order_id, now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="live.due")
def live_due() -> None:
    """Ask for the turns of the accounts that have something to do."""
    accounts_later(turn.accounts_due(now=utc_now()))


@shared_task(name="live.turn")
def live_turn(portfolio_id: int) -> None:
    """Do what one account at a venue needs now."""
    turn.account_turn(portfolio_id=portfolio_id, now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="orders.work")
def orders_work() -> None:
    """Match paper orders, book fills, expire what is too old, send and ask again what was left hanging.

    Then go on closing what an emergency stop closes.
    """
    order_life.orders_work(now=utc_now(), clock=SYSTEM_CLOCK)
    emergency.stopped_flatten(now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="orders.stops")
def orders_stops() -> None:
    """Place, move and take back the stops that rest at the venue, and book those that were touched."""
    venue_stops.venue_stops_work(now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="commands.run")
def commands_run(command_id: str) -> None:
    """Carry out one command of a person, or go on with it."""
    commands.command_run(command_id=UUID(command_id), now=utc_now())


@shared_task(name="commands.sweep")
def commands_sweep() -> None:
    """Run the commands that nobody is at: their message was lost, they are under way, or a worker died."""
    for command_id in commands.commands_due(now=utc_now()):
        commands.command_run(command_id=command_id, now=utc_now())


@shared_task(name="exits.submit")
def exits_submit(order_ids: list[int]) -> None:
    """Send the orders of exit rules."""
    standing.exits_submit(order_ids=order_ids, now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="exits.place")
def exits_place(trigger_ids: list[int]) -> None:
    """Place and send the orders of triggers that the watch has found and did not place itself."""
    standing.triggers_work(trigger_ids=trigger_ids, now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="exits.work")
def exits_work() -> None:
    """Go on with every trigger that stands: the next order where one ended, the end where nothing is left."""
    standing.triggers_work(now=utc_now(), clock=SYSTEM_CLOCK)


@shared_task(name="exits.sweep")
def exits_sweep() -> None:
    """Hold every guarded position against its mark, as the second line behind the watch."""
    doubtful = sweep.positions_sweep(now=utc_now())
    if doubtful:
        exits_confirm.apply_async((doubtful,), countdown=sweep.WATCH_MAY_TAKE_S, expires=10)


@shared_task(name="exits.confirm")
def exits_confirm(doubtful: list[list[Any]]) -> None:
    """Trigger what the watch, having had its time, has left standing beyond its level."""
    sweep.positions_confirm(doubtful=doubtful, now=utc_now())


@shared_task(name="upkeep.value")
def upkeep_value() -> None:
    """Value every portfolio with something at stake; liquidate where margin is gone."""
    upkeep.portfolios_value(now=utc_now())


@shared_task(name="upkeep.reconcile")
def upkeep_reconcile() -> None:
    """Settle with their venue the portfolios that have, or lately had, orders."""
    recovery.portfolios_reconcile(now=utc_now())


@shared_task(name="upkeep.recover")
def upkeep_recover(begun_s: int) -> None:
    """Settle every portfolio with its venue, some hundred at a time; asked for whenever a worker starts."""
    begun_at = datetime.fromtimestamp(begun_s, tz=UTC)
    if recovery.recovery_go_on(begun_at=begun_at, now=utc_now()):
        recover_later(begun_at=begun_at)


@shared_task(name="upkeep.fund")
def upkeep_fund() -> None:
    """Book funding of perpetual positions up to the last full hour of world time."""
    upkeep.positions_fund(now=utc_now())


@shared_task(name="upkeep.expire_reservations")
def upkeep_expire_reservations() -> None:
    """Give unused capital back when its time is over."""
    upkeep.reservations_sweep(now=utc_now())


@shared_task(name="upkeep.lapse_approvals")
def upkeep_lapse_approvals() -> None:
    """End the approvals of conflicts that nobody decided in time."""
    approvals.approvals_lapse(now=utc_now())


@shared_task(name="upkeep.lost_traders")
def upkeep_lost_traders() -> None:
    """Recommend closing what is held for traders that could not be read for a day."""
    upkeep.lost_traders_tell(now=utc_now())


@shared_task(name="upkeep.fidelity")
def upkeep_fidelity() -> None:
    """Measure new copied fills against their traders' own prices."""
    fidelity_measuring.fills_measure(now=utc_now())


@shared_task(name="upkeep.check_keys")
def upkeep_check_keys() -> None:
    """Ask venues again what keys may do that nobody asked about for a day."""
    credentials.credentials_check(now=utc_now())


@shared_task(name="upkeep.style")
def upkeep_style() -> None:
    """Judge whether traders still trade as they used to, each full hour of world time."""
    style.style_watch(now=utc_now())


@shared_task(name="upkeep.venue_rules")
def upkeep_venue_rules() -> None:
    """Read anew the rules of trading venues that were read more than six hours ago."""
    upkeep.venue_rules_renew(now=utc_now())


@shared_task(name="upkeep.prune")
def upkeep_prune() -> None:
    """Delete snapshots older than 90 days and what else has had its time."""
    upkeep.prune(now=utc_now())


@shared_task(name="alerts.watch")
def alerts_watch() -> None:
    """Tell of orders without an answer and of traders that cannot be read, once that has lasted."""
    alerting.standing_watch(now=utc_now())


@shared_task(name="upkeep.audit")
def upkeep_audit() -> None:
    """Prove every portfolio's books; a difference is logged as an error, never mended in silence."""
    upkeep.books_prove(now=utc_now())
