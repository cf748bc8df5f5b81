"""OPS-3: the test run itself stands on real PostgreSQL and Redis."""

import socket

import pytest
import redis
from django.db import connection

from tests.running import TestProcesses, http_status


@pytest.mark.django_db
def test_database_is_postgresql_18() -> None:
    """OPS-3: the embedded server is the one the documentation names."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        assert cursor.fetchone()[0].startswith("18")


def test_redis_starts_empty(redis_client: redis.Redis) -> None:
    """OPS-3: each test has an empty Redis database of its own."""
    assert redis_client.dbsize() == 0
    redis_client.set("left behind", "by this test")


def test_redis_starts_empty_again(redis_client: redis.Redis) -> None:
    """OPS-3: whatever order the two run in, neither sees the other's keys."""
    assert redis_client.dbsize() == 0
    redis_client.set("left behind", "by that test")


def test_network_is_closed_beyond_loopback() -> None:
    """House habit 15: a test cannot reach the world."""
    with socket.socket() as attempt, pytest.raises(AssertionError, match="only loopback"):
        attempt.connect(("192.0.2.1", 80))


def test_worker_and_web_run_on_the_test_database(processes: TestProcesses) -> None:
    """OPS-1: a real server is ready beside a real worker, and both end by their ids."""
    base, web = processes.web()
    worker = processes.worker(name="probe", queues=("upkeep",))
    assert http_status(f"{base}/readyz") == 200
    assert http_status(f"{base}/healthz") == 200
    worker.kill()
    web.kill()
    assert http_status(f"{base}/healthz") == 0
    assert worker.exit_code() == -9
