"""Shared by the tests of observing: a fixed wall time, and read loops closed after each test."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.replaying import StillClock
from traders.reading import read_loop_close


@pytest.fixture
def now() -> datetime:
    """A fixed wall time."""
    return datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _loops_closed() -> Iterator[None]:
    yield
    read_loop_close()


@pytest.fixture
def still(now: datetime) -> StillClock:
    """A clock that does not run during a sync."""
    return StillClock(now)
