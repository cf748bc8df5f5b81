"""What goes on between decisions: worth, funding, liquidation, expiry, pruning, proof."""

from __future__ import annotations

import logging
from collections import defaultdict
from datetime import datetime, timedelta

from accounts.models import Portfolio
from allocation.capital import reservations_expire
from engine.liquidation import portfolios_liquidate
from engine.publishing import portfolios_changed
from markets.models import World
from positions.audit import Finding, books_audit
from positions.funding import positions_fund as portfolio_fund
from positions.models import Position
from positions.valuation import valuations_update
from traders.sync import sync_prune

logger = logging.getLogger(__name__)
SETTLING = timedelta(seconds=30)  # a fill made at the venue within it may still be on its way to us


def portfolios_value(*, now: datetime) -> int:
    """Value every portfolio that lives in a world and tell its pages; return how many.

    One that has no world yet holds nothing but cash, whose worth changes only with the cash.
    """
    ids = list(Portfolio.objects.exclude(world="").order_by("pk").values_list("pk", flat=True))
    unpriced = valuations_update(portfolio_ids=ids, now=now)
    if unpriced:
        logger.warning("portfolios %s hold something without a mark and cannot be valued", unpriced)
    portfolios_liquidate(now=now)
    portfolios_changed(portfolio_ids=ids)
    return len(ids)


def positions_fund(*, now: datetime) -> int:
    """Book funding of perpetuals up to their world's last full hour; return how many portfolios."""
    by_world: dict[str, list[int]] = defaultdict(list)
    held = Position.objects.filter(policy="perp").exclude(status=Position.Status.CLOSED)
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
    return [
        pk for pk in portfolio_ids if portfolio_fund(portfolio_id=pk, world=world.name, now=now, world_at=at)
    ]


def reservations_sweep(*, now: datetime) -> int:
    """Give back every grant that ran out unused; return how many."""
    expired = reservations_expire(now=now)
    if expired:
        logger.warning("%s reservations ran out unused; their capital is free again", len(expired))
    return len(expired)


def prune(*, now: datetime) -> None:
    """Delete snapshots older than 90 days and what else has had its time, in batches."""
    logger.info("pruned %s", sync_prune(now=now))


def books_prove(*, now: datetime) -> list[Finding]:
    """Prove every portfolio's books; a difference is logged as an error and never mended in silence."""
    findings = books_audit(settled_before=now - SETTLING)
    for finding in findings:
        logger.error("the books differ: %s", finding)
    return findings
