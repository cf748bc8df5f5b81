"""The rules of trading venues: read from the venue, kept, and given to the code that decides.

What is kept is enough to write an order, so that nobody has to load a venue's markets before sending one.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any, Final

from django.db import transaction

from core.errors import BadAnswer, InputError, NotFound
from core.instruments import Instrument as InstrumentSpec
from core.types import Policy
from markets.domain.venue_markets import VenueMarket, venue_markets
from markets.exchanges import exchange_make, read_error
from markets.models import VenueInstrument
from markets.selectors import instrument_codes

log = logging.getLogger(__name__)

# Currencies that count as the dollar an account is kept in, most traded first; an account has one of them.
QUOTES: Final[dict[str, tuple[str, ...]]] = {
    "hyperliquid": ("USDC",),
    "kraken": ("USD", "USDC", "USDT"),
    "coinbase": ("USD", "USDC", "USDT"),
}
DEFAULT_QUOTES: Final = ("USDT", "USDC", "USD")
# What ccxt is to load, and no more: each type costs requests (``fetchMarkets.types``).
TYPES: Final[dict[tuple[str, Policy], str]] = {
    ("binance", Policy.SPOT): "spot",
    ("binance", Policy.PERP): "linear",
    ("bybit", Policy.SPOT): "spot",
    ("bybit", Policy.PERP): "linear",
    ("okx", Policy.SPOT): "spot",
    ("okx", Policy.PERP): "swap",
    ("hyperliquid", Policy.PERP): "swap",
}
TICK_SIZE: Final = 4  # ccxt's name for "precision is given as a step"
_COLUMNS: Final = (
    "symbol",
    "market_id",
    "asset_number",
    "quantity_step",
    "min_quantity",
    "max_quantity",
    "price_step",
    "price_places",
    "price_digits",
    "min_notional",
    "contract_size",
    "max_leverage",
    "maker_fee",
    "taker_fee",
    "active",
)


def venue_quotes(*, venue: str) -> tuple[str, ...]:
    """Return the currencies an account of a venue may be kept in, most traded first."""
    return QUOTES.get(venue, DEFAULT_QUOTES)


def venue_rules_refresh(*, venue: str, sandbox: bool, policy: str, now: datetime) -> int:
    """Ask a venue for its markets and keep their rules; return how many of our instruments it trades.

    A market that is no longer listed, or whose rules cannot be read, stays, inactive. An answer that lists
    less than half of what was active before is not believed. Must be called outside a transaction.

    :raises InputError: there is no such venue, or it has no such markets here
    :raises RetryLater: no usable answer; what was kept before stands
    """
    rules = _rules_read(venue=venue, sandbox=sandbox, policy=Policy(policy))
    with transaction.atomic():
        here = VenueInstrument.objects.filter(venue=venue, sandbox=sandbox, policy=policy)
        active_before = here.filter(active=True).count()
        if 2 * sum(rule.active for rule in rules) < active_before or not rules:
            raise BadAnswer(
                f"{venue} lists {len(rules)} markets of ours where {active_before} were active; not believed"
            )
        VenueInstrument.objects.bulk_create(
            [
                VenueInstrument(
                    venue=venue,
                    sandbox=sandbox,
                    policy=policy,
                    instrument_id=rule.code,
                    quote=rule.quote,
                    read_at=now,
                    **{name: getattr(rule, name) for name in _COLUMNS},
                )
                for rule in sorted(rules, key=lambda rule: (rule.code, rule.quote))
            ],
            update_conflicts=True,
            unique_fields=["venue", "sandbox", "policy", "instrument", "quote"],
            update_fields=[*_COLUMNS, "read_at"],
        )
        here.exclude(read_at=now).update(active=False)
    return len({rule.code for rule in rules})


def venue_instruments_for(
    *, venue: str, sandbox: bool, policy: str, quote: str = ""
) -> dict[str, InstrumentSpec]:
    """Return the instruments that can be traded at a venue, by code, each with that venue's own rules.

    :param quote: the currency of the account; without one each in the venue's most traded one
    """
    wanted = (quote,) if quote else venue_quotes(venue=venue)
    rows = VenueInstrument.objects.filter(
        venue=venue, sandbox=sandbox, policy=policy, quote__in=wanted, active=True
    ).select_related("instrument")
    by_rank = sorted(rows, key=lambda row: wanted.index(row.quote), reverse=True)
    return {row.instrument_id: row.spec() for row in by_rank}


def venue_instrument_get(
    *, venue: str, sandbox: bool, policy: str, code: str, quote: str = ""
) -> VenueInstrument:
    """Return one instrument's market at a venue, also one that takes no orders any more.

    :param quote: the currency of the account; without one the venue's most traded one
    :raises NotFound: the venue does not trade it
    """
    wanted = (quote,) if quote else venue_quotes(venue=venue)
    rows = VenueInstrument.objects.filter(
        venue=venue, sandbox=sandbox, policy=policy, instrument_id=code, quote__in=wanted
    ).select_related("instrument")
    found = min(rows, key=lambda row: (not row.active, wanted.index(row.quote)), default=None)
    if found is None:
        place = f"{venue} {'(sandbox) ' if sandbox else ''}{policy}"
        raise NotFound(f"{place} has no market for {code} in {' or '.join(wanted)}.", field="instrument")
    return found


def venue_symbol(*, venue: str, sandbox: bool, policy: str, code: str, quote: str = "") -> str:
    """Return what ccxt calls an instrument's market at a venue, "BTC/USDT:USDT".

    :raises NotFound: the venue does not trade it
    """
    return venue_instrument_get(venue=venue, sandbox=sandbox, policy=policy, code=code, quote=quote).symbol


def _rules_read(*, venue: str, sandbox: bool, policy: Policy) -> list[VenueMarket]:
    kind = TYPES.get((venue, policy))
    if venue == "hyperliquid" and kind is None:
        raise InputError("Hyperliquid is traded here with perpetuals only.", field="policy")
    options: dict[str, Any] = {"fetchMarkets": {"types": [kind]}} if kind else {}
    client = exchange_make(venue=venue, sandbox=sandbox, **options)
    client.number = str  # numbers stay as the venue wrote them
    if client.precisionMode != TICK_SIZE:
        raise InputError(f"{client.name} tells no steps that could be relied upon.", field="venue")
    try:
        markets = client.fetch_markets()
    except Exception as error:
        raise _read_failed(error, venue=venue) from error
    finally:
        client.session.close()
    if not isinstance(markets, list):
        raise BadAnswer(f"{venue} answered with no list of markets")
    rules, problems = venue_markets(
        venue=venue,
        policy=policy,
        quotes=venue_quotes(venue=venue),
        markets=[market for market in markets if market],
        codes=instrument_codes(),
    )
    for problem in problems:
        log.warning("%s market left out, its rules cannot be read: %s", venue, problem)
    return rules


def _read_failed(error: Exception, *, venue: str) -> Exception:
    """Return what a failure of ccxt means; one of our own stays what it is."""
    from ccxt.base.errors import BaseError

    if isinstance(error, BaseError):
        return read_error(error, venue=venue)
    if isinstance(error, AttributeError | KeyError | TypeError | ValueError):  # a body of another form
        return BadAnswer(f"{venue}: the list of markets cannot be read ({type(error).__name__})")
    return error
