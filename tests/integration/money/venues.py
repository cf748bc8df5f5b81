"""Venues that misbehave on request; they stand before the real paper venue."""

from __future__ import annotations

from datetime import datetime

from core.errors import RetryLater, UnknownOutcome
from execution.venues.base import (
    Accepted,
    CancelAnswer,
    OrderRef,
    OrderRequest,
    Refused,
    VenueFill,
    VenueOrder,
)
from execution.venues.paper import PaperVenue


def ref(client_order_id: str) -> OrderRef:
    """Return what the paper venue is asked about an order by; it needs no more than its client id."""
    return OrderRef(client_order_id=client_order_id, account="", instrument_code="BTC", policy="perp")


class Moody:
    """The paper venue behind a bad line.

    :param submit: "lost" delivers the order but no answer, "dropped" neither, "busy" answers try later
    :param cancel: "lost" delivers the cancel but no answer
    :param deaf: no question is answered
    """

    name = "paper"

    def __init__(self, *, submit: str = "", cancel: str = "", deaf: bool = False) -> None:
        self.submit, self.cancel, self.deaf = submit, cancel, deaf
        self.sent: list[str] = []
        self._venue = PaperVenue()

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        self.sent.append(request.client_order_id)
        if self.submit == "busy":
            raise RetryLater("the venue is busy")
        if self.submit == "dropped":
            raise UnknownOutcome("no answer in 5 s")
        answer = self._venue.order_submit(request=request, now=now)
        if self.submit == "lost":
            raise UnknownOutcome("no answer in 5 s")
        return answer

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        if self.deaf:
            raise RetryLater("no answer")
        return self._venue.order_fetch(order=order)

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        answer = self._venue.order_cancel(order=order, now=now)
        if self.cancel == "lost":
            raise UnknownOutcome("no answer in 5 s")
        return answer

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        return self._venue.fills_since(account=account, since=since)
