"""One followed trader: its equity, what it holds and we copy, and every change with what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.http import Http404, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import Portfolio
from core.clock import utc_now
from core.errors import NotFound
from dashboard.page import SignedInRequest, owner_page, page_addresses, page_render
from engine.domain.plan_types import DecisionKind
from engine.selectors import portfolio_view
from engine.trader_story import trader_story

KINDS: Final = (
    ("", _("All")),
    (DecisionKind.COPIED.value, _("Copied")),
    (DecisionKind.MERGED.value, _("Merged")),
    (DecisionKind.CAPPED.value, _("Capped")),
    (DecisionKind.DELAYED.value, _("Delayed")),
    (DecisionKind.REFUSED.value, _("Refused")),
    (DecisionKind.HELD.value, _("Left alone")),
)
WIDTH: Final = 600
HEIGHT: Final = 120


@owner_page
@never_cache
@require_safe
def trader_page(request: SignedInRequest, portfolio: Portfolio, follow_id: int) -> HttpResponse:
    """One trader, kept fresh; a kind of decision that there is not shows all."""
    known = {str(kind) for kind, _label in KINDS}
    kind = request.GET.get("kind", "")
    kind = kind if kind in known else ""
    try:
        story = trader_story(
            portfolio=portfolio, follow_id=follow_id, page=request.GET.get("page"), kind=kind, now=utc_now()
        )
    except NotFound as error:
        raise Http404(error.message) from None
    view = portfolio_view(portfolio=portfolio)
    context: dict[str, Any] = {
        "story": story,
        "follow": story.follow,
        "trader": story.follow.trader,
        "card": view["traders"].get(str(follow_id)),
        "line": curve_line(points=story.curve),
        "kinds": KINDS,
        "kind": kind,
        "view": view,
        "live": True,
    }
    context |= page_addresses(request, story.page)
    return page_render(request, "dashboard/trader.html", nav="traders", portfolio=portfolio, **context)


def curve_line(*, points: Sequence[tuple[datetime, Decimal]]) -> str:
    """Return an equity curve as the points of a polyline, 600 wide and 120 high; empty with less than two."""
    if len(points) < 2:
        return ""
    first, last = points[0][0], points[-1][0]
    span = (last - first).total_seconds() or 1
    low, high = min(value for _at, value in points), max(value for _at, value in points)
    height = float(high - low) or 1
    return " ".join(
        f"{(at - first).total_seconds() / span * WIDTH:.1f},{HEIGHT * (1 - float(value - low) / height):.1f}"
        for at, value in points
    )
