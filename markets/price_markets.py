"""Which instruments are priced at other venues than Hyperliquid, and where."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Q

from core.errors import BadAnswer
from core.types import Policy
from markets.domain.venue_listing import ListedCoin, VenueSection
from markets.models import LIVE, Instrument, Mark, PriceMarket
from markets.recordings import InstrumentRecord
from markets.services import instruments_refresh

BELIEVED_PART: Final = 2  # a list of less than half of what was listed before is not believed


def codes_elsewhere() -> frozenset[str]:
    """Return the instruments whose live price comes from another venue than Hyperliquid."""
    return frozenset(PriceMarket.objects.values_list("pk", flat=True))


def price_markets_of(*, section: VenueSection) -> dict[str, str]:
    """Return the instruments priced at one kind of market of a venue: code → ccxt's name of the market."""
    rows = PriceMarket.objects.filter(venue=section.venue, policy=section.policy, active=True)
    return dict(rows.order_by("pk").values_list("pk", "symbol"))


def underlyings_taken(*, section: VenueSection) -> frozenset[str] | None:
    """Return the underlyings that have a live price from somewhere else than this section of a venue.

    None where Hyperliquid has told no price yet: before that nobody knows what it lists.
    """
    marked = Mark.objects.filter(world_id=LIVE, instrument__price_market__isnull=True)
    hyperliquids = frozenset(marked.values_list("instrument__underlying", flat=True))
    if not hyperliquids:
        return None
    here = Q(venue=section.venue, policy=section.policy)
    others = PriceMarket.objects.filter(~here, active=True)
    return hyperliquids | frozenset(others.values_list("instrument__underlying", flat=True))


def price_markets_keep(*, section: VenueSection, coins: Iterable[ListedCoin], now: datetime) -> list[str]:
    """Make the coins that a venue lists instruments that are priced there; return the codes that are new.

    One that is no longer listed stays an instrument, with the last price it had, and is not asked for.

    :raises BadAnswer: less than half of what was listed before; nothing is changed
    """
    listed: Mapping[str, ListedCoin] = {coin.spec.code: coin for coin in coins}
    note = f"{section}, {now:%d %b %Y}"
    with transaction.atomic():
        here = PriceMarket.objects.filter(venue=section.venue, policy=section.policy)
        before = set(here.filter(active=True).values_list("pk", flat=True))
        if BELIEVED_PART * len(before & listed.keys()) < len(before):
            raise BadAnswer(
                f"{section} lists {len(before & listed.keys())} of {len(before)} coins; not believed"
            )
        known = set(Instrument.objects.filter(pk__in=listed).values_list("pk", flat=True))
        instruments_refresh(
            instruments=[InstrumentRecord(spec=coin.spec, source_note=note) for coin in listed.values()]
        )
        here.update(active=False)
        PriceMarket.objects.bulk_create(
            [
                PriceMarket(
                    instrument_id=code,
                    venue=section.venue,
                    policy=section.policy,
                    symbol=coin.symbol,
                    active=True,
                    read_at=now,
                )
                for code, coin in sorted(listed.items())
            ],
            update_conflicts=True,
            unique_fields=["instrument"],
            update_fields=["venue", "policy", "symbol", "active", "read_at"],
        )
    return sorted(listed.keys() - known)


def price_markets_retire(*, used: Collection[VenueSection]) -> int:
    """Let go of the markets of venues that are not in use any more; return how many there were.

    Their coins stay instruments, and another venue that lists them may price them.
    """
    unused = PriceMarket.objects.filter(active=True)
    for section in used:
        unused = unused.exclude(venue=section.venue, policy=section.policy)
    return unused.update(active=False)


def sections_holding(*, codes: Collection[str]) -> list[VenueSection]:
    """Return the venues' markets that price any of these instruments, by name."""
    rows = PriceMarket.objects.filter(pk__in=codes, active=True).order_by("venue", "policy")
    pairs = rows.values_list("venue", "policy").distinct()
    return [VenueSection(venue, Policy(policy)) for venue, policy in pairs]


def price_markets_release(*, codes: Collection[str]) -> int:
    """Give instruments back to Hyperliquid, which lists them now; return how many another venue priced."""
    released, _ = PriceMarket.objects.filter(pk__in=codes).delete()
    return released
