"""Celery's doors to the alerts. Each task is thin and safe to run twice."""

from __future__ import annotations

from celery import shared_task

from alerts.delivering import deliveries_work
from core.clock import SYSTEM_CLOCK


@shared_task(name="alerts.deliver")
def alerts_deliver() -> None:
    """Send what people are to be told; what waits is found again by the next of these."""
    deliveries_work(clock=SYSTEM_CLOCK)
