"""The risk page: limits against use, breakers, reservations, concentration, and the guarded controls."""

from __future__ import annotations

from django.http import HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from dashboard.exit_watch import exit_watch_read
from dashboard.page import SignedInRequest, owner_page, page_render
from engine.risk_reading import risk_read
from engine.selectors import portfolio_reading, view_build


@owner_page
@never_cache
@require_safe
def risk_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """How much of every limit and breaker is used, what exits come up, and what can be done about it."""
    reading = portfolio_reading(portfolio=portfolio)
    return page_render(
        request,
        "dashboard/risk.html",
        nav="risk",
        portfolio=reading.portfolio,
        risk=risk_read(portfolio=portfolio, context=reading),
        exits=exit_watch_read(context=reading),
        world_speed=reading.world.speed if reading.world else 1,
        view=view_build(context=reading),
        modes=Portfolio.TradingMode.choices,
        live=True,
    )
