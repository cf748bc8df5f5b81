"""The conflicts: who wants what, what each rule makes of it, and what waits for the owner."""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from core.errors import NotFound
from dashboard.conflicts import conflict_read
from dashboard.page import SignedInRequest, owner_page, page_render
from engine.conflict_story import queue_read
from engine.selectors import portfolio_view


@owner_page
@never_cache
@require_safe
def conflicts_page(request: SignedInRequest, portfolio: Portfolio, underlying: str = "") -> HttpResponse:
    """The queue, and one instrument's conflict; with none named, go to the most pressing.

    The address names it, so that the page never turns to another one under somebody's hand.
    """
    queue = queue_read(portfolio=portfolio)
    if not underlying and queue.first:
        return redirect("dashboard:conflict", portfolio.pk, queue.first)
    try:
        story = conflict_read(portfolio=portfolio, underlying=underlying) if underlying else None
    except NotFound as error:
        raise Http404(error.message) from None
    return page_render(
        request,
        "dashboard/conflicts.html",
        nav="conflicts",
        portfolio=portfolio,
        queue=queue,
        story=story,
        view=portfolio_view(portfolio=portfolio),
        live=True,
    )
