"""Venues that misbehave on request; they stand before the real paper venue."""

from __future__ import annotations

from datetime import datetime

from core.errors import RetryLater, UnknownOutcome
from execution.venues.base import Accepted, CancelAnswer, OrderRequest, Refused, VenueFill, VenueOrder
from execution.venues.paper import PaperVenue


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

    def order_fetch(self, *, client_order_id: str) -> VenueOrder | None:
        if self.deaf:
            raise RetryLater("no answer")
        return self._venue.order_fetch(client_order_id=client_order_id)

    def order_cancel(self, *, client_order_id: str, now: datetime) -> CancelAnswer:
        answer = self._venue.order_cancel(client_order_id=client_order_id, now=now)
        if self.cancel == "lost":
            raise UnknownOutcome("no answer in 5 s")
        return answer

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        return self._venue.fills_since(account=account, since=since)
