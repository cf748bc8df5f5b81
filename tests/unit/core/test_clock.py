"""World time against wall time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from core.clock import WorldTime

WALL = datetime(2026, 1, 1, tzinfo=UTC)
START = datetime(2025, 10, 17, 22, tzinfo=UTC)
END = START + timedelta(days=10)


def replay(speed: str = "600") -> WorldTime:
    return WorldTime(
        world="replay:x",
        run=1,
        anchored_at=WALL,
        world_anchor_at=START,
        speed=Decimal(speed),
        world_end_at=END,
    )


def test_a_replay_runs_six_hundred_times_as_fast() -> None:
    assert replay().at(WALL + timedelta(seconds=1)) == START + timedelta(minutes=10)


def test_a_replay_stands_still_at_its_end() -> None:
    late = WALL + timedelta(days=1)
    assert replay().at(late) == END
    assert replay().ended(late)
    assert not replay().ended(WALL + timedelta(seconds=1439))


def test_the_live_world_is_the_wall_clock() -> None:
    live = WorldTime(world="live", run=1, anchored_at=WALL, world_anchor_at=WALL)
    now = WALL + timedelta(days=400, microseconds=7)
    assert live.at(now) == now
    assert not live.ended(now)


def test_the_wait_for_a_moment_is_in_wall_seconds() -> None:
    assert replay().wall_delay_s(START + timedelta(minutes=20), WALL) == 2.0
    assert replay().wall_delay_s(START, WALL + timedelta(seconds=3)) == -3.0
