"""Orders with their filters and details, closed positions, the ledger."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from core.errors import NotFound
from dashboard.forms import OrderFilterForm
from dashboard.page import SignedInRequest, owner_page, page_addresses, page_render
from engine.selectors import portfolio_view
from engine.trade_history import closed_read, ledger_read, order_read, orders_read


@owner_page
@never_cache
@require_safe
def orders_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """The orders, newest first; what makes no sense in a filter is said there and filters nothing."""
    form = OrderFilterForm(request.GET, portfolio=portfolio)
    found = orders_read(portfolio=portfolio, wanted=form.wanted, page=request.GET.get("page"))
    return _history(
        request,
        portfolio,
        part="orders",
        form=form,
        orders=found,
        view=portfolio_view(portfolio=portfolio),
        live=True,
        **page_addresses(request, found.page),
    )


@owner_page
@never_cache
@require_safe
def order_page(request: SignedInRequest, portfolio: Portfolio, order_id: int) -> HttpResponse:
    """One order: every change of state, every fill, for whom, and why."""
    try:
        story = order_read(portfolio=portfolio, order_id=order_id)
    except NotFound as error:
        raise Http404(error.message) from None
    return page_render(
        request,
        "dashboard/order.html",
        nav="orders",
        portfolio=portfolio,
        story=story,
        order=story.order,
        view=portfolio_view(portfolio=portfolio),
        live=True,
    )


@owner_page
@never_cache
@require_safe
def closed_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """The closed positions with their results."""
    found = closed_read(portfolio=portfolio, page=request.GET.get("page"))
    return _history(request, portfolio, part="closed", closed=found, **page_addresses(request, found.page))


@owner_page
@never_cache
@require_safe
def ledger_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Every booking of cash."""
    page = ledger_read(portfolio=portfolio, page=request.GET.get("page"))
    return _history(request, portfolio, part="ledger", entries=page, **page_addresses(request, page))


def _history(request: SignedInRequest, portfolio: Portfolio, *, part: str, **context: Any) -> HttpResponse:
    return page_render(
        request, f"dashboard/history_{part}.html", nav="orders", portfolio=portfolio, part=part, **context
    )
