"""The page of a portfolio's real account: connect, shadow, promote, ramp, findings, stop."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.models import AuditEntry, Portfolio
from core.clock import utc_now
from core.decimals import plain
from core.errors import InputError
from dashboard.live_forms import Kind, live_form
from dashboard.page import SignedInRequest, form_refuse, owner_page, page_render
from engine.commands import command_accept, commands_of
from engine.live.status import LiveStatus, live_status

KINDS = (Kind.LIVE_CONNECT, Kind.LIVE_PROMOTE, Kind.LIVE_RAMP, Kind.LIVE_STOP, Kind.LIVE_DISCONNECT)
SHOWN = 5


@owner_page
@never_cache
@require_safe
def live_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """How the portfolio stands with its account."""
    return _page(request, portfolio, live_status(portfolio=portfolio, now=utc_now()))


@owner_page
@require_POST
def live_ask(request: SignedInRequest, portfolio: Portfolio, kind: str) -> HttpResponse:
    """Ask for a command about the account; what came of it is shown on the page."""
    status = live_status(portfolio=portfolio, now=utc_now())
    form = live_form(kind, request.POST, portfolio=portfolio, keys=status.keys)
    if form is None:
        raise Http404("There is no such wish.")
    if form.is_valid():
        try:
            command_accept(
                portfolio=portfolio,
                kind=kind,
                data=form.command,
                key=form.once,
                asked_by=request.user,
                via=AuditEntry.Via.PAGE.value,
                now=utc_now(),
            )
        except InputError as error:
            form_refuse(form, error)
        else:
            messages.success(request, "Asked for. What came of it appears below.")
            return redirect("dashboard:live", portfolio.pk)
    return _page(request, portfolio, status, code=400, **{kind: form})


def _page(
    request: SignedInRequest, portfolio: Portfolio, status: LiveStatus, *, code: int = 200, **forms: Any
) -> HttpResponse:
    shown = {
        kind.value: forms.get(kind.value) or live_form(kind, None, portfolio=portfolio, keys=status.keys)
        for kind in KINDS
    }
    settle = forms.get(Kind.LIVE_SETTLE.value) or live_form(
        Kind.LIVE_SETTLE, None, portfolio=portfolio, keys=()
    )
    asked = commands_of(portfolio=portfolio).filter(kind__startswith="live_")[:SHOWN]
    return page_render(
        request,
        "dashboard/live.html",
        nav="settings",
        portfolio=portfolio,
        status=code,
        stand=status,
        findings=[(one, status.ways(one)) for one in status.findings],
        holdings=[
            (one, plain(one.quantity), plain(one.ours), plain(one.quantity - one.ours))
            for one in status.holdings
        ],
        settle=settle,
        asked=asked,
        **shown,
    )
