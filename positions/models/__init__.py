"""Positions and their slices, conflicts, worth over time, and what guards open positions."""

from positions.models.books import Position, PositionSlice, SliceEntry
from positions.models.conflicts import ConflictApproval, ConflictOverride, ConflictRecord
from positions.models.exits import ExitDefaults, ExitGuard, ExitRules
from positions.models.venue_stops import VenueStop
from positions.models.worth import EquityPoint, Valuation

__all__ = [
    "ConflictApproval",
    "ConflictOverride",
    "ConflictRecord",
    "EquityPoint",
    "ExitDefaults",
    "ExitGuard",
    "ExitRules",
    "Position",
    "PositionSlice",
    "SliceEntry",
    "Valuation",
    "VenueStop",
]
