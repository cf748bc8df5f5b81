"""The only place that reads the clock, and the arithmetic between wall time and a world's time.

Everything else takes ``now`` as an argument, or a ``Clock`` where it has to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from time import monotonic
from typing import Protocol


class Clock(Protocol):
    """Tells the time: aware UTC wall time, and seconds that never run backwards."""

    def now(self) -> datetime:
        """Return the current UTC time."""
        ...

    def monotonic_s(self) -> float:
        """Return seconds on a clock that only runs forward."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current UTC time."""
        return datetime.now(tz=UTC)

    def monotonic_s(self) -> float:
        """Return seconds on a clock that only runs forward."""
        return monotonic()


SYSTEM_CLOCK = SystemClock()


def utc_now() -> datetime:
    """Return the current UTC wall time; for entry points only (tasks, views, commands, model defaults)."""
    return SYSTEM_CLOCK.now()


@dataclass(frozen=True, slots=True)
class WorldTime:
    """How one market world's time runs against wall time.

    The live world has speed 1 and no end. A replay maps the wall moment ``anchored_at`` to the
    recorded moment ``world_anchor_at`` and runs ``speed`` times as fast until ``world_end_at``,
    where it stands still until its next run.
    """

    world: str
    run: int
    anchored_at: datetime
    world_anchor_at: datetime
    speed: Decimal = Decimal(1)
    world_end_at: datetime | None = None

    def at(self, now: datetime) -> datetime:
        """Return the world's time at wall time ``now``, never past its end."""
        elapsed_us = Decimal((now - self.anchored_at) // timedelta(microseconds=1))
        world_at = self.world_anchor_at + timedelta(microseconds=int(elapsed_us * self.speed))
        return world_at if self.world_end_at is None else min(world_at, self.world_end_at)

    def ended(self, now: datetime) -> bool:
        """Tell whether a replay has reached the end of its recording."""
        return self.world_end_at is not None and self.at(now) >= self.world_end_at

    def wall_delay_s(self, world_at: datetime, now: datetime) -> float:
        """Return the wall seconds from ``now`` until the world reaches ``world_at`` (negative when past)."""
        return (world_at - self.at(now)).total_seconds() / float(self.speed)
