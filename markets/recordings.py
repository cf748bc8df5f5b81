"""The recorded sets that replay worlds run on: their instruments, price points and span.

Sources, licences and what is missing: ``data/README.md``. A set is read once per process. The raw rows
are also what ``traders.recordings`` rebuilds its traders from.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec
from django.conf import settings

from core.errors import NotFound
from core.instruments import Instrument, underlying_of
from markets.domain.candles import Candle, candles_aggregate
from markets.domain.prices import PriceSeries
from markets.minute_bars import BAR_SPAN, coinbase_bars_read

ALPHA_ARENA: Final = "replay:alpha_arena"
HYPERLIQUID_WALLETS: Final = "replay:hyperliquid_wallets"
COINBASE_2018: Final = "replay:coinbase_2018"
ALPHA_ARENA_START_AT: Final = datetime(2025, 10, 17, 22, 0, tzinfo=UTC)
WALLETS_START_AT: Final = datetime(2026, 7, 19, 1, 45, tzinfo=UTC)
END_MARGIN: Final = timedelta(
    minutes=20
)  # the last state stays on screen this long before the recording ends
PERP_PRICE_PLACES: Final = 6  # Hyperliquid perpetuals: at most 6 - szDecimals decimals in a price
PRICE_NOTE: Final = (
    "Prices between recorded trades are interpolated: fit to show and to test, not for claims about results."
)
BARS_NOTE: Final = (
    "Prices are the last recorded minute's close, as known at the time. "
    "4 April comes from quotes, without volume."
)


class RoundTrip(msgspec.Struct, frozen=True):
    """One recorded round trip of an AI trader, as published (times in epoch seconds)."""

    model_id: str
    symbol: str
    side: str
    entry_time: Decimal
    exit_time: Decimal
    entry_price: Decimal
    exit_price: Decimal
    entry_sz: Decimal
    entry_commission_dollars: Decimal
    realized_net_pnl: Decimal
    trade_id: str


class WalletFill(msgspec.Struct, frozen=True):
    """One recorded fill of a wallet, as Hyperliquid's ``userFillsByTime`` gives it (time in epoch ms)."""

    coin: str
    px: Decimal
    sz: Decimal
    side: str
    time: int
    before: Decimal = msgspec.field(name="startPosition")
    closed_pnl: Decimal = msgspec.field(name="closedPnl")
    fee: Decimal


class WalletFills(msgspec.Struct, frozen=True):
    """All recorded fills of one wallet, named by its slot."""

    slot: str
    fills: tuple[WalletFill, ...]


@dataclass(frozen=True, slots=True)
class InstrumentRecord:
    """An instrument with the place its rules were taken from."""

    spec: Instrument
    source_note: str


@dataclass(frozen=True, slots=True)
class Recording:
    """One recorded set: when it runs, what is traded in it, and the price of each at any moment.

    :param candles: recorded five-minute candles by code, by rising time; empty where only a few trades were
        recorded and prices between them are interpolated, which is nothing to take signals from
    """

    name: str
    label: str
    price_note: str
    start_at: datetime
    end_at: datetime
    instruments: tuple[InstrumentRecord, ...]
    prices: dict[str, PriceSeries]
    candles: Mapping[str, tuple[Candle, ...]] = field(default_factory=dict)

    def prices_at(self, at: datetime) -> dict[str, Decimal]:
        """Return the price of every instrument at world time ``at``, as ``price_note`` says."""
        return {code: series.price_at(at) for code, series in self.prices.items()}

    def candles_closed(self, *, code: str, before: datetime, limit: int) -> list[Candle]:
        """Return the newest recorded candles of an instrument that are closed at ``before``, oldest first."""
        recorded = self.candles.get(code, ())
        closed = bisect_right(recorded, before, key=lambda candle: candle.closed_at)
        return list(recorded[max(0, closed - limit) : closed])


class _TripFile(msgspec.Struct):
    trades: tuple[RoundTrip, ...]


class _FillFile(msgspec.Struct):
    queries: tuple[WalletFills, ...]


class _PriceRow(msgspec.Struct):
    price: Decimal
    timestamp: int


class _PriceFile(msgspec.Struct):
    prices: dict[str, _PriceRow]


class _InstrumentRow(msgspec.Struct):
    code: str
    size_decimals: int
    max_leverage: int
    source_note: str


def epoch_at(seconds: Decimal) -> datetime:
    """Turn epoch seconds into an aware UTC time, exact to the microsecond."""
    return datetime.fromtimestamp(0, tz=UTC) + timedelta(microseconds=int(seconds * 1_000_000))


@lru_cache(maxsize=1)
def round_trips_read() -> tuple[RoundTrip, ...]:
    """Return the Alpha Arena round trips by entry time, quantities rounded to the instrument's step."""
    steps = {row.spec.code: row.spec.quantity_step for row in _instruments_read().values()}
    file = msgspec.json.decode(_path("alpha_arena", "trades_union.json").read_bytes(), type=_TripFile)
    trips = [
        msgspec.structs.replace(trip, entry_sz=trip.entry_sz.quantize(steps[trip.symbol]))
        for trip in file.trades
    ]
    return tuple(sorted(trips, key=lambda trip: (trip.entry_time, trip.trade_id)))


@lru_cache(maxsize=1)
def wallet_fills_read() -> tuple[WalletFills, ...]:
    """Return the recorded wallets, each with its fills in the order in which they happened."""
    path = _path("hyperliquid_copy_run", "leader_fills.json")
    return msgspec.json.decode(path.read_bytes(), type=_FillFile).queries


@lru_cache(maxsize=4)
def recording_get(*, name: str) -> Recording:
    """Return a recorded set by its world's name.

    :raises NotFound: there is no such set
    """
    if name == ALPHA_ARENA:
        return _alpha_arena()
    if name == HYPERLIQUID_WALLETS:
        return _hyperliquid_wallets()
    if name == COINBASE_2018:
        return _coinbase_2018()
    known = ", ".join(recording_names())
    raise NotFound(f"There is no recorded set named {name}. Known sets: {known}.", field="world")


def recording_names() -> tuple[str, ...]:
    """Return the names of all recorded sets."""
    return ALPHA_ARENA, HYPERLIQUID_WALLETS, COINBASE_2018


def perp_spec(*, code: str, size_decimals: int, max_leverage: int) -> Instrument:
    """Return the description of a Hyperliquid perpetual from the two numbers of its ``meta`` answer.

    Source of the price rule: Hyperliquid docs, "Tick and lot size" (5 significant digits, 6 - szDecimals
    decimals); the smallest order value is 10 USD.
    """
    underlying, multiplier = underlying_of(code)
    return Instrument(
        code=code,
        underlying=underlying,
        multiplier=multiplier,
        quantity_step=Decimal(1).scaleb(-size_decimals),
        price_places=max(0, PERP_PRICE_PLACES - size_decimals),
        max_leverage=max_leverage,
    )


def _path(*parts: str) -> Path:
    return Path(settings.BASE_DIR, "data", *parts)


@lru_cache(maxsize=1)
def _instruments_read() -> dict[str, InstrumentRecord]:
    rows = msgspec.json.decode(_path("instruments.json").read_bytes(), type=list[_InstrumentRow])
    return {
        row.code: InstrumentRecord(
            spec=perp_spec(code=row.code, size_decimals=row.size_decimals, max_leverage=row.max_leverage),
            source_note=row.source_note,
        )
        for row in rows
    }


def _alpha_arena() -> Recording:
    points: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for trip in round_trips_read():
        points[trip.symbol].append((epoch_at(trip.entry_time), trip.entry_price))
        points[trip.symbol].append((epoch_at(trip.exit_time), trip.exit_price))
    for path in sorted(_path("alpha_arena").glob("crypto_prices_*.json")):
        for code, row in msgspec.json.decode(path.read_bytes(), type=_PriceFile).prices.items():
            points[code].append((epoch_at(Decimal(row.timestamp) / 1000), row.price))
    return _recording(
        name=ALPHA_ARENA,
        label="Alpha Arena, 17 to 28 October 2025 (replay)",
        start_at=ALPHA_ARENA_START_AT,
        points=points,
    )


def _hyperliquid_wallets() -> Recording:
    points: dict[str, list[tuple[datetime, Decimal]]] = defaultdict(list)
    for wallet in wallet_fills_read():
        for fill in wallet.fills:
            points[fill.coin].append((epoch_at(Decimal(fill.time) / 1000), fill.px))
    return _recording(
        name=HYPERLIQUID_WALLETS,
        label="Hyperliquid wallets, 19 to 21 July 2026 (replay)",
        start_at=WALLETS_START_AT,
        points=points,
    )


def _coinbase_2018() -> Recording:
    bars = coinbase_bars_read()
    known = _instruments_read()
    prices = {
        code: PriceSeries.from_points(((bar.opened_at + BAR_SPAN, bar.close) for bar in rows), stepped=True)
        for code, rows in bars.items()
    }
    return Recording(
        name=COINBASE_2018,
        label="Coinbase, 4 and 5 April 2018 (replay)",
        price_note=BARS_NOTE,
        start_at=max(series.start_at for series in prices.values()),
        end_at=max(series.end_at for series in prices.values()) + END_MARGIN,
        instruments=tuple(known[code] for code in prices),
        prices=prices,
        candles={code: tuple(candles_aggregate(bars=rows)) for code, rows in bars.items()},
    )


def _recording(
    *, name: str, label: str, start_at: datetime, points: dict[str, list[tuple[datetime, Decimal]]]
) -> Recording:
    prices = {code: PriceSeries.from_points(points[code]) for code in sorted(points)}
    known = _instruments_read()
    return Recording(
        name=name,
        label=label,
        price_note=PRICE_NOTE,
        start_at=start_at,
        end_at=max(series.end_at for series in prices.values()) + END_MARGIN,
        instruments=tuple(known[code] for code in prices),
        prices=prices,
    )
