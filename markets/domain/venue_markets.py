"""Markets of a trading venue as ccxt reads them, turned into rules in units of our own instruments.

Numbers come as text, as the venue wrote them, and become Decimals here; nothing passes through a float.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from core.decimals import ONE, ZERO
from core.types import Policy

HYPERLIQUID_PRICE_DIGITS: Final = 5
HYPERLIQUID_PERP_PLACES: Final = 6
DEFAULT_MIN_NOTIONAL: Final = Decimal(10)  # where a venue names none; the smallest that any of them takes
_THOUSANDS: Final = re.compile(r"^1000([A-Z][A-Z0-9]+)$")


@dataclass(frozen=True, slots=True)
class VenueMarket:
    """One market's rules; the fields are those of ``markets.models.VenueInstrument``."""

    code: str
    quote: str
    symbol: str
    market_id: str
    asset_number: int | None
    quantity_step: Decimal
    min_quantity: Decimal
    max_quantity: Decimal | None
    price_step: Decimal | None
    price_places: int | None
    price_digits: int | None
    min_notional: Decimal
    contract_size: Decimal
    max_leverage: int | None
    maker_fee: Decimal
    taker_fee: Decimal
    active: bool


def venue_markets(
    *,
    venue: str,
    policy: Policy,
    quotes: Collection[str],
    markets: Iterable[Mapping[str, Any]],
    codes: Collection[str],
) -> tuple[list[VenueMarket], list[str]]:
    """Return the markets that our instruments can be traded in, and in words what was left out as unusable.

    A market counts when it is a spot pair (spot policy) or a linear perpetual settled in its quote (perp
    policy), quoted in one of ``quotes``, for a coin that is an instrument here.

    :param markets: ccxt's unified markets, numbers as text
    :param codes: of our instruments
    """
    found: dict[tuple[str, str], VenueMarket] = {}
    problems = []
    for market in markets:
        if not market_is_of(market, policy=policy, quotes=quotes):
            continue
        code = _code_of(market, venue=venue, codes=codes)
        if code is None:
            continue
        try:
            rules = rules_read(market, venue=venue, code=code)
        except (ValueError, InvalidOperation, KeyError, TypeError) as error:
            problems.append(f"{market.get('symbol')}: {type(error).__name__} {error}")
            continue
        found.setdefault((code, rules.quote), rules)
    return list(found.values()), problems


def market_is_of(market: Mapping[str, Any], *, policy: Policy, quotes: Collection[str]) -> bool:
    """Tell whether a market is of a policy's kind: spot, or a linear perpetual settled in its quote."""
    if market.get("quote") not in quotes:
        return False
    if policy == Policy.SPOT:
        return bool(market.get("spot"))
    return bool(market.get("swap") and market.get("linear")) and market.get("settle") == market.get("quote")


def _code_of(market: Mapping[str, Any], *, venue: str, codes: Collection[str]) -> str | None:
    """Return the instrument a market trades: the coin itself, or our thousands ("1000PEPE" is "kPEPE")."""
    base = str(market.get("baseName") if venue == "hyperliquid" else market.get("base"))
    if base in codes:
        return base
    thousands = _THOUSANDS.match(base)
    if thousands and f"k{thousands.group(1)}" in codes:
        return f"k{thousands.group(1)}"
    return None


def rules_read(market: Mapping[str, Any], *, venue: str, code: str) -> VenueMarket:
    """Return one market's rules.

    :raises ValueError, InvalidOperation, KeyError, TypeError: they cannot be read
    """
    limits = market.get("limits") or {}
    contract_size = _above_zero(market.get("contractSize") or "1", what="contract size")
    step = _above_zero(market["precision"]["amount"], what="quantity step") * contract_size
    amount = limits.get("amount") or {}
    largest = _number(amount.get("max"))
    by_digits = venue == "hyperliquid"
    places = -int(step.adjusted())
    leverage = _number((limits.get("leverage") or {}).get("max"))
    return VenueMarket(
        code=code,
        quote=str(market["quote"]),
        symbol=str(market["symbol"]),
        market_id=str(market["baseName"] if by_digits else market["id"]),
        asset_number=int(market["baseId"]) if by_digits else None,
        quantity_step=step,
        min_quantity=(_number(amount.get("min")) or ZERO) * contract_size,
        max_quantity=largest * contract_size if largest else None,
        price_step=None if by_digits else _above_zero(market["precision"]["price"], what="price step"),
        price_places=max(0, HYPERLIQUID_PERP_PLACES - places) if by_digits else None,
        price_digits=HYPERLIQUID_PRICE_DIGITS if by_digits else None,
        min_notional=_number((limits.get("cost") or {}).get("min")) or DEFAULT_MIN_NOTIONAL,
        contract_size=contract_size,
        max_leverage=int(leverage) if leverage else None,
        maker_fee=_number(market.get("maker")) or ZERO,
        taker_fee=_number(market.get("taker")) or ZERO,
        active=market.get("active") is not False,
    )


def _number(value: object) -> Decimal | None:
    """Return a number that came as text; None where there is none."""
    if value is None or value == "":
        return None
    number = Decimal(str(value))
    if not number.is_finite() or number < 0:
        msg = f"{value!r} is no number to go by"
        raise ValueError(msg)
    return number


def _above_zero(value: object, *, what: str) -> Decimal:
    number = _number(value)
    if number is None or number <= 0:
        msg = f"the {what} is {value!r}"
        raise ValueError(msg)
    return number * ONE
