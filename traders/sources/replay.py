"""The source of recorded traders: what the record says they held at the world's time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from core.clock import WorldTime
from core.errors import InputError
from markets.recordings import recording_get
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, RecentPnl, TraderRead
from traders.recordings import recorded_trader_get
from traders.sources.base import SourceHistory


class ReplaySource:
    """Reads recorded traders; exact, free and deterministic."""

    max_batch = 1000
    authoritative = True
    networked = False

    async def read(
        self,
        keys: Sequence[str],
        *,
        clock: WorldTime,
        now: datetime,
        max_wait_s: float,
    ) -> list[ReadResult]:
        """Return each trader's state at the replay's time; a key that is in no record is a failure."""
        return [self._read_one(key, clock=clock, now=now) for key in keys]

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return the P&L of the last recorded day and since the start of the recording."""
        trader = recorded_trader_get(key=key)
        at, start_at = clock.at(now), recording_get(name=trader.world).start_at
        equity = trader.state_at(at).equity
        day_ago = trader.state_at(max(start_at, at - timedelta(days=1))).equity
        return SourceHistory(
            recent_pnl=(
                RecentPnl(label="Last 24 hours", amount=equity - day_ago),
                RecentPnl(
                    label="Since the start of the recording", amount=equity - trader.state_at(start_at).equity
                ),
            ),
            ever_traded=True,
        )

    async def close(self) -> None:
        """Nothing to give back."""

    def _read_one(self, key: str, *, clock: WorldTime, now: datetime) -> ReadResult:
        try:
            trader = recorded_trader_get(key=key)
        except InputError as error:
            return ReadResult(key=key, asked_at=now, failure=ReadFailure(FailureKind.FAILED, error.message))
        if trader.world != clock.world:
            reason = f"{trader.name} is recorded in {trader.world}, not in {clock.world}"
            return ReadResult(key=key, asked_at=now, failure=ReadFailure(FailureKind.FAILED, reason))
        world_at = clock.at(now)
        state = trader.state_at(world_at)
        read = TraderRead(equity=state.equity, positions=state.positions, world_at=world_at, run=clock.run)
        return ReadResult(key=key, asked_at=now, read=read)
