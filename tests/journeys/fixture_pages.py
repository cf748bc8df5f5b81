"""Which template with which context stands at which address of the fixture server; also its URL names."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from accounts.models import Portfolio


def _nothing(request: HttpRequest, **_: Any) -> HttpResponse:
    return HttpResponse()


NAMES = {
    "home": "",
    "portfolio_new": "portfolios/new/",
    "portfolio": "portfolios/<int:portfolio_id>/",
    "portfolio_equity": "portfolios/<int:portfolio_id>/equity.json",
    "traders": "portfolios/<int:portfolio_id>/traders/",
    "trader_add": "portfolios/<int:portfolio_id>/traders/add/",
    "money": "portfolios/<int:portfolio_id>/money/",
    "settings": "portfolios/<int:portfolio_id>/settings/",
    "follow_pause": "portfolios/<int:portfolio_id>/traders/<int:follow_id>/pause/",
    "follow_resume": "portfolios/<int:portfolio_id>/traders/<int:follow_id>/resume/",
    "follow_remove": "portfolios/<int:portfolio_id>/traders/<int:follow_id>/remove/",
    "follow_move": "portfolios/<int:portfolio_id>/traders/<int:follow_id>/move/",
}
_dashboard = ([path(address, _nothing, name=name) for name, address in NAMES.items()], "dashboard")
urlpatterns = [path("accounts/", include("allauth.account.urls")), path("", include(_dashboard))]


def page_context(address: str, view: dict[str, Any], portfolio: Portfolio) -> tuple[str, dict[str, Any]]:
    """Return template and context of the page at an address."""
    live = {"view": view, "live": True}
    if address.endswith("/traders/"):
        return "dashboard/traders.html", {**live, "nav": "traders"}
    if address == "/missing/":
        return "404.html", {}
    return "dashboard/portfolio.html", {**live, "nav": "portfolio"}
