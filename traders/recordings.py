"""The recorded traders: who they are, and what they held at any moment of their set.

What is missing from the records and what is assumed instead stands in each trader's ``note`` and in
``data/README.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Final

from core.errors import InputError
from markets.recordings import (
    ALPHA_ARENA,
    HYPERLIQUID_WALLETS,
    epoch_at,
    recording_get,
    round_trips_read,
    wallet_fills_read,
)
from traders.domain.replay import Fill, RecordedState, RecordedTrips, RecordedWallet, Trip, wallet_rebuild
from traders.domain.trades import OwnTrade

ALPHA_ARENA_EQUITY: Final = Decimal(10000)  # USD, by the contest's rules
_TRIPS_NOTE: Final = (
    "Recorded round trips on Hyperliquid, 17 to 28 Oct 2025; 10,000 USD at the start. "
    "Prices between trades are interpolated."
)
_GEMINI_NOTE: Final = (
    "Trades before 20 Oct 2025 are missing from the record, and with them what they won or lost. "
)
_WALLET_NOTE: Final = (
    "Positions rebuilt from recorded fills. Its equity is not recorded: assumed to be its largest "
    "gross notional, so exposure peaks near 1x. Prices between trades are interpolated."
)
_MODELS: Final = {
    "deepseek-chat-v3.1": ("DeepSeek V3.1", "DS", _TRIPS_NOTE),
    "qwen3-max": ("Qwen3 Max", "QW", _TRIPS_NOTE),
    "grok-4": ("Grok 4", "GK", _TRIPS_NOTE),
    "gemini-2.5-pro": ("Gemini 2.5 Pro", "GM", _GEMINI_NOTE + _TRIPS_NOTE),
}
_WALLETS: Final = {
    "acc10": ("Wallet A10", "AX"),
    "acc3": ("Wallet A3", "A3"),
    "acc4": ("Wallet A4", "A4"),
    "acc6": ("Wallet A6", "A6"),
    "acc9": ("Wallet A9", "A9"),
}


@dataclass(frozen=True, slots=True)
class RecordedTrader:
    """One recorded trader and the world it lives in."""

    key: str
    name: str
    monogram: str
    detail: str
    note: str
    world: str
    record: RecordedTrips | RecordedWallet

    def state_at(self, at: datetime) -> RecordedState:
        """Return equity and positions at world time ``at``; before the set's start it is what it was then."""
        recording = recording_get(name=self.world)
        moment = max(at, recording.start_at)
        return self.record.state_at(moment, lambda code, then: recording.prices[code].price_at(then))


def recorded_trader_get(*, key: str) -> RecordedTrader:
    """Return a recorded trader by its key.

    :raises InputError: there is none of that name
    """
    trader = _traders().get(key)
    if trader is None:
        raise InputError(f"There is no recorded trader “{key}”. Known: {', '.join(_traders())}.", field="key")
    return trader


def recorded_traders() -> tuple[RecordedTrader, ...]:
    """Return all recorded traders, the AI models first."""
    return tuple(_traders().values())


def recorded_events_between(*, world: str, after_at: datetime, until_at: datetime) -> list[str]:
    """Return the keys of a set's traders with a quantity change in (``after_at``, ``until_at``]."""
    return [
        key
        for key, events in _events().get(world, {}).items()
        if any(after_at < event_at <= until_at for event_at in events)
    ]


@lru_cache(maxsize=64)
def recorded_trades(*, key: str) -> dict[str, tuple[OwnTrade, ...]]:
    """Return all trades of a recorded trader by code, by rising time.

    :raises InputError: there is none of that name
    """
    return recorded_trader_get(key=key).record.trades()


@lru_cache(maxsize=1)
def _traders() -> dict[str, RecordedTrader]:
    return _models() | _wallets()


@lru_cache(maxsize=1)
def _events() -> dict[str, dict[str, tuple[datetime, ...]]]:
    events: dict[str, dict[str, tuple[datetime, ...]]] = {}
    for trader in recorded_traders():
        events.setdefault(trader.world, {})[trader.key] = trader.record.events()
    return events


def _models() -> dict[str, RecordedTrader]:
    trips: dict[str, list[Trip]] = {key: [] for key in _MODELS}
    for row in round_trips_read():
        trips[row.model_id].append(
            Trip(
                code=row.symbol,
                quantity=row.entry_sz if row.side == "long" else -row.entry_sz,
                entry_at=epoch_at(row.entry_time),
                exit_at=epoch_at(row.exit_time),
                entry_price=row.entry_price,
                entry_fee=row.entry_commission_dollars,
                net_pnl=row.realized_net_pnl,
                exit_price=row.exit_price,
            )
        )
    return {
        key: RecordedTrader(
            key=key,
            name=name,
            monogram=monogram,
            detail="AI model, Alpha Arena",
            note=note,
            world=ALPHA_ARENA,
            record=RecordedTrips(trips=tuple(trips[key]), start_equity=ALPHA_ARENA_EQUITY),
        )
        for key, (name, monogram, note) in _MODELS.items()
    }


def _wallets() -> dict[str, RecordedTrader]:
    recording = recording_get(name=HYPERLIQUID_WALLETS)
    fills = {wallet.slot: wallet.fills for wallet in wallet_fills_read()}
    traders = {}
    for key, (name, monogram) in _WALLETS.items():
        record = wallet_rebuild(
            fills=(
                Fill(
                    code=row.coin,
                    at=epoch_at(Decimal(row.time) / 1000),
                    quantity=row.sz if row.side == "B" else -row.sz,
                    price=row.px,
                    before=row.before,
                    closed_pnl=row.closed_pnl,
                    fee=row.fee,
                )
                for row in fills[key]
            ),
            start_at=recording.start_at,
            price_at=lambda code, at: recording.prices[code].price_at(at),
        )
        traders[key] = RecordedTrader(
            key=key,
            name=name,
            monogram=monogram,
            detail="Recorded Hyperliquid wallet",
            note=_WALLET_NOTE,
            world=HYPERLIQUID_WALLETS,
            record=record,
        )
    return traders
