"""What venues allow us to ask, by bucket, each with the source of its numbers.

A bucket without an account counts per address we are seen from, one with an account per account or key.
Numbers are the lowest that a venue documents for anybody, so that no account's tier has to be known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings

from markets.domain.allowance import Allowance

HYPERLIQUID: Final = "hyperliquid"

# Per address. Hyperliquid's, 1,200 a minute, is a setting. Hyperliquid docs, "Rate limits and user limits".
ADDRESS_LIMITS: Final = {
    # Binance docs, "Limits" of the spot REST API: REQUEST_WEIGHT 6,000 a minute, reset every full minute.
    "binance": Allowance.window(weight=6000),
    # Binance docs, "General info" of USD-M and COIN-M futures: 2,400 a minute each.
    "binance:usdm": Allowance.window(weight=2400),
    "binance:coinm": Allowance.window(weight=2400),
    # Binance docs, "Limits" of the wallet and margin API (sapi): 12,000 a minute for each endpoint.
    "binance:sapi": Allowance.window(weight=12000),
    # Bybit docs v5, "Rate limit rules": 600 requests in any 5 seconds, then a ban of 10 minutes.
    "bybit": Allowance.window(weight=600, window_s=5),
    # Coinbase docs, "Advanced Trade REST API rate limits": public endpoints, 10 a second.
    "coinbase": Allowance.window(weight=10, window_s=1),
    # Kraken support, "What are the API rate limits?": public endpoints, about one a second.
    "kraken": Allowance.counter(most=5, falls_by_s=1),
    # Kraken docs, derivatives "Rate limits": 500 cost units in 10 seconds.
    "kraken:futures": Allowance.window(weight=500, window_s=10),
}

# Per account or key: what is asked with a signature, and orders where they are counted apart.
ACCOUNT_LIMITS: Final = {
    # Binance spot: ORDERS, 100 in 10 seconds; USD-M futures: 300 in 10 seconds and 1,200 a minute.
    "binance:orders": Allowance.window(weight=100, window_s=10),
    "binance:usdm:orders": Allowance.window(weight=300, window_s=10),
    # Bybit docs v5: per second and user id for each endpoint; 10 a second is the lowest of those used here.
    "bybit:private": Allowance.window(weight=10, window_s=1),
    # Coinbase: private endpoints, 30 a second and user.
    "coinbase:private": Allowance.window(weight=30, window_s=1),
    # Kraken docs, "Spot REST rate limits": a counter of 15 that falls by 0.33 a second (starter; 20 and 0.5
    # intermediate, 20 and 1 pro). Orders and cancels count in the matching engine's: 60, falling by 1.
    "kraken:private": Allowance.counter(most=15, falls_by_s=0.33),
    "kraken:orders": Allowance.counter(most=60, falls_by_s=1),
    # Hyperliquid docs, "Rate limits and user limits": an address has 10,000 requests and earns one for each
    # USDC it trades; beyond that one in 10 seconds. A minute's 600 keeps a fault from eating them up.
    "hyperliquid:orders": Allowance.window(weight=600),
}


def address_limit(bucket: str) -> Allowance | None:
    """Return what an address may ask of a bucket, None where nothing is documented here."""
    if bucket == HYPERLIQUID:
        return Allowance.window(weight=settings.HYPERLIQUID_WEIGHT_PER_MINUTE)
    return ADDRESS_LIMITS.get(bucket)


# What a request weighs, by section of ccxt's API and path; of those asked often. Sources as above.
WEIGHTS: Final = {
    ("binance", "private", "account"): 20,
    ("binance", "public", "ticker/price"): 4,
    ("binance", "fapiPrivateV3", "account"): 5,
    ("binance", "fapiPrivateV3", "positionRisk"): 5,
    ("binance", "dapiPrivate", "account"): 5,
}
# ccxt counts a venue's requests in units of its own: so many weights are one.
CCXT_UNITS: Final = {"binance": 5.0, "kraken:private": 1 / 3}
SECTIONS: Final = {"fapi": "binance:usdm", "dapi": "binance:coinm", "sapi": "binance:sapi"}
KRAKEN_ORDERS: Final = frozenset(
    {"AddOrder", "AmendOrder", "CancelOrder", "AddOrderBatch", "CancelOrderBatch", "EditOrder"}
)
INFO_LIGHT: Final = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)


@dataclass(frozen=True, slots=True)
class Charge:
    """What one request costs of one bucket; ``per_account`` where the bucket is its account's."""

    bucket: str
    weight: float
    allowance: Allowance
    per_account: bool = False


@dataclass(frozen=True, slots=True)
class VenueRequest:
    """One request as ccxt names it.

    :param section: of ccxt's tree, such as "fapiPrivateV3", or "v3 private"
    :param cost: ccxt's own measure of it
    :param every_ms: ccxt's pause between two requests of cost 1
    """

    venue: str
    section: str
    path: str
    method: str = "GET"
    cost: float = 1.0
    every_ms: float = 1000.0
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def private(self) -> bool:
        """Is it signed?"""
        return "rivate" in self.section or self.section.startswith("sapi")


def charges_of(request: VenueRequest) -> list[Charge]:
    """Return what a request costs, its address's bucket first; by ccxt's pace where there are no rules."""
    rules = {"binance": _binance, "bybit": _bybit, "coinbase": _coinbase, "kraken": _kraken}
    if request.venue == HYPERLIQUID:
        return _hyperliquid(request)
    if request.venue in rules:
        return rules[request.venue](request)
    by_ccxt = Allowance.window(weight=60_000 / max(1.0, request.every_ms))
    return [Charge(request.venue, max(request.cost, 0.1), by_ccxt)]


def _address(bucket: str, weight: float) -> Charge:
    return Charge(bucket, weight, ADDRESS_LIMITS[bucket])


def _account(bucket: str, weight: float) -> Charge:
    return Charge(bucket, weight, ACCOUNT_LIMITS[bucket], per_account=True)


def _binance(request: VenueRequest) -> list[Charge]:
    bucket = SECTIONS.get(request.section[:4], "binance")
    unit = CCXT_UNITS["binance"] if bucket == "binance" else 1.0
    known = WEIGHTS.get(("binance", request.section, request.path))
    charges = [_address(bucket, known or max(1.0, request.cost * unit))]
    orders = f"{bucket}:orders"
    if request.method == "POST" and request.path == "order" and orders in ACCOUNT_LIMITS:
        charges.append(_account(orders, 1))
    return charges


def _bybit(request: VenueRequest) -> list[Charge]:
    charges = [_address("bybit", 1)]
    return [*charges, _account("bybit:private", 1)] if request.private else charges


def _coinbase(request: VenueRequest) -> list[Charge]:
    return [_account("coinbase:private", 1) if request.private else _address("coinbase", 1)]


def _kraken(request: VenueRequest) -> list[Charge]:
    if not request.private:
        return [_address("kraken", max(1.0, request.cost))]
    if request.path in KRAKEN_ORDERS:
        return [_account("kraken:orders", 1)]
    return [_account("kraken:private", max(1.0, request.cost * CCXT_UNITS["kraken:private"]))]


def _hyperliquid(request: VenueRequest) -> list[Charge]:
    allowed = Allowance.window(weight=settings.HYPERLIQUID_WEIGHT_PER_MINUTE)
    if request.path != "exchange":
        return [Charge(HYPERLIQUID, 2 if request.params.get("type") in INFO_LIGHT else 20, allowed)]
    action = request.params.get("action") or {}
    batch = max((len(rows) for rows in action.values() if isinstance(rows, list)), default=1)
    return [Charge(HYPERLIQUID, 1 + batch // 40, allowed), _account("hyperliquid:orders", 1)]
