"""`/healthz`: the process answers. `/readyz`: everything it needs answers too, and each part is named."""

from collections.abc import Callable
from typing import Any

import msgspec
import redis
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from engine.exits.leases import shards_unwatched
from markets.feed_state import feed_state_read
from portfolio_site.celery import HEARTBEAT_KEY
from portfolio_site.probe import redis_probe


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Say that this process serves requests; touches nothing else."""
    return JsonResponse({"status": "ok"})


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Try database, migrations and Redis; 503 with the failing parts named. Workers and feed are told, not
    required: pages work while one restarts."""
    parts = {
        "database": _tried(_database_answer, DatabaseError),
        "migrations": _tried(_migrations_applied, DatabaseError),
        "redis": _tried(_redis_answer, redis.RedisError),
    }
    failing = sorted(name for name, problem in parts.items() if problem)
    body = {
        "status": "unready" if failing else "ready",
        "failing": failing,
        "parts": {name: problem or "ok" for name, problem in parts.items()},
        "workers": [] if parts["redis"] else workers_alive(),
        "feed": None if parts["redis"] else _feed_told(),
        "exits": None if parts["database"] or parts["migrations"] else {"unwatched": shards_unwatched()},
    }
    return JsonResponse(body, status=503 if failing else 200)


def workers_alive() -> list[str]:
    """Return the names of the Celery workers whose main loop turned within the last seconds.

    :raises redis.RedisError: Redis does not answer
    """
    with redis_probe() as client:
        keys = client.scan_iter(match=f"{HEARTBEAT_KEY}*", count=1000)
        return sorted(key.decode().removeprefix(HEARTBEAT_KEY) for key in keys)


def _feed_told() -> dict[str, Any] | None:
    """Return how live prices do, None where no feed has run for half a minute."""
    with redis_probe() as client:
        state = feed_state_read(client=client)
    return None if state is None else msgspec.to_builtins(state)


def _tried(part: Callable[[], str], failure: type[Exception]) -> str:
    """Return an empty string when the part is fine, else a sentence without addresses or passwords in it."""
    try:
        return part()
    except failure as error:
        return f"no answer ({type(error).__name__})"


def _database_answer() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return ""


def _migrations_applied() -> str:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return f"{len(missing)} not applied; run manage.py migrate" if missing else ""


def _redis_answer() -> str:
    with redis_probe() as client:
        client.ping()
    return ""
