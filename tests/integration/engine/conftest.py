"""A replay of the four AI traders under the test's control."""

from __future__ import annotations

import pytest

from markets.recordings import ALPHA_ARENA
from tests.replaying import ReplayDriver


@pytest.fixture
def arena(db: None) -> ReplayDriver:
    """The Alpha Arena world at its first moment, 17 Oct 2025 22:00 UTC."""
    return ReplayDriver(ALPHA_ARENA).start()
