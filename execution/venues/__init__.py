"""Venues by name. Each has one file here and keeps its symbols to itself."""

from __future__ import annotations

from typing import Final

from core.clock import Clock
from execution.accounts import KeysOf, live_keys
from execution.venues.base import Venue
from execution.venues.binance_perp import BinancePerp
from execution.venues.binance_spot import BinanceSpot
from execution.venues.hyperliquid import HyperliquidPerp
from execution.venues.live import LiveVenue
from execution.venues.live_types import Driver
from execution.venues.paper_line import PaperLine

__all__ = ["LIVE_VENUES", "live_venue_get", "venue_get"]

# What can be traded for real, by venue and policy. Adding a venue means adding a file and a line here.
LIVE_VENUES: Final[dict[str, dict[str, Driver]]] = {
    "binance": {"spot": BinanceSpot(), "perp": BinancePerp()},
    "hyperliquid": {"perp": HyperliquidPerp()},
}


def venue_get(*, name: str, clock: Clock | None = None) -> Venue:
    """Return the venue of that name.

    :param clock: tells the paper venue when a request arrives; without one it arrives when it is sent
    :raises LookupError: there is none; an order was stored for a venue this server does not have
    """
    if name == PaperLine.name:
        return PaperLine(clock=clock)
    return live_venue_get(name=name, clock=clock)


def live_venue_get(*, name: str, clock: Clock | None = None, keys_of: KeysOf | None = None) -> LiveVenue:
    """Return a real venue by name.

    :param keys_of: finds an account's keys; without it those of the connected accounts
    :raises LookupError: nothing can be traded there from here
    """
    drivers = LIVE_VENUES.get(name)
    if drivers is None:
        msg = f"there is no venue {name!r} on this server; known: {PaperLine.name}, {', '.join(LIVE_VENUES)}"
        raise LookupError(msg)
    return LiveVenue(name=name, drivers=drivers, keys_of=keys_of or live_keys, clock=clock)
