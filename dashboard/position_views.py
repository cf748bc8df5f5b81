"""The page of one position: its chart, what closes it, its orders, whose it is."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import Http404, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from core.clock import utc_now
from core.errors import NotFound
from dashboard.page import SignedInRequest, owner_page, page_render
from engine.position_story import candles_read, position_read
from engine.selectors import portfolio_view


@owner_page
@never_cache
@require_safe
def position_page(request: SignedInRequest, portfolio: Portfolio, position_id: int) -> HttpResponse:
    """One position, open or closed: every fill on its chart, every exit and order."""
    try:
        story = position_read(portfolio=portfolio, position_id=position_id)
    except NotFound as error:
        raise Http404(error.message) from None
    view = portfolio_view(portfolio=portfolio)
    return page_render(
        request,
        "dashboard/position.html",
        nav="portfolio",
        portfolio=portfolio,
        story=story,
        position=story.position,
        shown=view["positions"].get(str(position_id)),
        view=view,
        live=True,
    )


@owner_page
@never_cache
@require_safe
def position_candles(request: SignedInRequest, portfolio: Portfolio, position_id: int) -> JsonResponse:
    """The candles and fills of a position; ``?since=`` (Unix seconds, world time) leaves out older ones."""
    try:
        since = datetime.fromtimestamp(int(request.GET["since"]), tz=UTC) if "since" in request.GET else None
    except (ValueError, OverflowError, OSError):
        return JsonResponse({"detail": "since is a number of seconds since 1970."}, status=400)
    try:
        answer = candles_read(portfolio=portfolio, position_id=position_id, now=utc_now(), since=since)
    except NotFound as error:
        raise Http404(error.message) from None
    return JsonResponse(answer)
