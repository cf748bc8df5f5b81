"""Fidelity held against reality: what another copy trader achieved, by our own computation (BEY-2).

`copy_run_lag` and `copy_run_adverse`: the recorded fills of five leader wallets and of the follower that
copied them. Each of the follower's orders answers to the leader's newest order in the same coin and on the
same side, up to 30 s before; its price is the average of that order's fills until then. No mark was recorded
in between, so delay and execution are one: the adverse price. Baseline: the mean instead of the median.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from statistics import fmean, median
from typing import Any, Final

import msgspec

from benchmarks._measuring import ROOT, figure
from core.decimals import ZERO
from engine.domain.fidelity import FillParts, fill_measure
from markets.recordings import epoch_at
from traders.domain.trades import OwnTrade, trades_behind

DATA: Final = ROOT / "data" / "hyperliquid_copy_run"
COPIES_WITHIN: Final = timedelta(seconds=30)


class _Fill(msgspec.Struct, frozen=True):
    coin: str
    px: Decimal
    sz: Decimal
    side: str
    time: int
    oid: int
    fee: Decimal

    def trade(self) -> OwnTrade:
        """Return it as a trade, signed."""
        quantity = self.sz if self.side == "B" else -self.sz
        return OwnTrade(epoch_at(Decimal(self.time) / 1000), quantity, self.px)


class _Query(msgspec.Struct):
    fills: tuple[_Fill, ...]


class _File(msgspec.Struct):
    queries: tuple[_Query, ...]


@dataclass(frozen=True, slots=True)
class Copied:
    """One order of the follower's against the leader's: seconds after it, and the parts of the price."""

    lag_s: float
    parts: FillParts

    @property
    def adverse_bps(self) -> Decimal:
        """Our price against theirs, without the fee."""
        return self.parts.delay_bps + self.parts.execution_bps


def copied_orders() -> list[Copied]:
    """Return every order of the follower's that copies an order of its leader's."""
    leaders, followers = (
        msgspec.json.decode((DATA / name).read_bytes(), type=_File).queries
        for name in ("leader_fills.json", "follower_fills.json")
    )
    return [
        copied
        for leader, follower in zip(leaders, followers, strict=True)
        for order in _orders(follower.fills)
        if (copied := _copied(order, leader.fills)) is not None
    ]


def _orders(fills: Iterable[_Fill]) -> list[list[_Fill]]:
    orders: dict[int, list[_Fill]] = defaultdict(list)
    for fill in fills:
        orders[fill.oid].append(fill)
    return list(orders.values())


def _copied(order: list[_Fill], leader: Iterable[_Fill]) -> Copied | None:
    ours = [fill.trade() for fill in order]
    at, quantity = min(trade.at for trade in ours), sum((trade.quantity for trade in ours), ZERO)
    known = [fill for fill in leader if (fill.coin, fill.side) == (order[0].coin, order[0].side)]
    before = [fill for fill in known if timedelta(0) <= at - fill.trade().at <= COPIES_WITHIN]
    if not before:
        return None
    newest = max(before, key=lambda fill: fill.time)
    trades = sorted((fill.trade() for fill in before if fill.oid == newest.oid), key=lambda trade: trade.at)
    act = trades_behind(trades=trades, change=sum((trade.quantity for trade in trades), ZERO))
    if act is None:
        return None
    parts = fill_measure(
        side_up=quantity > 0,
        own_price=act.price,
        decision_mark=act.price,
        price=sum((trade.price * trade.quantity for trade in ours), ZERO) / quantity,
        quantity=abs(quantity),
        fee=sum((fill.fee for fill in order), ZERO),
    )
    return Copied(lag_s=(at - act.until_at).total_seconds(), parts=parts)


def copy_run() -> list[dict[str, Any]]:
    """Return the lag and the adverse price of the recorded run."""
    copied = copied_orders()
    lags = [each.lag_s for each in copied]
    adverse = [float(each.adverse_bps) for each in copied]
    return [
        figure(
            name="copy_run_lag",
            value=median(lags),
            unit=f"s, p50 of {len(copied)} recorded orders",
            baseline=fmean(lags),
            goal="about 1.0",
            holds=0.9 <= median(lags) <= 1.1,
            digits=2,
        ),
        figure(
            name="copy_run_adverse",
            value=median(adverse),
            unit="bps, p50 of the same",
            baseline=fmean(adverse),
            goal="about 1",
            holds=0.5 <= median(adverse) <= 1.5,
            digits=2,
        ),
    ]


FIGURES: Final = {"copy_run": copy_run}
