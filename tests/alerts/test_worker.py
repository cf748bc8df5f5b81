"""OPS-1 on a real worker: one that is killed while it sends costs no alert, and none is told twice as new."""

from __future__ import annotations

from datetime import timedelta

import pytest
from celery import current_app

from accounts.models import User
from alerts.delivering import CLAIM_S
from alerts.models import AlertChannel, AlertDelivery
from alerts.raising import alert_raise
from core.clock import utc_now
from tests.alerts.conftest import WEBHOOK_SECRET, channel_make
from tests.api.making import portfolio_make
from tests.loopback.messengers import Messengers
from tests.running import TestProcesses, wait_until

pytestmark = pytest.mark.slow


def _delivered() -> bool:
    current_app.send_task("alerts.deliver", expires=5)
    return AlertDelivery.objects.get().status == "sent"


def test_a_killed_sender_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, messengers: Messengers, processes: TestProcesses, alice: User
) -> None:
    """The message whose answer it waited for goes out again, with the same id; then never more."""
    monkeypatch.setenv("ALERTS_ALLOW_PRIVATE", "true")
    fields = {"url": f"{messengers.url}/hook", "secret": WEBHOOK_SECRET}
    channel = channel_make(owner=alice, service="webhook", fields=fields)
    AlertChannel.objects.update(next_at=utc_now())
    portfolio = portfolio_make(owner=alice)
    alert_raise(kind="breaker", key="a", title="Drawdown", portfolio_id=portfolio.pk, at=utc_now())
    messengers.hold.clear()
    first = processes.worker(name="first", queues=("alerts",))
    current_app.send_task("alerts.deliver")
    wait_until(lambda: messengers.received, what="the first request")
    first.kill()
    channel.refresh_from_db()
    assert channel.claimed_at is not None
    assert AlertDelivery.objects.get().status == "waiting"
    messengers.hold.set()
    AlertChannel.objects.update(claimed_at=utc_now() - timedelta(seconds=CLAIM_S))  # a minute goes by
    processes.worker(name="second", queues=("alerts",))
    wait_until(_delivered, what="the second request")
    for _ in range(3):
        assert _delivered()
    ids = [one.headers["x-ensemble-delivery"] for one in messengers.received]
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert AlertDelivery.objects.get().attempts == 2
