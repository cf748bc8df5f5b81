"""The paper venue behind a line that loses requests, loses answers, and tells of fills late."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from enum import StrEnum

from core.errors import RetryLater, UnknownOutcome
from execution.venues.base import (
    Accepted,
    CancelAnswer,
    OrderRef,
    OrderRequest,
    Refused,
    VenueFill,
    VenueOrder,
    VenueStatus,
)
from execution.venues.paper import PaperVenue


class Weather(StrEnum):
    """What the line does to the next requests."""

    CLEAR = "clear"
    BUSY = "busy"  # nothing is taken: try again
    REQUEST_LOST = "request lost"  # no answer, and it never arrived
    ANSWER_LOST = "answer lost"  # no answer, but it was carried out
    DEAF = "deaf"  # nothing is told about orders
    LATE = "late"  # the newest fill of an order is not told yet


class WeatherVenue:
    """The real paper venue, as heard through the weather."""

    name = "paper"

    def __init__(self) -> None:
        self.begin()
        self._venue = PaperVenue()

    def begin(self) -> None:
        """Clear the sky and forget."""
        self.weather = Weather.CLEAR
        self.withheld: set[str] = set()  # client ids of orders we asked about and were not told all

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Deliver an order, or lose it or its answer."""
        self._before()
        answer = self._venue.order_submit(request=request, now=now)
        self._after()
        return answer

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        """Tell how an order stands; the newest fill may be held back."""
        self.withheld.add(order.client_order_id)
        if self.weather is Weather.DEAF:
            raise RetryLater("no answer")
        report = self._venue.order_fetch(order=order)
        if report is None or not report.fills or self.weather is not Weather.LATE:
            self.withheld.discard(order.client_order_id)
            return report
        kept = report.fills[:-1]
        return replace(
            report,
            fills=kept,
            filled_quantity=report.filled_quantity - report.fills[-1].quantity,
            status=VenueStatus.OPEN if report.status is VenueStatus.FILLED else report.status,
        )

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        """Cancel an order, or lose the request or its answer."""
        self._before()
        answer = self._venue.order_cancel(order=order, now=now)
        self._after()
        return answer

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Tell an account's fills."""
        return self._venue.fills_since(account=account, since=since)

    def _before(self) -> None:
        if self.weather is Weather.BUSY:
            raise RetryLater("the venue is busy")
        if self.weather is Weather.REQUEST_LOST:
            raise UnknownOutcome("no answer in 5 s")

    def _after(self) -> None:
        if self.weather is Weather.ANSWER_LOST:
            raise UnknownOutcome("no answer in 5 s")
