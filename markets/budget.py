"""Request budgets, shared by all processes through Redis: one per venue and address it sees us from (SYN-3).

Most venues count per IP address, so a budget belongs to ``EGRESS_NAME``, the address this machine is seen
from; processes on several machines behind one address give them one name. Where a venue counts per account
as well, that is a budget of its own, with ``account`` set. ``markets.venue_limits`` says what is allowed.

A request waits until the bucket has earned its weight. Exits go before orders, orders before the sync of
traders, that before previews; within one priority nobody who asks much can starve another. The script that
sees to it is explained in ``markets.budget_script``. Loops use :class:`VenueBudget`, threads
:class:`BudgetNow`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import redis
import redis.asyncio
from django.conf import settings

from core.clock import SYSTEM_CLOCK
from core.errors import RateLimited, RetryLater
from markets.budget_script import SCRIPT
from markets.connections import redis_open, redis_open_now
from markets.domain.allowance import MINUTE_PARTS, RESERVED, Allowance, BudgetPriority

BURST_SHARE = MINUTE_PARTS
SHOWN_EVERY_S: Final = 2.0  # who waits shows its ticket as often, and learns of shorter waits
COUNTS: Final = "budget:counts"
INDEX: Final = "budget:index"


class BudgetExhausted(RateLimited):
    """Our own budget has no room soon enough; nothing was sent. ``retry_after_s`` says when it has."""


@dataclass(frozen=True, slots=True)
class Asking:
    """On whose behalf requests are made: of two askers of one priority neither can starve the other.

    :param max_wait_s: how long a request waits for room where the call itself does not say
    """

    priority: BudgetPriority = BudgetPriority.SYNC
    asker: str = ""
    max_wait_s: float = 8.0


_NOBODY: Final = Asking()
_asking: ContextVar[Asking] = ContextVar("budget_asking", default=_NOBODY)


def asking_now() -> Asking:
    """Return on whose behalf requests are made here."""
    return _asking.get()


@contextmanager
def asking(
    *, priority: BudgetPriority | None = None, asker: str | None = None, max_wait_s: float | None = None
) -> Iterator[None]:
    """Ask everything in this block, and in tasks begun in it, so; what is not said stays as it is around."""
    around = _asking.get()
    inside = Asking(
        priority=around.priority if priority is None else priority,
        asker=around.asker if asker is None else asker,
        max_wait_s=around.max_wait_s if max_wait_s is None else max_wait_s,
    )
    token = _asking.set(inside)
    try:
        yield
    finally:
        _asking.reset(token)


class _Bucket:
    """What both kinds of budget share: the names in Redis, and the script's arguments and answers."""

    def __init__(self, *, venue: str, allowance: Allowance, account: str) -> None:
        self.burst, self.rate, self.window_s = allowance.burst, allowance.rate, allowance.window_s
        self._label, self._listed = venue, int(not account)
        self._key = f"budget:{settings.EGRESS_NAME}:{venue}" + (f":{account}" if account else "")
        self._keys = [self._key, f"{self._key}:line", f"{self._key}:flows", COUNTS, INDEX]

    def _arguments(self, operation: str, *values: object) -> list[str]:
        written = (f"{value:.9f}" if isinstance(value, float) else str(value) for value in values)
        return [operation, f"{self.rate:.9f}", f"{self.burst:.9f}", *written]

    def _take_arguments(
        self, weight: float, longest_s: float, priority: BudgetPriority | None, asker: str | None, ticket: str
    ) -> list[str]:
        ambient = _asking.get()
        rank = ambient.priority if priority is None else priority
        who = (ambient.asker if asker is None else asker).replace(" ", "_")
        return self._arguments(
            *("take", float(weight), max(0.0, longest_s), int(rank), RESERVED[rank], who, ticket),
            *(SHOWN_EVERY_S, self._label, self._listed),
        )

    def _answer(self, answer: Any) -> tuple[bool, float, str]:
        """Return whether the weight was taken, the seconds to wait, and the ticket to show after them.

        :raises BudgetExhausted: it would take too long
        """
        taken, wait_s, ticket = int(answer[0]), float(answer[1]), answer[2].decode()
        if taken < 0:
            message = f"our request budget is spent for the next {wait_s:.1f} s"
            raise BudgetExhausted(message, retry_after_s=wait_s)
        return bool(taken), wait_s if taken else min(wait_s, SHOWN_EVERY_S), ticket

    def _used_arguments(self, used: float, limit: float, window_s: float | None) -> list[str]:
        return self._arguments("used", float(used), float(limit), float(window_s or self.window_s))


class VenueBudget(_Bucket):
    """A budget for code in an event loop. Belongs to the loop it was first used in.

    :param venue: name of the bucket, the same in every process
    :param weight_per_minute: the venue's allowance, where that is all there is to say
    :param allowance: the allowance in full
    :param account: whose budget it is, where the venue counts per account
    :param connection: one that several budgets share
    """

    def __init__(
        self,
        *,
        venue: str,
        weight_per_minute: float = 0,
        allowance: Allowance | None = None,
        account: str = "",
        redis_url: str = "",
        connection: redis.asyncio.Redis | None = None,
    ) -> None:
        allowed = allowance or Allowance.window(weight=weight_per_minute, parts=BURST_SHARE)
        super().__init__(venue=venue, allowance=allowed, account=account)
        self._redis = connection or redis_open(url=redis_url or settings.REDIS_URL)
        self._script = self._redis.register_script(SCRIPT)

    async def take(
        self,
        weight: float,
        *,
        max_wait_s: float,
        priority: BudgetPriority | None = None,
        asker: str | None = None,
    ) -> float:
        """Wait until ``weight`` may be spent and spend it; return the seconds waited.

        :param priority: else that of the surrounding :func:`asking`, else SYNC
        :param asker: on whose behalf, such as a user's id; else that of the surrounding :func:`asking`
        :raises BudgetExhausted: that would take longer than ``max_wait_s``; nothing was spent
        :raises RetryLater: the budget cannot be reached, so nothing may be asked
        """
        begun_s, waited_s, ticket = SYSTEM_CLOCK.monotonic_s(), 0.0, ""
        while True:
            left_s = max_wait_s - (SYSTEM_CLOCK.monotonic_s() - begun_s if ticket else 0.0)
            arguments = self._take_arguments(weight, left_s, priority, asker, ticket)
            taken, wait_s, ticket = self._answer(await self._run(arguments))
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                waited_s += wait_s
            if taken:
                return waited_s

    async def give_back(self, weight: float) -> None:
        """Give back what was taken for a request that was not sent.

        :raises RetryLater: the budget cannot be reached
        """
        await self._run(self._arguments("back", float(weight)))

    async def used(self, used: float, limit: float, *, window_s: float | None = None) -> bool:
        """Believe the venue's own count where it is higher than ours; return whether it was.

        :param used: what it counted in its present window, which begins at a whole multiple of its length
        :param limit: what it allows in one
        :param window_s: the window's length, where it is not the allowance's own
        :raises RetryLater: the budget cannot be reached
        """
        return bool((await self._run(self._used_arguments(used, limit, window_s)))[0])

    async def pause(self, *, for_s: float) -> None:
        """Let nobody, in any process, ask for so many seconds: the venue said so. A longer pause stands.

        :raises RetryLater: the budget cannot be reached
        """
        await self._run(self._arguments("pause", float(for_s), self._label))

    async def drain(self) -> None:
        """Leave nothing to spend, after the venue said that we asked too much without naming a pause.

        :raises RetryLater: the budget cannot be reached
        """
        await self.pause(for_s=0)

    async def close(self) -> None:
        """Give back the connection."""
        await self._redis.aclose()

    async def _run(self, arguments: list[str]) -> Any:
        try:
            return await self._script(keys=self._keys, args=arguments)
        except redis.RedisError as error:
            raise RetryLater(f"the shared request budget in Redis cannot be reached: {error}") from error


class BudgetNow(_Bucket):
    """The same budget for threads: the same buckets, the same order, the same errors. Safe to share."""

    def __init__(
        self,
        *,
        venue: str,
        weight_per_minute: float = 0,
        allowance: Allowance | None = None,
        account: str = "",
        redis_url: str = "",
        connection: redis.Redis | None = None,
    ) -> None:
        allowed = allowance or Allowance.window(weight=weight_per_minute, parts=BURST_SHARE)
        super().__init__(venue=venue, allowance=allowed, account=account)
        self._redis = connection or redis_open_now(url=redis_url or settings.REDIS_URL)
        self._script = self._redis.register_script(SCRIPT)

    def take(
        self,
        weight: float,
        *,
        max_wait_s: float,
        priority: BudgetPriority | None = None,
        asker: str | None = None,
    ) -> float:
        """Wait until ``weight`` may be spent and spend it; see :meth:`VenueBudget.take`."""
        begun_s, waited_s, ticket = SYSTEM_CLOCK.monotonic_s(), 0.0, ""
        while True:
            left_s = max_wait_s - (SYSTEM_CLOCK.monotonic_s() - begun_s if ticket else 0.0)
            arguments = self._take_arguments(weight, left_s, priority, asker, ticket)
            taken, wait_s, ticket = self._answer(self._run(arguments))
            if wait_s > 0:
                time.sleep(wait_s)
                waited_s += wait_s
            if taken:
                return waited_s

    def give_back(self, weight: float) -> None:
        """Give back what was taken for a request that was not sent."""
        self._run(self._arguments("back", float(weight)))

    def used(self, used: float, limit: float, *, window_s: float | None = None) -> bool:
        """Believe the venue's own count where it is higher than ours; see :meth:`VenueBudget.used`."""
        return bool(self._run(self._used_arguments(used, limit, window_s))[0])

    def pause(self, *, for_s: float) -> None:
        """Let nobody, in any process, ask for so many seconds. A longer pause stands."""
        self._run(self._arguments("pause", float(for_s), self._label))

    def drain(self) -> None:
        """Leave nothing to spend, after the venue said that we asked too much without naming a pause."""
        self.pause(for_s=0)

    def close(self) -> None:
        """Give back the connection."""
        self._redis.close()

    def _run(self, arguments: list[str]) -> Any:
        try:
            return self._script(keys=self._keys, args=arguments)
        except redis.RedisError as error:
            raise RetryLater(f"the shared request budget in Redis cannot be reached: {error}") from error
