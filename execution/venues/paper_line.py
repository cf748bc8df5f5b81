"""The line to the paper venue: the venue itself, and what it was told to do wrong (``paper_faults``)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from core.clock import Clock
from core.errors import RetryLater, UnknownOutcome
from execution.models import PaperFault
from execution.venues.base import (
    Accepted,
    CancelAnswer,
    OpenOrder,
    OrderRef,
    OrderRequest,
    Refused,
    StopRequest,
    StopStatus,
    VenueFill,
    VenueOrder,
)
from execution.venues.paper import PaperVenue
from execution.venues.paper_faults import Fault, fault_take
from execution.venues.paper_stops import stop_cancel, stop_fetch, stop_place, stops_armed

Operation = PaperFault.Operation
Kind = PaperFault.Kind
FORGOTTEN_ID: Final = "forgotten"


class PaperLine:
    """The paper exchange as the order services reach it."""

    name: Final = "paper"

    def __init__(self, *, clock: Clock | None = None, wait: Callable[[float], None] = time.sleep) -> None:
        """Prepare to reach it.

        :param clock: tells when a request arrives; without one it arrives when it is sent
        :param wait: passes the seconds of a fault that answers late
        """
        self._venue = PaperVenue(clock=clock)
        self._clock = clock
        self._wait = wait

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Send an order."""
        fault = self._fault(Operation.SUBMIT, account=request.account)
        if fault is None:
            return self._venue.order_submit(request=request, now=now)
        if fault.kind == Kind.FORGET:
            return Accepted(venue_order_id=FORGOTTEN_ID)
        if fault.kind == Kind.REFUSE:
            return self._venue.order_refuse(request=request, now=now, why="Told to refuse it")
        answer = self._venue.order_submit(request=request, now=now)
        self._after(fault)
        return answer

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        """Ask about an order."""
        fault = self._fault(Operation.FETCH, account=order.account)
        if fault is not None and fault.kind == Kind.FORGET:
            return None
        report = self._venue.order_fetch(order=order)
        self._after(fault)
        if report is not None and fault is not None and fault.kind == Kind.REPEAT:
            return _fills_repeated(report)
        return report

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        """Ask for the end of an order."""
        fault = self._fault(Operation.CANCEL, account=order.account)
        if fault is not None and fault.kind == Kind.FORGET:
            return CancelAnswer.NOT_KNOWN
        answer = self._venue.order_cancel(order=order, now=now)
        self._after(fault)
        return answer

    def orders_open(self, *, account: str) -> list[OpenOrder]:
        """Ask what works on an account."""
        fault = self._fault(Operation.FETCH, account=account)
        if fault is not None and fault.kind == Kind.FORGET:
            return []
        orders = self._venue.orders_open(account=account)
        self._after(fault)
        return orders

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Ask for an account's fills."""
        fault = self._fault(Operation.FETCH, account=account)
        if fault is not None and fault.kind == Kind.FORGET:
            return []
        fills = self._venue.fills_since(account=account, since=since)
        self._after(fault)
        return fills * 2 if fault is not None and fault.kind == Kind.REPEAT else fills

    def stop_place(self, *, request: StopRequest, now: datetime) -> Accepted | Refused:
        """Send a stop."""
        fault = self._fault(Operation.SUBMIT, account=request.account)
        at = self._clock.now() if self._clock else now
        if fault is not None and fault.kind == Kind.FORGET:
            return Accepted(venue_order_id=FORGOTTEN_ID)
        why = "Told to refuse it" if fault is not None and fault.kind == Kind.REFUSE else ""
        answer = stop_place(request=request, now=at, why_not=why)
        self._after(fault)
        return answer

    def stop_fetch(self, *, stop: OrderRef) -> StopStatus | None:
        """Ask about a stop."""
        fault = self._fault(Operation.FETCH, account=stop.account)
        if fault is not None and fault.kind == Kind.FORGET:
            return None
        status = stop_fetch(stop=stop)
        self._after(fault)
        return status

    def stop_cancel(self, *, stop: OrderRef, now: datetime) -> CancelAnswer:
        """Ask for the end of a stop."""
        fault = self._fault(Operation.CANCEL, account=stop.account)
        if fault is not None and fault.kind == Kind.FORGET:
            return CancelAnswer.NOT_KNOWN
        answer = stop_cancel(stop=stop)
        self._after(fault)
        return answer

    def stops_armed(self, *, accounts: Sequence[str]) -> list[OrderRef]:
        """Ask which stops rest on these accounts; one account's faults are not those of all."""
        return stops_armed(accounts=accounts)

    def _fault(self, operation: Operation, *, account: str) -> Fault | None:
        """Take the fault of a call, and end the call here where nothing is to happen at the venue.

        :raises RetryLater: the venue is away
        :raises UnknownOutcome: the request is lost
        """
        fault = fault_take(operation=operation.value, account=account)
        if fault is not None and fault.kind == Kind.UNAVAILABLE:
            raise RetryLater("The venue is away (503)")
        if fault is not None and fault.kind == Kind.TIMEOUT_BEFORE:
            raise UnknownOutcome("No answer in 5 s")
        return fault

    def _after(self, fault: Fault | None) -> None:
        """Lose the answer to what was done, or hold it back."""
        if fault is not None and fault.kind == Kind.TIMEOUT_AFTER:
            raise UnknownOutcome("No answer in 5 s")
        if fault is not None and fault.kind == Kind.LATE:
            self._wait(fault.delay_s)


def _fills_repeated(order: VenueOrder) -> VenueOrder:
    return VenueOrder(
        client_order_id=order.client_order_id,
        venue_order_id=order.venue_order_id,
        status=order.status,
        filled_quantity=order.filled_quantity,
        reason=order.reason,
        fills=tuple(fill for fill in order.fills for _ in range(2)),
    )
