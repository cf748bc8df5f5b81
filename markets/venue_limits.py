"""What venues allow us to ask, by bucket, each with the source of its numbers.

A bucket without an account counts per address we are seen from, one with an account per account or key.
Numbers are the lowest that a venue documents for anybody, so that no account's tier has to be known.
"""

from __future__ import annotations

from typing import Final

from django.conf import settings

from markets.domain.allowance import Allowance

HYPERLIQUID: Final = "hyperliquid"

# Per address.
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
    """Return what an address may ask of a bucket, None where nothing is documented here.

    Hyperliquid docs, "Rate limits and user limits": 1,200 a minute; that one is a setting.
    """
    if bucket == HYPERLIQUID:
        return Allowance.window(weight=settings.HYPERLIQUID_WEIGHT_PER_MINUTE)
    return ADDRESS_LIMITS.get(bucket)
