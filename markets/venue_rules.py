"""The rules of trading venues: read from the venue, kept, and given to the code that decides.

What is kept is enough to write an order, so that nobody has to load a venue's markets before sending one.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max

from core.errors import BadAnswer, InputError, NotFound, RetryLater
from core.instruments import Instrument as InstrumentSpec
from core.types import Policy
from markets.budget import BudgetNow
from markets.domain.venue_markets import VenueMarket, venue_markets
from markets.exchanges import exchange_make, read_error
from markets.models import LIVE, Mark, VenueInstrument
from markets.selectors import instrument_codes
from markets.venue_limits import address_limit

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
# ccxt's names of the requests for all last prices, where a venue's coins are checked against our marks.
PRICES: Final[dict[tuple[str, Policy], str]] = {
    ("binance", Policy.SPOT): "publicGetTickerPrice",
    ("binance", Policy.PERP): "fapiPublicGetTickerPrice",
}
SAME_COIN_WITHIN: Final = Decimal("0.2")  # of our mark; two coins of one name are hardly ever that close
MARK_FRESH: Final = timedelta(minutes=5)
RULES_LIFETIME: Final = timedelta(hours=6)
LISTS_WEIGHT: Final = 40  # the lists of markets and prices together, at the heaviest venue
LISTS_WAIT_S: Final = 10.0
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
    less than half of what was active before is not believed. A coin that costs there something else than our
    mark says is another coin of that name: its market is kept inactive. Must be called outside a transaction.

    :raises InputError: there is no such venue, or it has no such markets here
    :raises RetryLater: no usable answer; what was kept before stands
    """
    rules = _rules_read(venue=venue, sandbox=sandbox, policy=Policy(policy), now=now)
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


def venue_rules_keep(*, now: datetime) -> list[str]:
    """Refresh the rules that were read more than six hours ago; return in words which could not be.

    What was kept before stands where the venue gives no usable answer.
    """
    read = VenueInstrument.objects.values_list("venue", "sandbox", "policy").annotate(newest=Max("read_at"))
    failed = []
    for venue, sandbox, policy, _ in read.filter(newest__lt=now - RULES_LIFETIME).order_by():
        try:
            venue_rules_refresh(venue=venue, sandbox=sandbox, policy=policy, now=now)
        except RetryLater as error:
            failed.append(f"{venue} {policy}{' sandbox' if sandbox else ''}: {error}")
    return failed


def venue_rules_hasten(*, venue: str) -> int:
    """Have a venue's rules read at the next round, since more of its coins are instruments now."""
    rows = VenueInstrument.objects.filter(venue=venue)
    return rows.update(read_at=F("read_at") - RULES_LIFETIME)


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


def coin_same(*, here: Decimal, there: Decimal) -> bool:
    """Tell whether what is sold there under a name can be the coin that bears it here, by its two prices."""
    return abs(there / here - 1) <= SAME_COIN_WITHIN


def _rules_read(*, venue: str, sandbox: bool, policy: Policy, now: datetime) -> list[VenueMarket]:
    kind = TYPES.get((venue, policy))
    if venue == "hyperliquid" and kind is None:
        raise InputError("Hyperliquid is traded here with perpetuals only.", field="policy")
    options: dict[str, Any] = {"fetchMarkets": {"types": [kind]}} if kind else {}
    client = exchange_make(venue=venue, sandbox=sandbox, **options)
    client.number = str  # numbers stay as the venue wrote them
    if client.precisionMode != TICK_SIZE:
        raise InputError(f"{client.name} tells no steps that could be relied upon.", field="venue")
    _pay(venue, policy)
    try:
        markets = client.fetch_markets()
        prices = _prices_read(client, venue=venue, policy=policy) if not sandbox else {}
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
    return _same_coins(rules, prices=prices, now=now)


def _pay(venue: str, policy: Policy) -> None:
    """Take what the lists weigh from the venue's budget.

    :raises RetryLater: there is no room, or the budget cannot be reached
    """
    bucket = "binance:usdm" if (venue, policy) == ("binance", Policy.PERP) else venue
    allowance = address_limit(bucket)
    if allowance is None:
        return
    budget = BudgetNow(venue=bucket, allowance=allowance, redis_url=settings.REDIS_URL)
    try:
        budget.take(min(LISTS_WEIGHT, allowance.burst), max_wait_s=LISTS_WAIT_S)
    finally:
        budget.close()


def _prices_read(client: Any, *, venue: str, policy: Policy) -> dict[str, Decimal]:
    """Return the last price of each market by the venue's name of it; none where the venue is not checked."""
    method = PRICES.get((venue, policy))
    if method is None:
        return {}
    rows = getattr(client, method)()
    if not isinstance(rows, list):
        raise BadAnswer(f"{venue} answered with no list of prices")
    return {str(row["symbol"]): Decimal(str(row["price"])) for row in rows}


def _same_coins(rules: list[VenueMarket], *, prices: dict[str, Decimal], now: datetime) -> list[VenueMarket]:
    """Return the rules with those markets inactive whose coin is not the one that bears its name here.

    Only markets whose price is known on both sides can be told; nothing opens where there is no fresh mark.
    """
    fresh = Mark.objects.filter(world_id=LIVE, received_at__gt=now - MARK_FRESH)
    marks = dict(fresh.values_list("instrument_id", "price"))
    kept = []
    for rule in rules:
        there, here = prices.get(rule.market_id), marks.get(rule.code)
        differs = there is not None and here is not None and not coin_same(here=here, there=there)
        if differs:
            log.warning("%s costs %s at the venue and %s here; not traded there", rule.symbol, there, here)
        kept.append(replace(rule, active=False) if differs else rule)
    return kept


def _read_failed(error: Exception, *, venue: str) -> Exception:
    """Return what a failure of ccxt means; one of our own stays what it is."""
    from ccxt.base.errors import BaseError

    if isinstance(error, BaseError):
        return read_error(error, venue=venue)
    if isinstance(
        error, AttributeError | KeyError | TypeError | ValueError | InvalidOperation
    ):  # a body of another form
        return BadAnswer(f"{venue}: the list of markets cannot be read ({type(error).__name__})")
    return error
