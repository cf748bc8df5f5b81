"""Venues by name. Each has one file here and keeps its symbols to itself."""

from __future__ import annotations

from execution.venues.base import Venue
from execution.venues.paper import PaperVenue

__all__ = ["venue_get"]


def venue_get(*, name: str) -> Venue:
    """Return the venue of that name.

    :raises LookupError: there is none; an order was stored for a venue this server does not have
    """
    if name == PaperVenue.name:
        return PaperVenue()
    msg = f"there is no venue {name!r} on this server; known: {PaperVenue.name}"
    raise LookupError(msg)
