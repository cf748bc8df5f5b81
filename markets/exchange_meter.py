"""The budget in front of every request of a ccxt client, and what the venue's answer says about it.

ccxt sends each request through ``fetch2``, its own ones (markets, time, leverage) too; the clients made by
``markets.exchanges`` hand it to a meter first. Who asks, how urgently and how long a request may wait is
what ``markets.budget.asking`` says around the call.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import redis
import redis.asyncio
import structlog
from django.conf import settings

from core.clock import SYSTEM_CLOCK
from core.errors import RetryLater
from markets.budget import BudgetNow, VenueBudget, asking_now
from markets.connections import redis_open, redis_open_now
from markets.venue_limits import Charge, VenueRequest, charges_of

log = structlog.get_logger(__name__)
BAN_S: Final = 120.0  # the shortest ban Binance documents; for one that does not say how long
BYBIT_BAN_S: Final = 600.0  # Bybit docs v5, "Rate limit rules": 403 ends ten minutes later
PAUSE_MOST_S: Final = 3 * 86400.0  # the longest ban Binance documents
_BANNED_UNTIL: Final = re.compile(r"until (\d{13})")


@dataclass(frozen=True, slots=True)
class Answered:
    """The head of one answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Counted:
    """What the venue counted in one bucket."""

    charge: Charge
    used: float
    limit: float
    window_s: float


answers: ContextVar[list[Answered] | None] = ContextVar("exchange_answers", default=None)


def answer_heard(status: int, headers: Mapping[str, str]) -> None:
    """Keep an answer's head for the meter of the request it belongs to."""
    heard = answers.get()
    if heard is not None:
        heard.append(Answered(status, {name.lower(): value for name, value in headers.items()}))


def counted_by(*, charges: Iterable[Charge], heard: Answered, venue: str) -> list[Counted]:
    """Return what an answer says was used, by bucket.

    Sources: Binance docs, "Limits" (X-MBX-USED-WEIGHT-1M, X-MBX-ORDER-COUNT-10S); Bybit docs v5, "Rate limit
    rules" (X-Bapi-Limit, X-Bapi-Limit-Status: what is left of it this second).
    """
    told = []
    for charge in charges:
        allowed = charge.allowance.burst + charge.allowance.rate * charge.allowance.window_s
        used, limit = None, allowed
        if venue == "binance":
            name = "x-mbx-order-count-10s" if charge.per_account else "x-mbx-used-weight-1m"
            used = _number(heard.headers.get(name))
        elif venue == "bybit" and charge.per_account:
            left, of = (_number(heard.headers.get(f"x-bapi-limit{end}")) for end in ("-status", ""))
            if left is not None and of:
                used, limit = of - left, of
        if used is not None:
            told.append(Counted(charge, used, limit, charge.allowance.window_s))
    return told


def pause_wanted(*, heard: Answered | None, error: Exception, venue: str, now_s: float) -> float | None:
    """Return for how many seconds the venue wants to be left alone, None where it does not say that at all.

    0 means: no more than what the bucket earns from now on.
    """
    from ccxt.base import errors

    status = heard.status if heard else 0
    limited = isinstance(error, errors.RateLimitExceeded | errors.DDoSProtection) and status != 401
    if not limited and status not in {418, 429} and not (venue == "bybit" and status == 403):
        return None
    headers: Mapping[str, str] = heard.headers if heard else {}
    banned = _BANNED_UNTIL.search(str(error))
    reset_ms = _number(headers.get("x-bapi-limit-reset-timestamp"))
    wanted = _number(headers.get("retry-after"))
    if wanted is None and banned:
        wanted = int(banned[1]) / 1000 - now_s
    if wanted is None and venue == "bybit" and status == 403:
        wanted = BYBIT_BAN_S
    if wanted is None and reset_ms is not None:
        wanted = min(reset_ms / 1000 - now_s, 60.0)
    if wanted is None:
        wanted = BAN_S if status == 418 else 0.0
    return max(0.0, min(wanted, PAUSE_MOST_S))


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class _Metered:
    """Whose requests these are."""

    venue: str
    sandbox: bool
    account: str

    def budget(self, charge: Charge) -> dict[str, Any]:
        """Return which budget a charge goes to; a test environment has its own."""
        bucket = f"{charge.bucket}:test" if self.sandbox else charge.bucket
        account = self.account if charge.per_account else ""
        return {"venue": bucket, "account": account, "allowance": charge.allowance}

    def pause(
        self, charges: list[Charge], heard: list[Answered], error: Exception
    ) -> tuple[int, float] | None:
        """Return which charge's bucket has to rest after an error, and for how many seconds."""
        last = heard[-1] if heard else None
        now_s = SYSTEM_CLOCK.now().timestamp()
        wanted = pause_wanted(heard=last, error=error, venue=self.venue, now_s=now_s)
        if wanted is None:
            return None
        # Bybit counts reads per account; only its 403 is about the address.
        per_account = self.venue == "bybit" and (last is None or last.status != 403)
        return (len(charges) - 1 if per_account else 0), wanted


class ExchangeMeter:
    """Meters asynchronous clients. Belongs to the event loop it was first used in; several may share one."""

    def __init__(self, *, redis_url: str = "") -> None:
        self._connection: redis.asyncio.Redis = redis_open(url=redis_url or settings.REDIS_URL)

    def attach(self, client: Any, *, sandbox: bool = False, account: str = "") -> Any:
        """Put this meter in front of a client's requests and return the client.

        :param account: whose key it has, in any words that tell accounts apart
        """
        client.meter = (self, _Metered(client.id, sandbox, account))
        return client

    async def send(self, metered: _Metered, request: VenueRequest, sent: Callable[[], Awaitable[Any]]) -> Any:
        """Wait for room, send, and tell the budgets what the venue says.

        :raises BudgetExhausted: no room in time; nothing was sent
        :raises RetryLater: the budgets cannot be reached; nothing was sent
        """
        charges = charges_of(request)
        budgets = [VenueBudget(connection=self._connection, **metered.budget(one)) for one in charges]
        await self._pay(budgets, charges)
        heard: list[Answered] = []
        token = answers.set(heard)
        try:
            answer = await sent()
        except Exception as error:
            if rest := metered.pause(charges, heard, error):
                await self._tell(budgets[rest[0]].pause(for_s=rest[1]))
            raise
        finally:
            answers.reset(token)
        for told in counted_by(charges=charges, heard=heard[-1], venue=metered.venue) if heard else ():
            budget = budgets[charges.index(told.charge)]
            await self._tell(budget.used(told.used, told.limit, window_s=told.window_s))
        return answer

    async def close(self) -> None:
        """Give back the connection."""
        await self._connection.aclose()

    async def _pay(self, budgets: Sequence[VenueBudget], charges: Sequence[Charge]) -> None:
        left_s = asking_now().max_wait_s
        for place, (budget, charge) in enumerate(zip(budgets, charges, strict=True)):
            try:
                left_s -= await budget.take(charge.weight, max_wait_s=left_s)
            except RetryLater:
                for paid, spent in zip(budgets[:place], charges, strict=False):
                    await self._tell(paid.give_back(spent.weight))
                raise

    async def _tell(self, telling: Awaitable[object]) -> None:
        """Tell a budget something; what was sent stays sent when Redis is away, so that is only logged."""
        try:
            await telling
        except RetryLater as error:
            log.warning("budget_not_told", error=str(error))


class ExchangeMeterNow:
    """Meters clients used in threads; safe to share."""

    def __init__(self, *, redis_url: str = "") -> None:
        self._connection: redis.Redis = redis_open_now(url=redis_url or settings.REDIS_URL)

    def attach(self, client: Any, *, sandbox: bool = False, account: str = "") -> Any:
        """Put this meter in front of a client's requests and return the client."""
        client.meter = (self, _Metered(client.id, sandbox, account))
        return client

    def send(self, metered: _Metered, request: VenueRequest, sent: Callable[[], Any]) -> Any:
        """Wait for room, send, and tell the budgets what the venue says; see :meth:`ExchangeMeter.send`."""
        charges = charges_of(request)
        budgets = [BudgetNow(connection=self._connection, **metered.budget(one)) for one in charges]
        self._pay(budgets, charges)
        heard: list[Answered] = []
        token = answers.set(heard)
        try:
            answer = sent()
        except Exception as error:
            if rest := metered.pause(charges, heard, error):
                self._tell(partial(budgets[rest[0]].pause, for_s=rest[1]))
            raise
        finally:
            answers.reset(token)
        for told in counted_by(charges=charges, heard=heard[-1], venue=metered.venue) if heard else ():
            budget = budgets[charges.index(told.charge)]
            self._tell(partial(budget.used, told.used, told.limit, window_s=told.window_s))
        return answer

    def close(self) -> None:
        """Give back the connection."""
        self._connection.close()

    def _pay(self, budgets: Sequence[BudgetNow], charges: Sequence[Charge]) -> None:
        left_s = asking_now().max_wait_s
        for place, (budget, charge) in enumerate(zip(budgets, charges, strict=True)):
            try:
                left_s -= budget.take(charge.weight, max_wait_s=left_s)
            except RetryLater:
                for paid, spent in zip(budgets[:place], charges, strict=False):
                    self._tell(partial(paid.give_back, spent.weight))
                raise

    def _tell(self, telling: Callable[[], object]) -> None:
        """Tell a budget something; what was sent stays sent when Redis is away, so that is only logged."""
        try:
            telling()
        except RetryLater as error:
            log.warning("budget_not_told", error=str(error))
