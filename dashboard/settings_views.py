"""Settings of one portfolio: trading, limits, exit defaults, conflict rules, the block list."""

from __future__ import annotations

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import AuditEntry, Portfolio
from core.clock import utc_now
from core.errors import InputError
from dashboard.exit_forms import ExitDefaultsForm
from dashboard.forms import OverrideForm, SettingsForm, UnderlyingForm
from dashboard.page import SignedInRequest, form_refuse, owner_page, page_render
from dashboard.risk_forms import LimitsForm
from dashboard.selectors import blocked_of, overrides_of
from engine.commands import command_accept
from engine.models import Command
from engine.portfolios import portfolio_settings_save


@owner_page
@require_http_methods(["GET", "HEAD", "POST"])
def settings_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Show the settings; save the trading part."""
    if request.method != "POST":
        return _page(request, portfolio)
    form = SettingsForm(request.POST)
    if form.is_valid() and _saved(
        form, lambda: portfolio_settings_save(portfolio=portfolio, now=utc_now(), **form.cleaned_data)
    ):
        messages.success(request, "Settings saved. Targets are worked out anew under them.")
        return redirect("dashboard:settings", portfolio.pk)
    portfolio.refresh_from_db()
    return _page(request, portfolio, status=400, form=form)


@owner_page
@require_POST
def limits_save(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Ask for other limits and breakers; they are kept and every target is placed anew by a command."""
    form = LimitsForm(request.POST, portfolio=portfolio)
    if form.is_valid() and _saved(
        form,
        lambda: command_accept(
            portfolio=portfolio,
            kind=Command.Kind.LIMITS.value,
            data=form.command,
            key=form.once,
            asked_by=request.user,
            via=AuditEntry.Via.PAGE.value,
            now=utc_now(),
        ),
    ):
        messages.success(request, "Asked for. What came of it appears below, under “What was asked for”.")
        return redirect("dashboard:risk", portfolio.pk)
    return _page(request, portfolio, status=400, limits=form)


@owner_page
@require_POST
def exit_defaults_save(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Ask for other exit defaults; open positions keep theirs."""
    form = ExitDefaultsForm(request.POST, portfolio=portfolio)
    if form.is_valid():
        try:
            command_accept(
                portfolio=portfolio,
                kind=Command.Kind.EXIT_DEFAULTS.value,
                data=form.command,
                key=form.once,
                asked_by=request.user,
                via=AuditEntry.Via.PAGE.value,
                now=utc_now(),
            )
        except InputError as error:
            form.add_error(form.blame(error.field), error.message)
        else:
            messages.success(request, "Asked for. What came of it appears below, under “What was asked for”.")
            return redirect("dashboard:risk", portfolio.pk)
    return _page(request, portfolio, status=400, exits=form)


@owner_page
@require_POST
def override_set(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Give one instrument a conflict rule of its own."""
    form = OverrideForm(request.POST, auto_id="override_%s")
    if form.is_valid():
        rules = {entry.underlying: entry.rule for entry in overrides_of(portfolio=portfolio)}
        rules[form.cleaned_data["underlying"]] = form.cleaned_data["rule"]
        if _saved(form, lambda: portfolio_settings_save(portfolio=portfolio, now=utc_now(), overrides=rules)):
            messages.success(request, f"{form.cleaned_data['underlying']} has a rule of its own.")
            return redirect("dashboard:settings", portfolio.pk)
    return _page(request, portfolio, status=400, override=form)


@owner_page
@require_POST
def override_remove(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Let one instrument follow the portfolio's rule again; harmless when it does already."""
    gone = request.POST.get("underlying", "")
    rules = {
        entry.underlying: entry.rule
        for entry in overrides_of(portfolio=portfolio)
        if entry.underlying != gone
    }
    portfolio_settings_save(portfolio=portfolio, now=utc_now(), overrides=rules)
    return redirect("dashboard:settings", portfolio.pk)


@owner_page
@require_POST
def block_add(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Never open an instrument."""
    form = UnderlyingForm(request.POST, auto_id="block_%s")
    if form.is_valid():
        name = form.cleaned_data["underlying"]
        blocked = sorted({entry.underlying for entry in blocked_of(portfolio=portfolio)} | {name})
        if _saved(form, lambda: portfolio_settings_save(portfolio=portfolio, now=utc_now(), blocked=blocked)):
            messages.success(request, f"{name} is blocked. What is open in it may still be closed.")
            return redirect("dashboard:settings", portfolio.pk)
    return _page(request, portfolio, status=400, block=form)


@owner_page
@require_POST
def block_remove(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Allow an instrument again; harmless when it is allowed already."""
    gone = request.POST.get("underlying", "")
    blocked = [entry.underlying for entry in blocked_of(portfolio=portfolio) if entry.underlying != gone]
    portfolio_settings_save(portfolio=portfolio, now=utc_now(), blocked=blocked)
    return redirect("dashboard:settings", portfolio.pk)


def _saved(form: forms.Form, save: Callable[[], object]) -> bool:
    """Save; a refusal is shown in the form."""
    try:
        save()
    except InputError as error:
        if error.field in {"overrides", "blocked"}:
            error.field = "underlying"
        form_refuse(form, error)
        return False
    return True


def _page(
    request: SignedInRequest,
    portfolio: Portfolio,
    *,
    status: int = 200,
    form: SettingsForm | None = None,
    override: OverrideForm | None = None,
    block: UnderlyingForm | None = None,
    limits: LimitsForm | None = None,
    exits: ExitDefaultsForm | None = None,
) -> HttpResponse:
    return page_render(
        request,
        "dashboard/settings.html",
        nav="settings",
        portfolio=portfolio,
        status=status,
        form=form or SettingsForm.of(portfolio),
        limits=limits or LimitsForm(portfolio=portfolio),
        exits=exits or ExitDefaultsForm(portfolio=portfolio),
        override=override or OverrideForm(auto_id="override_%s"),
        blocking=block or UnderlyingForm(auto_id="block_%s"),
        overrides=overrides_of(portfolio=portfolio),
        blocked=blocked_of(portfolio=portfolio),
    )
