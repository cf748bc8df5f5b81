"""OPS-1: `/healthz` is cheap, `/readyz` names what is missing."""

from typing import Any

import pytest
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from markets.feed_state import KEY as FEED_KEY
from markets.feed_state import feed_state_write
from portfolio_site.celery import HEARTBEAT_KEY
from tests.feeding import feed_state_make
from tests.running import TestProcesses, http_status, wait_until


def test_healthz_asks_nobody(client: Client) -> None:
    """OPS-1: no database, no Redis: this test has neither."""
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_readyz_with_everything_there(client: Client, redis_client: Any) -> None:
    """OPS-1: all parts answer; the workers heard of are told."""
    redis_client.set(HEARTBEAT_KEY + "sync@here", "alive", ex=20)
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "ready",
        "failing": [],
        "parts": {"database": "ok", "migrations": "ok", "redis": "ok"},
        "workers": ["sync@here"],
        "feed": None,
        "exits": {"unwatched": list(range(8))},
    }


@pytest.mark.django_db
def test_readyz_tells_how_live_prices_do(client: Client, redis_client: Any) -> None:
    """OPS-1, MKT-1: socket, what it heard, what was refused, what waits; nobody is made unready by it."""
    state = feed_state_make(waiting=7)
    feed_state_write(client=redis_client, state=state)
    assert client.get("/readyz").json()["feed"] == {
        "at": "2026-03-02T12:00:00Z",
        "wanted": True,
        "socket_since": "2026-03-02T11:00:00Z",
        "socket_heard_at": "2026-03-02T12:00:00Z",
        "socket_lost": 2,
        "socket_why": "SocketLost: no prices for 31 s",
        "garbage": 0,
        "told": 1000,
        "refused": 3,
        "doubted": 1,
        "waiting": 7,
        "thinned": 0,
        "tape_entries": 900,
        "venues": [],
    }
    assert 0 < redis_client.ttl(FEED_KEY) <= 30


@pytest.mark.django_db
def test_readyz_without_redis(client: Client, settings: Any) -> None:
    """OPS-1: 503 with the part named, and no address in it."""
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["redis"]
    assert answer.json()["parts"]["redis"] == "no answer (ConnectionError)"


@pytest.mark.django_db
def test_readyz_before_a_migration(client: Client) -> None:
    """OPS-1: a new version waits for its tables."""
    MigrationRecorder.Migration.objects.filter(app="engine").delete()
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["failing"] == ["migrations"]
    assert answer.json()["parts"]["migrations"].endswith("not applied; run manage.py migrate")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_only_reading_is_allowed(client: Client, path: str) -> None:
    """OPS-1: these change nothing."""
    assert client.post(path).status_code == 405


@pytest.mark.slow
def test_worker_heartbeat_comes_and_goes(processes: TestProcesses, redis_client: Any) -> None:
    """OPS-1: a worker is told while it lives; ended in order, it is gone at once."""
    worker = processes.worker(name="beating", queues=("upkeep",))
    key = next(key for key in redis_client.scan_iter(f"{HEARTBEAT_KEY}beating@*"))
    assert 0 < redis_client.ttl(key) <= 20
    worker.stop_ask()
    wait_until(lambda: worker.exit_code() == 0, what="the worker ended in order")
    assert redis_client.exists(key) == 0


@pytest.mark.slow
def test_pool_child_dies_with_a_killed_worker(processes: TestProcesses) -> None:
    """BEY-6: SIGKILL of a worker leaves no child that goes on alone."""
    import psutil

    worker = processes.worker(name="killed", queues=("upkeep",))
    children = wait_until(lambda: psutil.Process(worker.pid).children(), what="the pool has a child")
    assert isinstance(children, list)
    worker.process.kill()
    gone, left = psutil.wait_procs(children, timeout=20)
    assert (len(gone), left) == (len(children), [])


@pytest.mark.slow
def test_web_survives_the_loss_of_its_database_connections(processes: TestProcesses) -> None:
    """OPS-3: PostgreSQL restarted under a running site: dead connections are replaced, not served."""
    base, _ = processes.web()
    assert [http_status(f"{base}/readyz") for _ in range(5)] == [200] * 5
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert cursor.fetchone()[0] >= 1
    assert [http_status(f"{base}/readyz") for _ in range(5)] == [200] * 5
