"""Celery's door to watching the platform itself."""

from __future__ import annotations

from celery import shared_task

from core.clock import utc_now
from portfolio_site.watching import platform_watch


@shared_task(name="alerts.platform")
def alerts_platform() -> None:
    """Tell operators of silent workers and of budgets that are used up."""
    platform_watch(now=utc_now())
