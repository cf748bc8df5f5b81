"""Ask an Ensemble portfolio for capital before you trade on it.

with Client(url, token=token).reserve(7, instrument="BTC", amount=Decimal(1500)) as grant: grant.use(…)
"""

from ensemble_client.client import Client, Grant
from ensemble_client.errors import (
    CapitalDenied,
    Conflict,
    EnsembleError,
    InvalidRequest,
    NotFound,
    NotSignedIn,
    ServerFault,
    TooManyRequests,
    Unavailable,
)
from ensemble_client.shapes import Capital, Order, Priority, Reservation, Status

__all__ = [
    "Capital",
    "CapitalDenied",
    "Client",
    "Conflict",
    "EnsembleError",
    "Grant",
    "InvalidRequest",
    "NotFound",
    "NotSignedIn",
    "Order",
    "Priority",
    "Reservation",
    "ServerFault",
    "Status",
    "TooManyRequests",
    "Unavailable",
]
