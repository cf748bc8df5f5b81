"""What a request to a real venue weighs, and the shared budgets it is taken from before it is sent.

Sources: Binance docs, weights of each endpoint (spot and USD-M); Hyperliquid docs, "Rate limits and user
limits". What is not listed weighs as much as the heaviest that is.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from core.errors import RetryLater
from execution.accounts import LiveKeys
from markets.budget import BudgetExhausted, BudgetNow
from markets.domain.allowance import Allowance, BudgetPriority
from markets.venue_limits import ACCOUNT_LIMITS, address_limit

KEPT: Final = 64  # budgets of accounts that a process keeps open
HEAVY: Final = 80
LONGEST_WAIT_S: Final = 3.0
WEIGHTS: Final = {
    "publicGetTime": 1,
    "privatePostOrder": 1,
    "privateDeleteOrder": 1,
    "privateGetOrder": 4,
    "privateGetOpenOrders": 80,
    "privateGetMyTrades": 20,
    "privateGetAccount": 20,
    "fapiPublicGetTime": 1,
    "fapiPrivatePostOrder": 1,
    "fapiPrivateDeleteOrder": 1,
    "fapiPrivateGetOrder": 1,
    "fapiPrivateGetOpenOrders": 40,
    "fapiPrivateGetUserTrades": 5,
    "fapiPrivatePostAlgoOrder": 1,
    "fapiPrivateDeleteAlgoOrder": 1,
    "fapiPrivateGetAlgoOrder": 1,
    "fapiPrivateGetOpenAlgoOrders": 40,
    "fapiPrivateV3GetAccount": 5,
    "fapiPrivateV3GetPositionRisk": 5,
    "fapiPrivateGetAccountConfig": 5,
    "fapiPrivateGetSymbolConfig": 5,
    "privatePostExchange": 1,
}
INFO_WEIGHTS: Final = {"orderStatus": 2, "clearinghouseState": 2, "exchangeStatus": 2, "userRole": 60}
INFO_WEIGHT: Final = 20
_TRADES_OF_ORDER: Final = 5  # Binance's list of one order's trades
ORDERS: Final = frozenset({"privatePostOrder", "fapiPrivatePostOrder", "privatePostExchange"})


class Budgets:
    """The budgets a process has open; those not used for longest are closed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[tuple[str, str], BudgetNow] = OrderedDict()
        self._process = os.getpid()

    def get(self, *, bucket: str, account: str, allowance: Allowance | None) -> BudgetNow | None:
        """Return a budget; None where the venue documents no limit."""
        if allowance is None:
            return None
        with self._lock:
            if self._process != os.getpid():
                self._open, self._process = OrderedDict(), os.getpid()
            found = self._open.get((bucket, account))
            if found is None:
                found = BudgetNow(
                    venue=bucket, allowance=allowance, account=account, redis_url=settings.REDIS_URL
                )
                self._open[bucket, account] = found
            self._open.move_to_end((bucket, account))
            surplus = [self._open.popitem(last=False)[1] for _ in range(len(self._open) - KEPT)]
        for budget in surplus:
            budget.close()
        return found

    def close(self) -> None:
        """Give back every connection."""
        with self._lock:
            opened, self._open = self._open, OrderedDict()
        for budget in opened.values():
            budget.close()


BUDGETS: Final = Budgets()


def weight_of(method: str, params: Mapping[str, Any]) -> int:
    """Return what a request weighs, by ccxt's name for it."""
    if method == "publicPostInfo":
        return INFO_WEIGHTS.get(str(params.get("type")), INFO_WEIGHT)
    if method == "privateGetMyTrades" and "orderId" in params:
        return _TRADES_OF_ORDER
    return WEIGHTS.get(method, HEAVY)


def request_pay(
    keys: LiveKeys, method: str, params: Mapping[str, Any], *, priority: BudgetPriority, asker: str
) -> None:
    """Take a request's weight from the budgets it counts in, waiting up to 3 s.

    Where the budgets cannot be reached, what closes a position goes out all the same.

    :raises BudgetExhausted: no room soon enough; nothing was sent
    :raises RetryLater: the budgets cannot be reached
    """
    try:
        budget = _address_budget(keys)
        if budget is not None:
            weight = weight_of(method, params)
            budget.take(weight, max_wait_s=LONGEST_WAIT_S, priority=priority, asker=asker)
        bucket = f"{_bucket(keys)}:orders"
        of_account = (
            BUDGETS.get(bucket=bucket, account=str(keys.credential_id), allowance=ACCOUNT_LIMITS.get(bucket))
            if method in ORDERS
            else None
        )
        if of_account is not None:
            of_account.take(1, max_wait_s=LONGEST_WAIT_S, priority=priority, asker=asker)
    except BudgetExhausted:
        raise
    except RetryLater:
        if priority != BudgetPriority.EXIT:
            raise


def pause_note(keys: LiveKeys, *, for_s: float) -> None:
    """Let nobody ask this venue for so many seconds, since it said so; 0: it named no time.

    :raises RetryLater: the budgets cannot be reached
    """
    budget = _address_budget(keys)
    if budget is not None:
        budget.pause(for_s=for_s)


def used_note(keys: LiveKeys, headers: Mapping[str, str]) -> None:
    """Believe the venue's own count of what was used, where it sends one.

    :raises RetryLater: the budgets cannot be reached
    """
    used = {name.lower(): value for name, value in headers.items()}.get("x-mbx-used-weight-1m", "")
    allowance = address_limit(_bucket(keys))
    budget = _address_budget(keys)
    if used.isdigit() and budget is not None and allowance is not None:
        limit = allowance.burst + allowance.rate * allowance.window_s
        budget.used(float(used), limit)


def _bucket(keys: LiveKeys) -> str:
    """Return the name of the bucket that an address's requests to a market count in."""
    return "binance:usdm" if (keys.venue, keys.policy) == ("binance", "perp") else keys.venue


def _address_budget(keys: LiveKeys) -> BudgetNow | None:
    bucket = _bucket(keys)
    # A test environment is another place: what is asked there does not count in the venue itself.
    name = f"{bucket}:sandbox" if keys.sandbox else bucket
    return BUDGETS.get(bucket=name, account="", allowance=address_limit(bucket))
