"""A scene with one desk."""

from __future__ import annotations

import pytest
import redis

from engine.exits.leases import shards_ensure
from tests.integration.exits.scene import Scene, scene_open


@pytest.fixture
def scene(transactional_db: None, redis_client: redis.Redis) -> Scene:
    """One desk, its prices on the tape, and a watch that has not looked yet."""
    shards_ensure()
    return scene_open(client=redis_client)
