"""The portfolio page, its history, and opening a portfolio."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import Portfolio
from accounts.selectors import portfolios_of
from core.clock import utc_now
from core.errors import InputError
from dashboard.forms import PortfolioForm
from dashboard.page import SignedInRequest, form_already_done, form_done, form_refuse, owner_page, page_render
from engine.copy_preview import catalog_read
from engine.history import equity_history
from engine.portfolios import portfolio_open
from engine.selectors import portfolio_view


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
    """Open a portfolio with paper cash."""
    form = PortfolioForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        if done := form_already_done(request, token=form.once):
            return redirect(done)
        wanted = {name: value for name, value in form.cleaned_data.items() if name != "token"}
        cash = settings.INITIAL_PORTFOLIO_VALUE
        try:
            portfolio = portfolio_open(owner=request.user, initial_cash=cash, now=utc_now(), **wanted)
        except InputError as error:
            form_refuse(form, error)
        else:
            url = reverse("dashboard:portfolio", args=[portfolio.pk])
            form_done(request, token=form.once, url=url)
            return redirect(url)
    first = not portfolios_of(user=request.user).exists()
    context: dict[str, Any] = {
        "form": form,
        "first": first,
        "start_cash": settings.INITIAL_PORTFOLIO_VALUE,
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
    view = portfolio_view(portfolio=portfolio)
    return page_render(
        request, "dashboard/portfolio.html", nav="portfolio", portfolio=portfolio, view=view, live=True
    )


@owner_page
@never_cache
@require_safe
def portfolio_equity(request: SignedInRequest, portfolio: Portfolio) -> JsonResponse:
    """The equity curves of the portfolio and its traders."""
    return JsonResponse(equity_history(portfolio=portfolio))


def steps_of(portfolio: Portfolio | None) -> dict[str, Any]:
    """The checklist of a first run: what is done, what is next."""
    add = reverse("dashboard:trader_add", args=[portfolio.pk]) if portfolio else ""
    steps: list[dict[str, Any]] = [
        {
            "title": "Open a portfolio",
            "text": "Paper money, a policy and limits. All of it can be changed later.",
            "done": portfolio is not None,
        },
        {
            "title": "Follow a first trader",
            "text": "It fixes the market world this portfolio lives in: recorded prices, or live ones.",
            "done": False,
            "url": add,
            "action": "Add trader",
        },
        {
            "title": "Follow a second one",
            "text": "From two on capital is split, and conflicts between traders are settled by your rule.",
            "done": False,
        },
    ]
    following = next(step for step in steps if not step["done"])
    following["now"] = True
    return {"all": steps, "done": sum(step["done"] for step in steps)}
