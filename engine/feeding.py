"""What the feed is told of the packages above it: recorded traders, open portfolios, open pages."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from accounts.models import LiveAccount, Portfolio
from allocation.models import Follow
from core.clock import SYSTEM_CLOCK, Clock
from core.instruments import underlying_of
from core.types import Policy, TraderKind
from engine.copy_cycle import world_is_flat
from engine.publishing import world_changed
from engine.sending import sync_later
from engine.wake import cycles_wake
from markets.domain.venue_listing import VenueSection
from markets.feed import Feed
from markets.feed_hooks import FeedHooks
from markets.models import LIVE, World
from markets.price_markets import sections_holding
from markets.venue_rules import TYPES
from positions.models import Position
from traders.domain.accounts import AccountKey
from traders.models import Trader
from traders.recordings import recorded_events_between
from traders.services import trader_wake_recorded
from traders.strategies.pairs import pair_sets_all


def feed_make(*, clock: Clock) -> Feed:
    """Return the feed, tied to traders, portfolios and open pages."""
    return Feed(
        clock=clock,
        hooks=FeedHooks(
            on_marks=_marks_written,
            trader_events=_trader_events,
            on_trader_events=_traders_moved,
            may_restart=_may_restart,
            live_wanted=_live_wanted,
            live_codes=_live_codes,
            live_sections=_live_sections,
        ),
    )


def _marks_written(world: World) -> None:
    world_changed(world=world.name)


def _trader_events(world: str, after: datetime, until: datetime) -> Sequence[str]:
    return recorded_events_between(world=world, after_at=after, until_at=until)


def _traders_moved(world: str, keys: Sequence[str]) -> None:
    """Make recorded traders due now and have them read at once."""
    if trader_wake_recorded(world=world, keys=keys, now=SYSTEM_CLOCK.now()):
        sync_later()


def _may_restart(world: World) -> bool:
    """Tell whether a finished replay holds nothing any more; wake who still does, so that it closes."""
    if world_is_flat(world=world.name):
        return True
    portfolios = Portfolio.objects.filter(world=world.name).values_list("pk", flat=True)
    cycles_wake(portfolio_ids=portfolios, now=SYSTEM_CLOCK.now(), why="the recording ended")
    return False


def _live_wanted() -> bool:
    followed = Trader.objects.filter(world=LIVE, follows__isnull=False).exclude(follows__status="removed")
    return followed.exists() or Portfolio.objects.filter(world=LIVE).exists()


def _live_codes() -> Collection[str]:
    """Return the instruments that are held, known of a followed trader, or traded by a strategy."""
    held = Position.objects.filter(portfolio__world=LIVE).exclude(status="closed")
    codes = set(held.values_list("instrument_id", flat=True))
    for trader in Trader.objects.filter(world=LIVE, follows__isnull=False).select_related("latest_snapshot"):
        if trader.latest_snapshot:
            named = {row["code"] for row in trader.latest_snapshot.positions}
            codes |= named | {underlying_of(code)[0] for code in named}  # WBTC is bought as BTC
    for pair_set in pair_sets_all().values():
        if pair_set.world == LIVE:
            codes |= pair_set.pairs.keys()
    return codes


def _live_sections() -> Sequence[VenueSection]:
    """Return the markets of other venues in use: those traded in first, then those of followed accounts, and
    those that price what is still held of an account that is followed no more.

    Hyperliquid's own are always heard. An account is spot and, where its owner said so, contracts.
    """
    accounts = LiveAccount.objects.exclude(venue="hyperliquid").exclude(state=LiveAccount.State.STOPPED)
    traded = accounts.order_by("pk").values_list("venue", "policy")
    sections = [VenueSection(venue, Policy(policy)) for venue, policy in traded]
    follows = Follow.objects.exclude(status=Follow.Status.REMOVED)
    followed = Trader.objects.filter(
        world=LIVE, kind=TraderKind.EXCHANGE, pk__in=follows.values("trader_id")
    ).order_by("pk")
    for where in map(AccountKey.parse, followed.values_list("key", flat=True)):
        sections.append(VenueSection(where.venue, Policy.SPOT))
        if where.contracts and (where.venue, Policy.PERP) in TYPES:
            sections.append(VenueSection(where.venue, Policy.PERP))
    held = Position.objects.filter(portfolio__world=LIVE).exclude(status="closed")
    sections += sections_holding(codes=set(held.values_list("instrument_id", flat=True)))
    return list(dict.fromkeys(sections))
