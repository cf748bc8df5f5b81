"""Follows, capital and limits: the tables of this package, by subject."""

from allocation.models.capital import CapitalAccount, LedgerEntry, Reservation, ReservationTally
from allocation.models.follows import BlockedUnderlying, Follow, FollowLeg
from allocation.models.limits import BreakerTrip, PortfolioLimits

__all__ = [
    "BlockedUnderlying",
    "BreakerTrip",
    "CapitalAccount",
    "Follow",
    "FollowLeg",
    "LedgerEntry",
    "PortfolioLimits",
    "Reservation",
    "ReservationTally",
]
