"""The client: single steps, and ``reserve``, which strings them together."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID, uuid4

from ensemble_client._wire import Wire
from ensemble_client.errors import CapitalDenied, Conflict, EnsembleError, Unavailable
from ensemble_client.shapes import Capital, Order, Priority, Reservation, Status

logger = logging.getLogger("ensemble_client")
Amount = Decimal | int | str

ATTEMPTS: Final = 4
PAUSE_S: Final = 0.2  # before the second attempt; doubled before each further one
PAUSE_MAX_S: Final = 10.0
POLL_S: Final = 0.25
OVERDUE_S: Final = 30.0  # how long past its wait a request may stay undecided


class Client:
    """Speaks to one server as one person; threads may share it.

    :param base_url: such as "https://ensemble.example.com"
    :param token: an API token, see ``sign_in``
    :param timeout_s: how long one answer may take
    """

    def __init__(self, base_url: str, *, token: str, timeout_s: float = 10.0) -> None:
        self._wire = Wire(base_url, timeout_s=timeout_s)
        self._token = token

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"  # without the token

    @staticmethod
    def sign_in(
        base_url: str,
        *,
        email: str,
        password: str,
        code: str = "",
        scopes: Sequence[str] = ("read", "capital"),
        timeout_s: float = 10.0,
    ) -> str:
        """Return a new token, which lives 30 days.

        :param code: the current code of your second factor, where you have one
        :param scopes: what it may be used for; this client needs the two it has when left out
        :raises InvalidRequest: the pair or the code is wrong, or there is no such scope
        :raises TooManyRequests: after too many failures
        """
        body = {"email": email, "password": password, "code": code, "scopes": list(scopes)}
        answer = Wire(base_url, timeout_s=timeout_s).ask("POST", "auth/token/", headers={}, body=body)
        return str(answer["token"])

    def capital(self, portfolio_id: int) -> Capital:
        """Return what a portfolio has, and how much of it is free."""
        return Capital.of(self._ask("GET", f"portfolios/{portfolio_id}/capital/"))

    def request(
        self,
        portfolio_id: int,
        *,
        instrument: str,
        amount: Amount,
        priority: Priority = Priority.MEDIUM,
        source: str = "outside",
        wait_s: int = 0,
        key: str = "",
    ) -> Reservation:
        """Ask for capital once; the answer is granted, waiting or denied.

        :param source: the name of your strategy
        :param wait_s: how long it may wait in the queue, 0 to 300
        :param key: the same key again is the same request; one is made up if left out
        :raises InvalidRequest: the request makes no sense, or nothing may be opened now
        """
        body = {
            "instrument": instrument,
            "amount": _text(amount),
            "priority": Priority(priority).value,
            "source": source,
            "wait_s": wait_s,
        }
        headers = {"Idempotency-Key": key or uuid4().hex}
        path = f"portfolios/{portfolio_id}/capital/requests/"
        return Reservation.of(self._ask("POST", path, body=body, headers=headers))

    def reservation(self, portfolio_id: int, reservation_id: UUID) -> Reservation:
        """Return a reservation as it stands now."""
        return Reservation.of(self._ask("GET", _path(portfolio_id, reservation_id)))

    def release(self, portfolio_id: int, reservation_id: UUID) -> Reservation:
        """Give a grant back, or leave the queue; harmless where it is over already.

        :raises Conflict: an order uses it
        """
        return Reservation.of(self._ask("DELETE", _path(portfolio_id, reservation_id)))

    def use(
        self,
        portfolio_id: int,
        reservation_id: UUID,
        *,
        instrument: str,
        side: Literal["BUY", "SELL"],
        quantity: Amount,
        limit_price: Amount,
    ) -> Order:
        """Place a limit entry behind a grant; the same once more returns the same order.

        :raises InvalidRequest: the grant does not cover it, or a breaker, a limit or the venue forbids it
        :raises Conflict: the grant is over, or was used for another order
        """
        body = {
            "instrument": instrument,
            "side": side,
            "quantity": _text(quantity),
            "limit_price": _text(limit_price),
        }
        return Order.of(self._ask("POST", _path(portfolio_id, reservation_id) + "use/", body=body))

    @contextmanager
    def reserve(
        self,
        portfolio_id: int,
        *,
        instrument: str,
        amount: Amount,
        priority: Priority = Priority.MEDIUM,
        source: str = "outside",
        wait_s: int = 0,
        key: str = "",
    ) -> Iterator[Grant]:
        """Hold capital for the length of a ``with`` block; what the block does not use goes back.

        Arguments as in ``request``. Waits until the request is decided.

        :raises CapitalDenied: there was none in time
        """
        reservation = self.request(
            portfolio_id,
            instrument=instrument,
            amount=amount,
            priority=priority,
            source=source,
            wait_s=wait_s,
            key=key,
        )
        grant = Grant(client=self, portfolio_id=portfolio_id, reservation=reservation)
        try:
            self._await(grant, until_s=time.monotonic() + wait_s + OVERDUE_S)
            yield grant
        finally:
            self._leave(grant)

    def _await(self, grant: Grant, *, until_s: float) -> None:
        while grant.reservation.status is Status.WAITING:
            if time.monotonic() > until_s:
                raise Unavailable(f"reservation {grant.reservation.id} is waiting past its time")
            time.sleep(POLL_S)
            grant.reservation = self.reservation(grant.portfolio_id, grant.reservation.id)
        if grant.reservation.status is not Status.GRANTED:
            raise CapitalDenied(grant.reservation)

    def _leave(self, grant: Grant) -> None:
        """Give back what was not used. Where that fails it returns by itself, so it is only logged."""
        if grant.order is not None or grant.reservation.status not in {Status.GRANTED, Status.WAITING}:
            return
        try:
            grant.reservation = self.release(grant.portfolio_id, grant.reservation.id)
        except Conflict:
            grant.reservation = self.reservation(grant.portfolio_id, grant.reservation.id)
        except EnsembleError as error:
            logger.warning(
                "reservation %s not given back (%s); it expires by itself", grant.reservation.id, error
            )

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send a request that is harmless to repeat, again where no answer came."""
        told = {"Authorization": f"Token {self._token}", **(headers or {})}
        pause_s = PAUSE_S
        for left in range(ATTEMPTS - 1, -1, -1):
            try:
                return self._wire.ask(method, path, headers=told, body=body)
            except Unavailable as error:
                if not left:
                    raise
                time.sleep(min(error.retry_after_s or pause_s, PAUSE_MAX_S))
                pause_s *= 2
        raise AssertionError("unreachable")


@dataclass
class Grant:
    """Capital held inside a ``with client.reserve(…)`` block; ``order`` once it is used."""

    client: Client = field(repr=False)
    portfolio_id: int
    reservation: Reservation
    order: Order | None = None

    def use(self, *, side: Literal["BUY", "SELL"], quantity: Amount, limit_price: Amount) -> Order:
        """Place a limit entry for it; see ``Client.use``."""
        self.order = self.client.use(
            self.portfolio_id,
            self.reservation.id,
            instrument=self.reservation.instrument,
            side=side,
            quantity=quantity,
            limit_price=limit_price,
        )
        self.reservation = self.client.reservation(self.portfolio_id, self.reservation.id)
        return self.order


def _path(portfolio_id: int, reservation_id: UUID) -> str:
    return f"portfolios/{portfolio_id}/capital/requests/{reservation_id}/"


def _text(amount: Amount) -> str:
    """Write an amount exactly.

    :raises TypeError: a float, which is seldom the number it looks like
    """
    if isinstance(amount, bool) or not isinstance(amount, (Decimal, int, str)):
        msg = f"give amounts as Decimal, int or text, not {type(amount).__name__}"
        raise TypeError(msg)
    return f"{amount:f}" if isinstance(amount, Decimal) else str(amount)
