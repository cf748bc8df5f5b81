"""Telling those who run the server when a part of it is silent, or a venue lets nobody ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import redis

from alerts.domain.kinds import AlertKind
from alerts.models import Alert
from alerts.raising import alert_raise, alerts_end
from markets.budget_figures import BudgetFigure, budgets_read
from portfolio_site.celery import WORKERS_SEEN
from portfolio_site.probe import redis_probe

SILENT_AFTER: Final = timedelta(seconds=60)
FORGOTTEN_AFTER: Final = timedelta(days=1)
PAUSE_TOLD_S: Final = 10.0
_WORKER_KEY: Final = "worker:"


def platform_watch(*, now: datetime) -> None:
    """Look at workers and request budgets, and tell operators what is wrong and when it is over.

    :raises redis.RedisError: Redis does not answer
    """
    with redis_probe() as client:
        seen, budgets = workers_seen(client=client), budgets_read(client=client)
        forgotten = [name for name, at in seen.items() if at <= now - FORGOTTEN_AFTER]
        if forgotten:
            client.hdel(WORKERS_SEEN, *forgotten)
    silent = {f"{_WORKER_KEY}{name}": at for name, at in seen.items() if at <= now - SILENT_AFTER}
    for key in forgotten:
        silent.pop(f"{_WORKER_KEY}{key}", None)
    for key, at in sorted(silent.items()):
        alert_raise(
            kind=AlertKind.WORKERS,
            key=key,
            title=f"The worker {key.removeprefix(_WORKER_KEY)} is silent",
            body=f"Its main loop turned last at {at:%H:%M:%S} UTC.",
            at=now,
            standing=True,
        )
    told = Alert.objects.filter(open=True, standing=True, key__startswith=_WORKER_KEY)
    for key in sorted(set(told.values_list("key", flat=True)) - set(silent)):
        name = key.removeprefix(_WORKER_KEY)
        title = f"The worker {name} is alive again" if name in seen and name not in forgotten else ""
        alerts_end(key=key, title=title, at=now)
    _budgets(budgets, now)


def workers_seen(*, client: redis.Redis) -> dict[str, datetime]:
    """Return when each worker that has not ended in order was alive last.

    :raises redis.RedisError: Redis does not answer
    """
    rows: dict[bytes, bytes] = client.hgetall(WORKERS_SEEN)  # type: ignore[assignment]
    return {name.decode(): datetime.fromtimestamp(int(at), tz=UTC) for name, at in sorted(rows.items())}


def _budgets(budgets: Sequence[BudgetFigure], now: datetime) -> None:
    for one in budgets:
        if one.paused_s >= PAUSE_TOLD_S:
            title, body = f"{one.venue} lets nobody ask", f"It asked for a pause of {one.paused_s:.0f} s."
        elif one.used_ratio > 1:
            title, body = f"{one.venue}: the request budget is used up", "Requests have to wait."
        else:
            continue
        alert_raise(
            kind=AlertKind.BUDGET,
            key=f"budget:{one.venue}:{one.egress}",
            title=title,
            body=f"{body} Asked from {one.egress}.",
            at=now,
        )
