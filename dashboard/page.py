"""What every page needs: the portfolio through its owner, the frame, refusals shown beside their field."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from hashlib import sha256
from typing import Any, Concatenate, Final, ParamSpec

from django import forms
from django.contrib.auth.decorators import login_required
from django.core import paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.template.context import make_context
from django.template.loader import get_template, render_to_string
from django.template.loader_tags import ExtendsNode
from django.utils.cache import patch_vary_headers

from accounts.models import Portfolio, User
from accounts.selectors import portfolio_get, portfolios_of
from alerts.selectors import alerts_unread
from core.errors import InputError, NotFound
from engine.conflict_story import waiting_count
from engine.live.accounts import live_get
from engine.live.status import live_badge

P = ParamSpec("P")
REMEMBERED_FORMS: Final = 20
REGIONS_HEADER: Final = "X-Regions"
_SESSION_KEY: Final = "forms_done"


class SignedInRequest(HttpRequest):
    """A request that passed `login_required`."""

    user: User


Page = Callable[Concatenate[SignedInRequest, Portfolio, P], HttpResponse]


def owner_page(page: Page[P]) -> Callable[Concatenate[HttpRequest, int, P], HttpResponse]:
    """Give a page the signed-in person's own portfolio; anything else is "not found", existing or not."""

    @login_required
    @wraps(page)
    def guarded(request: HttpRequest, portfolio_id: int, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        try:
            portfolio = portfolio_get(user=request.user, portfolio_id=portfolio_id)
        except NotFound as error:
            raise Http404(error.message) from None
        user = request.user
        if isinstance(user, User) and user.last_portfolio_id != portfolio.pk:
            User.objects.filter(pk=user.pk).update(last_portfolio_id=portfolio.pk)
        return page(request, portfolio, *args, **kwargs)  # type: ignore[arg-type]

    return guarded


def page_render(
    request: HttpRequest,
    template: str,
    *,
    nav: str,
    portfolio: Portfolio | None,
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    """Render a page inside the frame: navigation with what waits, portfolio switcher, mode.

    A page that keeps itself fresh asks with :data:`REGIONS_HEADER` and is answered by its regions alone.
    """
    frame = {
        "nav": nav,
        "portfolio": portfolio,
        "portfolios": list(portfolios_of(user=request.user)),
        "unread_alerts": alerts_unread(owner_id=request.user.pk),
        "waiting": waiting_count(portfolio=portfolio) if portfolio else 0,
        "mode_badge": _mode_badge(portfolio) if portfolio else "",
    }
    if request.headers.get(REGIONS_HEADER) and status == 200:
        return _regions_answer(request, template, context={**frame, **context})
    return render(request, template, {**frame, **context}, status=status)


def _regions_answer(request: HttpRequest, template: str, *, context: dict[str, Any]) -> HttpResponse:
    """Return a page's main part without frame and view, or 304 where the asker has the very same already.

    The view's state is known over there: it came over the socket, which is why the page asks.
    """
    page = get_template(template).template  # type: ignore[attr-defined]  # Django's own engine is the only one
    full = make_context({**context, "regions_only": True}, request)
    with full.render_context.push_state(page), full.bind_template(page):
        main = page.nodelist.get_nodes_by_type(ExtendsNode)[0].blocks["main"].nodelist.render(full)
    navigation = render_to_string("includes/nav_conflicts.html", context, request=request)
    body = f"<template>{navigation}{main}</template>"
    tag = f'"{sha256(body.encode()).hexdigest()[:32]}"'
    same = request.headers.get("If-None-Match") == tag
    answer = HttpResponseNotModified() if same else HttpResponse(body)
    answer["ETag"] = tag
    patch_vary_headers(answer, (REGIONS_HEADER,))
    return answer


def _mode_badge(portfolio: Portfolio) -> str:
    """Return how the portfolio trades: dry run, paper, shadow, live in a sandbox or for real."""
    if portfolio.dry_run:
        return "Dry run"
    try:
        return live_badge(account=live_get(portfolio=portfolio))
    except NotFound:
        return portfolio.get_mode_display()


def page_addresses(request: HttpRequest, page: paginator.Page[Any]) -> dict[str, str]:
    """Addresses of a list's neighbouring pages under the same filters, empty where there is none."""

    def address(number: int) -> str:
        query = request.GET.copy()
        query["page"] = str(number)
        return f"?{query.urlencode()}"

    return {
        "newer": address(page.previous_page_number()) if page.has_previous() else "",
        "older": address(page.next_page_number()) if page.has_next() else "",
    }


def form_refuse(form: forms.Form, error: InputError) -> None:
    """Show a refusal beside the field it names, or above the form when it names none of them."""
    form.add_error(error.field if error.field in form.fields else None, error.message)


def form_already_done(request: HttpRequest, *, token: str) -> str | None:
    """Return where this very form led when it was sent before: pressing twice does it once."""
    return dict(request.session.get(_SESSION_KEY, [])).get(token)


def form_done(request: HttpRequest, *, token: str, url: str) -> None:
    """Remember that a form was carried out and where it led."""
    done = [entry for entry in request.session.get(_SESSION_KEY, []) if entry[0] != token]
    request.session[_SESSION_KEY] = [*done, [token, url]][-REMEMBERED_FORMS:]
