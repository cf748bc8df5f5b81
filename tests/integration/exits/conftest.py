"""A scene with one desk."""

from __future__ import annotations

import pytest
import redis

from engine.exits import leases
from engine.exits.leases import shards_ensure
from tests.integration.exits.scene import Scene, scene_open


@pytest.fixture(autouse=True)
def _leases_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no lease run out because this machine is busy: in these tests it is we who let it."""
    monkeypatch.setattr(leases, "TTL_S", 600.0)


@pytest.fixture
def scene(transactional_db: None, redis_client: redis.Redis) -> Scene:
    """One desk, its prices on the tape, and a watch that has not looked yet."""
    shards_ensure()
    return scene_open(client=redis_client)
