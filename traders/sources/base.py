"""What every kind of trader source offers, and where to find the source of a kind.

A source knows how to look at traders and nothing else: no database, no schedule. The one exception, a trader
whose book is kept here, fetches it in ``prepare``, before the event loop runs. Adding a kind means adding a
file here, a line to ``SOURCES`` and a value to ``core.types.TraderKind``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, runtime_checkable

from django.utils.module_loading import import_string

from core.clock import WorldTime
from core.errors import EnsembleError, RateLimited
from core.types import TraderKind
from markets.budget import BudgetExhausted
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, RecentPnl


@dataclass(frozen=True, slots=True)
class SourceHistory:
    """What a source knows of the past: recent P&L, and whether this trader ever held anything."""

    recent_pnl: tuple[RecentPnl, ...]
    ever_traded: bool


class TraderSource(Protocol):
    """Reads traders of one kind. Belongs to the event loop it was first used in.

    ``max_batch``: how many keys one call of ``read`` should get.
    ``authoritative``: its states are an exact record, so a sudden closing is believed at once.
    ``networked``: a read costs a request, so the 10 s cache stands in front (SYN-2).
    """

    max_batch: int
    authoritative: bool
    networked: bool

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Read several traders at wall time ``now``; one result per key, failures as values.

        :param max_wait_s: longest wait for room in a venue's budget
        """
        ...

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return what is known of a trader's past.

        :raises RetryLater: no usable answer
        """
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


@runtime_checkable
class PreparedSource(Protocol):
    """A source that reads our own database, which no event loop may; its ``read`` uses what was fetched."""

    def prepare(self, keys: Sequence[str], *, clock: WorldTime, now: datetime) -> None:
        """Fetch what the next ``read`` and ``history`` of these keys need; failures are kept for them."""
        ...


@runtime_checkable
class GroupedSource(Protocol):
    """A source that reads from several places; one call of ``read`` gets keys of one place only."""

    def group(self, key: str) -> str:
        """Return the place that a key is read from."""
        ...


def read_failure(error: EnsembleError) -> ReadFailure:
    """Return an error of a read as a value: what to do next, why, and the pause that was asked for."""
    if isinstance(error, BudgetExhausted):
        return ReadFailure(FailureKind.DEFERRED, str(error), error.retry_after_s)
    if isinstance(error, RateLimited):
        return ReadFailure(FailureKind.RATE_LIMITED, str(error), error.retry_after_s)
    return ReadFailure(FailureKind.FAILED, str(error))


# Heavy libraries stand behind some of these, so a module is imported when its kind is first read.
SOURCES: Final = {
    TraderKind.HYPERLIQUID: "traders.sources.hyperliquid.HyperliquidSource",
    TraderKind.REPLAY: "traders.sources.replay.ReplaySource",
    TraderKind.STRATEGY: "traders.sources.strategy.StrategySource",
    TraderKind.EVM: "traders.sources.evm.EvmSource",
    TraderKind.EXCHANGE: "traders.sources.exchange.ExchangeSource",
    TraderKind.PUSH: "traders.sources.push.PushSource",
}


def source_make(*, kind: TraderKind) -> TraderSource:
    """Return a new source of a kind.

    :raises LookupError: this server has none
    """
    if kind not in SOURCES:
        msg = f"this server has no source of kind {kind.value!r}"
        raise LookupError(msg)
    source: TraderSource = import_string(SOURCES[kind])()
    return source
