"""Real venues through ccxt, as the order services see them.

What is the same everywhere is here: rules are checked before anything is sent, every sending is kept before
it leaves, and a second one of the same client id finds out what became of the first instead of making a
second order. What a venue says, and how, is in its driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q

from core.clock import SYSTEM_CLOCK, Clock
from core.decimals import plain
from core.errors import BadAnswer, NotFound, RetryLater
from core.types import OrderSide, Policy
from execution.accounts import AccountCheck, AccountLook, KeysOf, LiveKeys
from execution.models import VenueSend
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
    VenueStatus,
)
from execution.venues.live_line import POOL, Line
from execution.venues.live_types import Driver, DuplicateId, VenueRefusal
from markets.domain.allowance import BudgetPriority
from markets.models import VenueInstrument
from markets.venue_rules import venue_instrument_get

ARRIVES_WITHIN: Final = timedelta(seconds=3)  # a venue shows what it took no later than this
ENDED_KEPT: Final = timedelta(minutes=10)  # fills of an order may be told as long after its end was seen


@dataclass(frozen=True, slots=True)
class _Sending:
    """What is sent, an order or a stop, and what of it the flow needs to know."""

    request: OrderRequest | StopRequest
    is_stop: bool

    @property
    def reduces(self) -> bool:
        """Whether it can only take off what is held."""
        return isinstance(self.request, StopRequest) or self.request.reduce_only

    @property
    def ref(self) -> OrderRef:
        """What it is asked about by."""
        return OrderRef(
            client_order_id=self.request.client_order_id,
            account=self.request.account,
            instrument_code=self.request.instrument_code,
            policy=self.request.policy,
        )


class LiveVenue:
    """One real venue; accounts of its spot and its perpetuals market alike, sandbox or not."""

    def __init__(
        self,
        *,
        name: str,
        drivers: dict[str, Driver],
        keys_of: KeysOf,
        clock: Clock | None = None,
    ) -> None:
        """Prepare to reach it.

        :param name: as ccxt names it
        :param drivers: by policy
        """
        self._name = name
        self._drivers = drivers
        self._keys_of = keys_of
        self._clock = clock or SYSTEM_CLOCK

    @property
    def name(self) -> str:
        """The name under which orders are kept."""
        return self._name

    def order_submit(self, *, request: OrderRequest, now: datetime) -> Accepted | Refused:
        """Send an order; sending the same client id again returns the first order's answer.

        :raises RetryLater: nothing happened, or an earlier sending may still be on its way
        :raises UnknownOutcome: it may have been taken
        """
        return self._send(
            _Sending(request=request, is_stop=False),
            by=lambda line, driver, market: driver.order_send(line, market, request),
        )

    def order_fetch(self, *, order: OrderRef) -> VenueOrder | None:
        """Return the order as the venue knows it, None if it never had it.

        :raises RetryLater: no usable answer, or it may still arrive
        """
        with self._at(order.account) as (line, driver, keys):
            found = driver.order_find(line, self._market(keys, order), order)
        if found is None:
            self._arrival_wait(order)
        elif found.status != VenueStatus.OPEN:
            self._ended(order, venue_order_id=found.venue_order_id)
        return found

    def order_cancel(self, *, order: OrderRef, now: datetime) -> CancelAnswer:
        """Ask to end what is left of an order.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been cancelled
        """
        with self._at(order.account, priority=BudgetPriority.EXIT) as (line, driver, keys):
            market = self._market(keys, order)
            answer = _refusal_waits(lambda: driver.order_end(line, market, order))
            found = driver.order_find(line, market, order) if answer is None else None
        if answer is not None:
            return answer
        if found is None:
            self._arrival_wait(order)
            return CancelAnswer.NOT_KNOWN
        if found.status == VenueStatus.OPEN:
            raise RetryLater(f"{self._name} shows the order as working and finds nothing to cancel")
        self._ended(order, venue_order_id=found.venue_order_id)
        return CancelAnswer.ALREADY_ENDED

    def orders_open(self, *, account: str) -> list[OpenOrder]:
        """Return the orders that work on an account now, oldest first, whoever sent them.

        :raises RetryLater: no usable answer
        """
        with self._at(account) as (line, driver, _):
            listed = driver.orders_listed(line)
        names = _names(account, [order.venue_order_id for order in listed if not order.client_order_id])
        return [
            replace(order, client_order_id=names.get(order.venue_order_id, order.client_order_id))
            for order in listed
        ]

    def fills_since(self, *, account: str, since: datetime) -> list[VenueFill]:
        """Return the fills of our orders on an account that the venue made at or after ``since``.

        Fills of orders that we did not send are not told: most venues name them by their own ids alone.

        :raises RetryLater: no usable answer
        """
        recent = VenueSend.objects.filter(
            Q(ended_at__isnull=True) | Q(ended_at__gte=since - ENDED_KEPT), account=account, refused=""
        )
        sends = list(recent.order_by("sent_at", "pk"))
        if not sends:
            return []
        with self._at(account) as (line, driver, keys):
            markets = {
                send.instrument_code: self._market(keys, _ref_of(send))
                for send in sends
                if send.venue == self._name
            }
            for send in sends:
                if not driver.is_order_id(send.venue_order_id) and send.instrument_code in markets:
                    self._venue_id_learn(line, driver, markets[send.instrument_code], send)
            known = [
                (send, markets[send.instrument_code])
                for send in sends
                if driver.is_order_id(send.venue_order_id) and send.instrument_code in markets
            ]
            return driver.fills_listed(line, known, since=since) if known else []

    def stop_place(self, *, request: StopRequest, now: datetime) -> Accepted | Refused:
        """Send a stop; sending the same client id again returns the first one's answer.

        :raises RetryLater: nothing happened, or an earlier sending may still be on its way
        :raises UnknownOutcome: it may have been taken
        """
        return self._send(
            _Sending(request=request, is_stop=True),
            by=lambda line, driver, market: driver.stop_send(line, market, request),
        )

    def stop_fetch(self, *, stop: OrderRef) -> StopStatus | None:
        """Return how a stop stands, None if the venue does not know it.

        :raises RetryLater: no usable answer, or it may still arrive
        """
        with self._at(stop.account) as (line, driver, keys):
            status = driver.stop_find(line, self._market(keys, stop), stop)
        if status is None:
            self._arrival_wait(stop)
        elif status in {StopStatus.CANCELLED, StopStatus.REJECTED}:
            self._ended(stop)
        return status

    def stop_cancel(self, *, stop: OrderRef, now: datetime) -> CancelAnswer:
        """Take a stop back. ``ALREADY_ENDED``: it was touched, or is gone; ``stop_fetch`` tells which.

        :raises RetryLater: nothing happened
        :raises UnknownOutcome: it may have been cancelled
        """
        with self._at(stop.account, priority=BudgetPriority.EXIT) as (line, driver, keys):
            market = self._market(keys, stop)
            answer = _refusal_waits(lambda: driver.stop_end(line, market, stop))
            status = driver.stop_find(line, market, stop) if answer is None else None
        if answer is not None:
            return answer
        if status is None:
            self._arrival_wait(stop)
            return CancelAnswer.NOT_KNOWN
        if status == StopStatus.ARMED:
            raise RetryLater(f"{self._name} shows the stop as resting and finds nothing to cancel")
        return CancelAnswer.ALREADY_ENDED

    def stops_armed(self, *, accounts: Sequence[str]) -> list[OrderRef]:
        """Return the stops that rest on these accounts now, whoever sent them.

        :raises RetryLater: no usable answer
        """
        armed: list[OrderRef] = []
        for account in accounts:
            with self._at(account) as (line, driver, _):
                listed = driver.stops_listed(line, account=account)
            names = _names(account, [stop.venue_order_id for stop in listed if not stop.client_order_id])
            armed += [
                replace(stop, client_order_id=names.get(stop.venue_order_id, stop.client_order_id))
                for stop in listed
            ]
        return armed

    def account_look(self, *, account: str) -> AccountLook:
        """Return what an account holds, ours and not ours together.

        :raises RetryLater: no usable answer
        """
        with self._at(account) as (line, driver, _):
            return driver.look(line)

    def account_check(self, *, account: str) -> AccountCheck:
        """Tell whether an account can be traded with: its modes, its key, the clocks.

        :raises RetryLater: no usable answer
        """
        with self._at(account) as (line, driver, _):
            return driver.check(line)

    # ------------------------------------------------------------ sending
    def _send(
        self, sending: _Sending, *, by: Callable[[Line, Driver, VenueInstrument], str]
    ) -> Accepted | Refused:
        request = sending.request
        priority = BudgetPriority.EXIT if sending.reduces else BudgetPriority.ORDER
        with self._at(request.account, priority=priority) as (line, driver, keys):
            try:
                market = _market(keys, sending.ref)
            except NotFound as error:
                return Refused(reason=error.message)
            if not self._claim(sending):
                answer = self._sent_before(line, driver, market, sending)
                if answer is not None:
                    return answer
            problem = _problem(sending, market) or self._lateness(request)
            if problem:
                return self._refused(request.client_order_id, problem)
            try:
                venue_order_id = by(line, driver, market)
            except RetryLater:
                VenueSend.objects.filter(pk=request.client_order_id, venue_order_id="").delete()
                raise
            except VenueRefusal as error:
                return self._refused(request.client_order_id, str(error))
            except DuplicateId:
                answer = self._sent_before(line, driver, market, sending)
                if answer is None:
                    raise RetryLater(
                        f"{self._name} has this client id already and does not show it"
                    ) from None
                return answer
        VenueSend.objects.filter(pk=request.client_order_id).update(venue_order_id=venue_order_id)
        return Accepted(venue_order_id=venue_order_id)

    def _claim(self, sending: _Sending) -> bool:
        """Keep what is about to be sent, committed; False: something was sent under this id before."""
        request = sending.request
        with transaction.atomic(durable=True):
            _, first = VenueSend.objects.get_or_create(
                client_order_id=request.client_order_id,
                defaults={
                    "venue": self._name,
                    "account": request.account,
                    "instrument_code": request.instrument_code,
                    "policy": request.policy,
                    "is_stop": sending.is_stop,
                    "sent_at": self._clock.now(),
                    "valid_until": request.valid_until,
                },
            )
        return first

    def _sent_before(
        self, line: Line, driver: Driver, market: VenueInstrument, sending: _Sending
    ) -> Accepted | Refused | None:
        """Return what became of an earlier sending; None: it never arrived, never will, and this one is ours.

        :raises RetryLater: it may still arrive
        """
        request = sending.request
        send = VenueSend.objects.get(pk=request.client_order_id)
        if send.refused:
            return Refused(reason=send.refused)
        if send.venue_order_id:
            return Accepted(venue_order_id=send.venue_order_id)
        if sending.is_stop:
            status = driver.stop_find(line, market, sending.ref)
            if status == StopStatus.REJECTED:
                return self._refused(send.pk, "the venue rejected the stop")
            if status is not None:
                return Accepted(venue_order_id="")
        else:
            found = driver.order_find(line, market, sending.ref)
            if found is not None and found.status == VenueStatus.REJECTED:
                return self._refused(send.pk, found.reason or "the venue rejected the order")
            if found is not None:
                VenueSend.objects.filter(pk=send.pk).update(venue_order_id=found.venue_order_id)
                return Accepted(venue_order_id=found.venue_order_id)
        self._arrival_wait(sending.ref)
        with transaction.atomic(durable=True):
            taken = VenueSend.objects.filter(pk=send.pk, valid_until=send.valid_until).update(
                sent_at=self._clock.now(), valid_until=request.valid_until
            )
        if not taken:
            raise RetryLater("somebody else is sending this order")
        return None

    def _lateness(self, request: OrderRequest | StopRequest) -> str:
        late_s = (self._clock.now() - request.valid_until).total_seconds()
        return f"it was to leave {late_s:.1f} s after it could be taken" if late_s >= 0 else ""

    def _refused(self, client_order_id: str, reason: str) -> Refused:
        VenueSend.objects.filter(pk=client_order_id).update(refused=reason[:200], ended_at=self._clock.now())
        return Refused(reason=reason[:200])

    # ------------------------------------------------------------ what was sent
    def _arrival_wait(self, order: OrderRef) -> None:
        """Do not believe that an order is not there while it may still be on its way.

        :raises RetryLater: it may be
        """
        send = VenueSend.objects.filter(pk=order.client_order_id).first()
        if send is None or (send.is_stop and send.venue_order_id):
            return  # never sent; or a stop that the venue took, of which no order has come yet
        if self._clock.now() < send.valid_until + ARRIVES_WITHIN:
            raise RetryLater(f"{self._name} does not know it yet; it may still arrive")

    def _ended(self, order: OrderRef, *, venue_order_id: str = "") -> None:
        sent = VenueSend.objects.filter(pk=order.client_order_id)
        if venue_order_id:
            sent.exclude(venue_order_id=venue_order_id).update(venue_order_id=venue_order_id)
        sent.filter(ended_at__isnull=True).update(ended_at=self._clock.now())

    def _venue_id_learn(self, line: Line, driver: Driver, market: VenueInstrument, send: VenueSend) -> None:
        """Ask for the venue's id of an order whose sending was never answered, or that was a stop before."""
        found = driver.order_find(line, market, _ref_of(send))
        if found is not None:
            send.venue_order_id = found.venue_order_id
            VenueSend.objects.filter(pk=send.pk).update(venue_order_id=found.venue_order_id)
        elif not send.is_stop and self._clock.now() > send.valid_until + ARRIVES_WITHIN:
            VenueSend.objects.filter(pk=send.pk).update(ended_at=self._clock.now())  # it never arrived

    def _market(self, keys: LiveKeys, order: OrderRef) -> VenueInstrument:
        """Return the market of something that was sent.

        :raises RetryLater: its rules are not kept any more, so it cannot be asked about
        """
        try:
            return _market(keys, order)
        except NotFound as error:
            raise RetryLater(error.message) from error

    @contextmanager
    def _at(
        self, account: str, *, priority: BudgetPriority = BudgetPriority.ORDER
    ) -> Iterator[tuple[Line, Driver, LiveKeys]]:
        """Stand at an account: a line of its own, and the driver of its market."""
        keys = self._keys_of(account)
        if keys.venue != self._name:
            raise BadAnswer(f"the account {account} is at {keys.venue}, not at {self._name}")
        with POOL.client(keys) as client:
            line = Line(keys=keys, client=client, clock=self._clock, priority=priority, asker=account)
            yield line, self._drivers[keys.policy], keys


def _market(keys: LiveKeys, order: OrderRef) -> VenueInstrument:
    return venue_instrument_get(
        venue=keys.venue,
        sandbox=keys.sandbox,
        policy=keys.policy,
        code=order.instrument_code,
        quote=keys.quote,
    )


def sends_prune(*, before: datetime) -> int:
    """Forget what was sent and had ended before a time; return how many."""
    deleted, _ = VenueSend.objects.filter(ended_at__lt=before, sent_at__lt=before).delete()
    return deleted


def _names(account: str, venue_order_ids: list[str]) -> dict[str, str]:
    """Return the client ids of what we sent, by the venue's ids, where a venue lists those alone."""
    if not venue_order_ids:
        return {}
    sends = VenueSend.objects.filter(account=account, venue_order_id__in=venue_order_ids)
    return dict(sends.values_list("venue_order_id", "client_order_id"))


def _ref_of(send: VenueSend) -> OrderRef:
    return OrderRef(
        client_order_id=send.client_order_id,
        account=send.account,
        instrument_code=send.instrument_code,
        policy=send.policy,
        venue_order_id=send.venue_order_id,
    )


def _refusal_waits(ask: Callable[[], CancelAnswer | None]) -> CancelAnswer | None:
    """Ask to cancel; where the venue refuses to, nothing happened."""
    try:
        return ask()
    except VenueRefusal as error:
        raise RetryLater(str(error)) from error


def _problem(sending: _Sending, market: VenueInstrument) -> str:
    """Return why the venue would refuse an order or a stop, in words; empty when it should take it."""
    request, spec = sending.request, market.spec()
    reduces = sending.reduces
    price = request.trigger_price if isinstance(request, StopRequest) else request.limit_price
    if not market.active and not reduces:
        return f"{market.venue} takes no orders for {spec.code} now"
    if request.quantity <= 0 or request.quantity != spec.quantity(request.quantity):
        return f"quantity {plain(request.quantity)} is not a multiple of the step {plain(spec.quantity_step)}"
    if price <= 0 or price != spec.price(price, up=False):
        return f"price {plain(price)} is finer than {spec.code} allows at {market.venue}"
    if spec.max_quantity is not None and request.quantity > spec.max_quantity:
        return f"quantity {plain(request.quantity)} is above the largest of {plain(spec.max_quantity)}"
    if request.quantity < spec.min_quantity:
        return f"quantity {plain(request.quantity)} is below the smallest of {plain(spec.min_quantity)}"
    spot = request.policy == Policy.SPOT
    if spot and request.side == OrderSide.SELL and not reduces:
        return "a spot sale can only reduce what is held"
    value = request.quantity * price
    if value < spec.min_notional and (spot or not reduces):
        return f"order value {plain(value)} is below the minimum of {plain(spec.min_notional)}"
    return ""
