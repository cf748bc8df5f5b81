"""The portfolio page, its history, and opening a portfolio."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Portfolio
from accounts.selectors import portfolios_of
from allocation.follows import follows_current
from core.clock import utc_now
from core.errors import InputError
from dashboard.forms import PortfolioForm
from dashboard.independence import independence_shown
from dashboard.page import SignedInRequest, form_already_done, form_done, form_refuse, owner_page, page_render
from engine.copy_preview import catalog_read
from engine.history import equity_history
from engine.portfolios import portfolio_open, portfolio_unstarted
from engine.selectors import portfolio_view

TRADERS_TO_START: Final = 2


@login_required
@require_safe
def home(request: SignedInRequest) -> HttpResponse:
    """Go to the portfolio looked at last, or to the first step of the checklist."""
    own = list(portfolios_of(user=request.user))
    if not own:
        return redirect("dashboard:portfolio_new")
    last = next((portfolio for portfolio in own if portfolio.pk == request.user.last_portfolio_id), own[0])
    return redirect("dashboard:portfolio", last.pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def portfolio_new(request: SignedInRequest) -> HttpResponse:
    """Open a portfolio with paper cash. A person's first one orders nothing before they start it."""
    form = PortfolioForm(request.POST or None, initial={"cash": settings.INITIAL_PORTFOLIO_VALUE})
    first = not portfolios_of(user=request.user).exists()
    if request.method == "POST" and form.is_valid():
        if done := form_already_done(request, token=form.once):
            return redirect(done)
        wanted = {name: value for name, value in form.cleaned_data.items() if name not in {"token", "cash"}}
        cash = form.cleaned_data["cash"] or settings.INITIAL_PORTFOLIO_VALUE
        try:
            portfolio = portfolio_open(
                owner=request.user, initial_cash=cash, now=utc_now(), dry_run=first, **wanted
            )
        except InputError as error:
            form_refuse(form, error)
        else:
            url = reverse("dashboard:portfolio", args=[portfolio.pk])
            form_done(request, token=form.once, url=url)
            return redirect(url)
    context: dict[str, Any] = {
        "form": form,
        "first": first,
        "steps": steps_of(None),
    }
    status = 400 if form.errors else 200
    return page_render(
        request, "dashboard/portfolio_new.html", nav="", portfolio=None, status=status, **context
    )


@owner_page
@never_cache
@require_safe
def portfolio_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """The portfolio, live; before its first follow the checklist."""
    if not portfolio.world:
        context: dict[str, Any] = {
            "steps": steps_of(portfolio),
            "catalog": catalog_read(portfolio=portfolio, chosen=""),
        }
        return page_render(
            request, "dashboard/portfolio_start.html", nav="portfolio", portfolio=portfolio, **context
        )
    return page_render(
        request,
        "dashboard/portfolio.html",
        nav="portfolio",
        portfolio=portfolio,
        view=portfolio_view(portfolio=portfolio),
        steps=steps_of(portfolio) if portfolio_unstarted(portfolio=portfolio) else None,
        live=True,
        **independence_shown(portfolio=portfolio),
    )


@owner_page
@never_cache
@require_safe
def portfolio_equity(request: SignedInRequest, portfolio: Portfolio) -> JsonResponse:
    """The equity curves of the portfolio and its traders."""
    return JsonResponse(equity_history(portfolio=portfolio))


def steps_of(portfolio: Portfolio | None) -> dict[str, Any]:
    """The checklist of a first run: what is done, what is next and what takes a person there."""
    followed = len(follows_current(portfolio_id=portfolio.pk)) if portfolio else 0
    add = reverse("dashboard:trader_add", args=[portfolio.pk]) if portfolio else ""
    ready = followed >= TRADERS_TO_START
    steps: list[dict[str, Any]] = [
        {
            "title": _("Name it and choose its paper money"),
            "text": _("Nothing here is real money."),
            "done": portfolio is not None,
        },
        {
            "title": _("Choose policy, limits and rule"),
            "text": _(
                "The rule settles what happens when two traders want the same. All of it can be changed."
            ),
            "done": portfolio is not None,
        },
        {
            "title": _("Add two traders"),
            "text": _(
                "Of your choice, or three recorded ones of the demo. The first fixes the market world."
            ),
            "done": ready,
            "url": add,
            "action": _("Add trader"),
            "demo": bool(portfolio) and not followed,
        },
        {
            "title": _("Look at the preview"),
            "text": _("Activity says what would be ordered now, and why. Nothing is ordered yet."),
            "done": False,
            "url": "#activity-title" if ready else "",
            "action": _("See activity"),
        },
        {
            "title": _("Start"),
            "text": _("From then on orders are placed, beginning with what the traders want then."),
            "done": False,
            "start": ready,
        },
    ]
    next(step for step in steps if not step["done"])["now"] = True
    return {"all": steps, "done": sum(step["done"] for step in steps)}
