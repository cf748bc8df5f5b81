"""What can go wrong, named by what to do about it.

EnsembleError
├── CapitalDenied     the portfolio has not got it: ask for less, or later
├── InvalidRequest    the request makes no sense, or a limit or breaker forbids it: read ``fields``
├── NotSignedIn       the token is not known, has expired, or may not do this
├── NotFound          no such portfolio or reservation, or not yours
├── Conflict          the reservation is over, or an order uses it: reserve anew
├── TooManyRequests   wait ``retry_after_s``
├── Unavailable       no answer, or "try again": nothing is known to have happened
└── ServerFault       a fault on the server's side
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ensemble_client.shapes import Reservation


class EnsembleError(Exception):
    """Root of all errors of this package.

    :param retry_after_s: the pause the server asked for, where it named one
    :param fields: what is wrong, by field of the request
    """

    def __init__(
        self,
        message: str,
        *,
        retry_after_s: float | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.fields = dict(fields or {})


class InvalidRequest(EnsembleError):
    """The request makes no sense, or a limit or breaker forbids it."""


class NotSignedIn(EnsembleError):
    """The token is not known, has expired, or may not do this."""


class NotFound(EnsembleError):
    """There is no such thing, or it belongs to someone else."""


class Conflict(EnsembleError):
    """The reservation is over, or an order uses it."""


class TooManyRequests(EnsembleError):
    """The server asks for a pause."""


class Unavailable(EnsembleError):
    """No answer came, or the server cannot answer now."""


class ServerFault(EnsembleError):
    """The server failed, or answered what is no answer of an Ensemble."""


class CapitalDenied(EnsembleError):
    """The portfolio has not got the capital; ``reservation.reason`` says why."""

    def __init__(self, reservation: Reservation) -> None:
        super().__init__(reservation.reason or f"the request is {reservation.status}")
        self.reservation = reservation


BY_STATUS: Mapping[int, type[EnsembleError]] = {
    400: InvalidRequest,
    401: NotSignedIn,
    403: NotSignedIn,
    404: NotFound,
    409: Conflict,
    413: InvalidRequest,
    429: TooManyRequests,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
