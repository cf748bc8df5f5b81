"""The lists of markets that the loopback exchanges answer with, in the venues' documented formats.

Binance: "Exchange information" of the spot and the USD-M API. Hyperliquid: "metaAndAssetCtxs"; its numbers
are those of the recorded answer in `tests/data/hyperliquid_info`.
"""

from typing import Any


def spot_symbol(
    base: str, quote: str, *, tick: str, step: str, smallest: str, notional: str = "5.00000000", **more: Any
) -> dict[str, Any]:
    """One symbol of Binance's spot `exchangeInfo`."""
    return {
        "symbol": f"{base}{quote}",
        "status": "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": 8,
        "quoteAsset": quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": tick,
                "maxPrice": "1000000.00000000",
                "tickSize": tick,
            },
            {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": "9000.00000000", "stepSize": step},
            {
                "filterType": "NOTIONAL",
                "minNotional": notional,
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
        ],
    } | more


def perp_symbol(
    base: str, quote: str, *, tick: str, step: str, smallest: str, notional: str = "100", **more: Any
) -> dict[str, Any]:
    """One symbol of Binance's USD-M `exchangeInfo`."""
    return {
        "symbol": f"{base}{quote}",
        "pair": f"{base}{quote}",
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": 2,
        "quantityPrecision": 3,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": "1000", "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": smallest, "maxQty": "120", "stepSize": step},
            {"filterType": "MIN_NOTIONAL", "notional": notional},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
    } | more


SPOT: list[dict[str, Any]] = [
    spot_symbol("BTC", "USDT", tick="0.01000000", step="0.00001000", smallest="0.00001000"),
    spot_symbol("BTC", "USDC", tick="0.01000000", step="0.00001000", smallest="0.00001000"),
    spot_symbol("ETH", "USDT", tick="0.01000000", step="0.00010000", smallest="0.00010000"),
    spot_symbol("ETH", "BTC", tick="0.00001000", step="0.00010000", smallest="0.00010000"),
    spot_symbol("SOL", "USDT", tick="0.01000000", step="0.00100000", smallest="0.00100000", status="BREAK"),
]
PERP: list[dict[str, Any]] = [
    perp_symbol("BTC", "USDT", tick="0.10", step="0.001", smallest="0.001"),
    perp_symbol("ETH", "USDT", tick="0.01", step="0.001", smallest="0.001", notional="20"),
    perp_symbol("DOGE", "USDT", tick="0.000010", step="1", smallest="1", notional="5"),
    perp_symbol("1000PEPE", "USDT", tick="0.0000001", step="1", smallest="1", notional="5"),
    perp_symbol("PAXG", "USDT", tick="0.25", step="0.001", smallest="0.002", notional="5"),
    perp_symbol("BTC", "USDT", tick="0.10", step="0.001", smallest="0.001")
    | {"symbol": "BTCUSDT_261225", "contractType": "CURRENT_QUARTER", "deliveryDate": 1798185600000},
]
# name, size decimals, highest leverage
HYPERLIQUID: list[tuple[str, int, int]] = [("BTC", 5, 40), ("ETH", 4, 25), ("DOGE", 0, 10), ("kPEPE", 0, 10)]


def exchange_info(symbols: list[dict[str, Any]], *, server_ms: int) -> dict[str, Any]:
    """Binance's `exchangeInfo`."""
    return {
        "timezone": "UTC",
        "serverTime": server_ms,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": symbols,
    }


def meta_and_contexts(markets: list[tuple[str, int, int]]) -> list[Any]:
    """Hyperliquid's `metaAndAssetCtxs`."""
    universe = [
        {"szDecimals": size, "name": name, "maxLeverage": leverage, "marginTableId": 56}
        for name, size, leverage in markets
    ]
    context = {
        "funding": "0.0000125",
        "openInterest": "1.0",
        "prevDayPx": "1.0",
        "dayNtlVlm": "1.0",
        "premium": "0.0",
        "oraclePx": "1.0",
        "markPx": "1.0",
        "midPx": "1.0",
        "impactPxs": ["1.0", "1.0"],
        "dayBaseVlm": "1.0",
    }
    return [{"universe": universe, "marginTables": [], "collateralToken": 0}, [context for _ in universe]]
