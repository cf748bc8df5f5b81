"""Venues by name. Each has one file here and keeps its symbols to itself."""

from __future__ import annotations

from core.clock import Clock
from execution.venues.base import Venue
from execution.venues.paper_line import PaperLine

__all__ = ["venue_get"]


def venue_get(*, name: str, clock: Clock | None = None) -> Venue:
    """Return the venue of that name.

    :param clock: tells the paper venue when a request arrives; without one it arrives when it is sent
    :raises LookupError: there is none; an order was stored for a venue this server does not have
    """
    if name == PaperLine.name:
        return PaperLine(clock=clock)
    msg = f"there is no venue {name!r} on this server; known: {PaperLine.name}"
    raise LookupError(msg)
