"""What goes on between decisions: worth, funding, liquidation, expiry, pruning, proof."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Final

from django.db import DatabaseError

from accounts.answers import answers_prune
from accounts.models import Portfolio
from alerts.failures import failures_prune
from alerts.raising import alerts_prune
from allocation.models import Follow, Reservation
from allocation.pruning import reservations_prune
from allocation.reservations import reservations_expire
from core.errors import BooksDiffer
from core.ids import fingerprint
from engine.alerting import books_tell
from engine.breakers import breakers_evaluate, deficits_halt
from engine.decisions import DecisionNote, decision_store
from engine.emergency import stopped_flatten
from engine.exits.protection import gaps_prune
from engine.fidelity_measuring import fidelity_summarise
from engine.liquidation import portfolios_liquidate
from engine.publishing import portfolios_changed
from execution.orders import reservations_unlink
from execution.venues.live import sends_prune
from markets.candle_store import candles_prune
from markets.models import World
from markets.services import samples_prune
from markets.venue_rules import venue_rules_keep
from positions.audit import Finding, books_audit
from positions.funding import positions_fund as portfolio_fund
from positions.models import Position
from positions.valuation import valuations_update
from traders.style import style_prune
from traders.sync import sync_prune

logger = logging.getLogger(__name__)
VALUED_AT_ONCE: Final = 500
LOST_FOR: Final = timedelta(hours=24)
RESERVATIONS_KEPT: Final = timedelta(days=90)
PRUNED_AT_ONCE: Final = 5000
SETTLING: Final = timedelta(seconds=30)  # a fill made at the venue within it may still be on its way to us


def portfolios_value(*, now: datetime) -> int:
    """Value every portfolio that lives in a world, liquidate and halt where it must be; return how many.

    One that has no world yet holds nothing but cash, whose worth changes only with the cash. Open pages
    look again whenever marks change, so nobody is told here.
    """
    ids = list(Portfolio.objects.exclude(world="").order_by("pk").values_list("pk", flat=True))
    for begin in range(0, len(ids), VALUED_AT_ONCE):
        _chunk_value(portfolio_ids=ids[begin : begin + VALUED_AT_ONCE], now=now)
    portfolios_liquidate(now=now)
    stopped_flatten(now=now)
    deficits_halt(now=now)
    return len(ids)


def _chunk_value(*, portfolio_ids: list[int], now: datetime) -> None:
    """Value some portfolios and measure their breakers; a fault of these does not stop the others."""
    try:
        unpriced = valuations_update(portfolio_ids=portfolio_ids, now=now)
    except DatabaseError:
        logger.exception("portfolios %s to %s could not be valued", portfolio_ids[0], portfolio_ids[-1])
        return
    breakers_evaluate(portfolio_ids=portfolio_ids, now=now)
    if unpriced:
        logger.warning("portfolios %s hold something without a mark and cannot be valued", unpriced)


def positions_fund(*, now: datetime) -> int:
    """Book funding of paper perpetuals up to their world's last full hour; return how many portfolios."""
    by_world: dict[str, list[int]] = defaultdict(list)
    held = Position.objects.filter(policy="perp", portfolio__mode=Portfolio.Mode.PAPER)
    held = held.exclude(status=Position.Status.CLOSED)
    pairs = held.values_list("portfolio_id", "portfolio__world").order_by("portfolio_id").distinct()
    for portfolio_id, world_name in pairs:
        by_world[world_name].append(portfolio_id)
    paid: list[int] = []
    for world in World.objects.filter(name__in=by_world):
        paid += _world_fund(world=world, portfolio_ids=by_world[world.name], now=now)
    portfolios_changed(portfolio_ids=paid)
    return len(paid)


def _world_fund(*, world: World, portfolio_ids: list[int], now: datetime) -> list[int]:
    """Book the funding of one world's portfolios; return those that paid or received something."""
    at = world.clock().at(now)
    paid: list[int] = []
    for portfolio_id in portfolio_ids:
        try:
            if portfolio_fund(portfolio_id=portfolio_id, world=world.name, now=now, world_at=at):
                paid.append(portfolio_id)
        except (BooksDiffer, DatabaseError):
            logger.exception("funding of portfolio %s failed; it is booked with the next", portfolio_id)
    return paid


def reservations_sweep(*, now: datetime) -> int:
    """Give back every grant that ran out unused, serve who waits, tell the pages; return how many ran out."""
    expired = reservations_expire(now=now)
    if expired:
        logger.warning("%s reservations ran out unused; their capital is free again", len(expired))
        concerned = Reservation.objects.filter(pk__in=expired).values_list("portfolio_id", flat=True)
        portfolios_changed(portfolio_ids=sorted(set(concerned)))
    return len(expired)


def lost_traders_tell(*, now: datetime) -> int:
    """Recommend closing what is held for traders that could not be read for 24 hours; once per outage."""
    lost = (
        Follow.objects.filter(trader__failing_since__lte=now - LOST_FOR)
        .exclude(status=Follow.Status.REMOVED)
        .exclude(slices__quantity=0)
        .filter(slices__isnull=False)
        .select_related("trader", "portfolio")
        .distinct()
    )
    told = 0
    for follow in lost:
        trader = follow.trader
        note = DecisionNote(
            kind="held",
            text=f"Consider closing what {trader.name} holds here",
            reason=f"It could not be read since {trader.failing_since:%d %b %H:%M} ({trader.last_error}). "
            "Its positions are held and nothing is opened; remove the trader to close or keep them.",
            follow_ids=[follow.pk],
            fingerprint=fingerprint("lost", follow.pk, trader.failing_since),
        )
        told += decision_store(portfolio=follow.portfolio, note=note, now=now) is not None
    return told


def venue_rules_renew(*, now: datetime) -> None:
    """Read the rules of trading venues that are due; what could not be read stands, and is logged."""
    for failed in venue_rules_keep(now=now):
        logger.warning("rules of a venue stand as they were read before: %s", failed)


def prune(*, now: datetime) -> None:
    """Delete snapshots and reservations older than 90 days and what else has had its time, in batches."""
    logger.info("pruned %s, and %s hourly prices", sync_prune(now=now), samples_prune(now=now))
    logger.info("pruned %s candles", candles_prune(now=now))
    fidelity_summarise(now=now)
    logger.info("pruned %s hours of traders' style", style_prune(now=now))
    logger.info("pruned %s gaps of the exit watch", gaps_prune(now=now))
    logger.info("pruned %s alerts, and %s failures of tasks", alerts_prune(now=now), failures_prune(now=now))
    while answers_prune(now=now):
        logger.info("pruned answers of the API")
    before = now - RESERVATIONS_KEPT
    logger.info("pruned %s sendings to venues", sends_prune(before=before))
    reservations_unlink(before=before)
    while reservations_prune(before=before, limit=PRUNED_AT_ONCE) == PRUNED_AT_ONCE:
        logger.info("pruned %s reservations", PRUNED_AT_ONCE)


def books_prove(*, now: datetime) -> list[Finding]:
    """Prove every portfolio's books; a difference is logged as an error and never mended in silence."""
    findings = books_audit(settled_before=now - SETTLING)
    for finding in findings:
        logger.error("the books differ: %s", finding)
    books_tell(findings=[str(finding) for finding in findings], at=now)
    return findings
