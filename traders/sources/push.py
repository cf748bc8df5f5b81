"""The source of agents that post their positions: what each posted last, while it keeps its promise."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from core.clock import WorldTime
from core.errors import RetryLater
from traders.domain.quarantine import CONFIRM_AFTER_S
from traders.domain.reads import FailureKind, ReadFailure, ReadResult, TraderRead
from traders.models import PushAgent, QuarantinedRead
from traders.payloads import read_load
from traders.sources.base import SourceHistory

LOOK_AGAIN_S: Final = float(CONFIRM_AFTER_S)


class PushSource:
    """Reads what agents posted; free. An agent can be wrong, so its reads are judged like a venue's."""

    max_batch = 1000
    authoritative = False
    networked = False

    def __init__(self) -> None:
        self._found: dict[str, TraderRead | ReadFailure] = {}

    def prepare(self, keys: Sequence[str], *, clock: WorldTime, now: datetime) -> None:
        """Fetch the last post of each agent."""
        agents = PushAgent.objects.filter(trader__key__in=keys, trader__world=clock.world)
        known = {agent.trader.key: agent for agent in agents.select_related("trader")}
        doubted = QuarantinedRead.objects.filter(
            trader__in=[agent.pk for agent in known.values()],
            confirmed_at__isnull=True,
            dismissed_at__isnull=True,
        )
        doubts = {quarantined.trader_id: quarantined for quarantined in doubted}
        for key in keys:
            agent = known.get(key)
            doubt = doubts.get(agent.pk) if agent else None
            self._found[key] = _look(agent, doubt, now=now)

    async def read(
        self, keys: Sequence[str], *, clock: WorldTime, now: datetime, max_wait_s: float
    ) -> list[ReadResult]:
        """Return equity and positions of each agent that was prepared."""
        return [_result(key, self._found[key], now) for key in keys]

    async def history(self, key: str, *, clock: WorldTime, now: datetime) -> SourceHistory:
        """Return that nothing is known from before it was followed.

        :raises RetryLater: it has posted nothing that counts
        """
        found = self._found[key]
        if isinstance(found, ReadFailure):
            raise RetryLater(found.reason)
        return SourceHistory(recent_pnl=(), ever_traded=True)

    async def close(self) -> None:
        """Nothing to give back."""


def _result(key: str, found: TraderRead | ReadFailure, now: datetime) -> ReadResult:
    if isinstance(found, ReadFailure):
        return ReadResult(key=key, asked_at=now, failure=found)
    return ReadResult(key=key, asked_at=now, read=found)


def _look(
    agent: PushAgent | None, doubt: QuarantinedRead | None, *, now: datetime
) -> TraderRead | ReadFailure:
    """Return the last post; a failure where there is none, it is too old, or it waits to be confirmed."""
    if agent is None or agent.revoked_at is not None:
        return ReadFailure(FailureKind.FAILED, "the agent was revoked")
    if agent.payload is None or agent.posted_at is None:
        return ReadFailure(FailureKind.FAILED, "the agent has not posted anything yet")
    silent_s = (now - agent.posted_at).total_seconds()
    if silent_s > agent.interval_s:
        return ReadFailure(
            FailureKind.FAILED,
            f"the agent posted nothing for {silent_s:.0f} s; it promises to post every {agent.interval_s} s",
            retry_after_s=LOOK_AGAIN_S,
        )
    read = read_load(agent.payload)
    if doubt is not None and read_load(doubt.payload).world_at == read.world_at:
        # The same post cannot confirm itself: a second one must say the same (SYN-5).
        return ReadFailure(
            FailureKind.DEFERRED, "waits for the agent's next post", retry_after_s=LOOK_AGAIN_S
        )
    return read
