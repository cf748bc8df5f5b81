"""A worker that starts settles what the last one left, before beat ever comes round (EXE-6)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core.clock import utc_now
from engine.models import CycleState
from execution.orders import order_claim_submit, order_request
from execution.venues.paper import PaperVenue
from tests.integration.money.desk import desk_open
from tests.running import TestProcesses, wait_until


@pytest.mark.slow
def test_a_start_is_a_recovery(processes: TestProcesses) -> None:
    """EXE-6: sent by a worker that died; the next one to start learns from the venue that it works there."""
    desk = desk_open()
    desk.now = utc_now() - timedelta(seconds=30)
    CycleState.objects.create(portfolio=desk.portfolio)
    order = desk.order("BUY", "0.01", "100100", lifetime_s=600)
    assert order_claim_submit(order_id=order.pk, now=desk.now)
    order.refresh_from_db()
    PaperVenue().order_submit(request=order_request(order=order), now=desk.now)
    processes.worker(queues=("upkeep",))
    wait_until(
        lambda: CycleState.objects.filter(reconciled_at__gte=desk.now).exists(), timeout_s=30, what="recovery"
    )
    order.refresh_from_db()
    assert order.status == "submitted"
