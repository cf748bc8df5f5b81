"""The traders page, adding a trader after a preview, and what can be done with a followed one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from django.contrib import messages
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.models import Portfolio
from allocation.follows import follows_current
from allocation.models import Follow
from core.clock import utc_now
from core.errors import InputError, NotFound, RetryLater
from core.types import TraderKind
from dashboard.forms import FollowForm, TraderKeyForm
from dashboard.independence import independence_shown
from dashboard.page import (
    SignedInRequest,
    form_already_done,
    form_done,
    form_refuse,
    owner_page,
    page_addresses,
    page_render,
)
from dashboard.risk_forms import WeightsForm
from dashboard.selectors import follow_get, signals_read
from dashboard.trader_forms import ChainWalletForm
from engine import follows
from engine.copy_preview import accounts_read, catalog_read, copy_plan, follow_barrier
from engine.demo import DEMO_PORTFOLIOS
from engine.selectors import portfolio_view
from traders.push import agents_of
from traders.services import trader_preview

DEMO_TRADERS: Final = 3


@owner_page
@never_cache
@require_safe
def traders_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """The followed traders, live, and how the capital is split over them."""
    return _traders(request, portfolio, weights=WeightsForm(portfolio=portfolio))


@owner_page
@require_POST
def weights_save(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Split the capital as the owner says."""
    form = WeightsForm(request.POST, portfolio=portfolio)
    if form.is_valid():
        try:
            follows.weights_set(portfolio=portfolio, weights=form.weights, now=utc_now())
        except InputError as error:
            form_refuse(form, error)
        else:
            messages.success(request, "The capital is split anew. Targets are worked out again.")
            return redirect("dashboard:traders", portfolio.pk)
    portfolio.refresh_from_db()
    return _traders(request, portfolio, weights=form, status=400)


def _traders(
    request: SignedInRequest, portfolio: Portfolio, *, weights: WeightsForm, status: int = 200
) -> HttpResponse:
    return page_render(
        request,
        "dashboard/traders.html",
        nav="traders",
        portfolio=portfolio,
        status=status,
        view=portfolio_view(portfolio=portfolio),
        weights=weights,
        **independence_shown(portfolio=portfolio),
        live=True,
    )


@owner_page
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def trader_add(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Choose, preview (by GET, it changes nothing), then follow."""
    if request.method == "POST":
        return _follow(request, portfolio)
    typed: QueryDict = request.GET
    if "address" in typed:
        wallet = ChainWalletForm(typed)
        if not wallet.is_valid():
            return _page(request, portfolio, form=TraderKeyForm(), chain_form=wallet, status=400)
        typed = QueryDict(mutable=True)
        typed.update({"kind": wallet.cleaned_data["kind"], "key": wallet.key})
    if "key" not in typed:
        return _page(request, portfolio, form=TraderKeyForm())
    form = TraderKeyForm(typed)
    kind, key = typed.get("kind", ""), typed["key"]
    return _preview(request, portfolio, form=form, follow=FollowForm(initial={"kind": kind, "key": key}))


def _follow(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    follow = FollowForm(request.POST)
    if follow.is_valid():
        if done := form_already_done(request, token=follow.once):
            return redirect(done)
        wanted = {name: follow.cleaned_data[name] for name in ("kind", "key", "join_mode")}
        try:
            made = follows.follow_start(portfolio=portfolio, now=utc_now(), **wanted)
        except InputError as error:
            form_refuse(follow, error)
        else:
            url = reverse("dashboard:traders", args=[portfolio.pk])
            form_done(request, token=follow.once, url=url)
            messages.success(
                request,
                f"Following {made.trader.name}. It is read now and copied from its first good read on.",
            )
            return redirect(url)
    return _preview(request, portfolio, form=TraderKeyForm(request.POST), follow=follow, status=400)


def _preview(
    request: SignedInRequest,
    portfolio: Portfolio,
    *,
    form: TraderKeyForm,
    follow: FollowForm,
    status: int = 200,
) -> HttpResponse:
    """Read the trader and show it; what cannot be read is said beside the address or in its place."""
    if not form.is_valid():
        return _page(request, portfolio, form=form, status=400)
    kind, key = form.cleaned_data["kind"], form.cleaned_data["key"]
    try:
        preview = trader_preview(kind=kind, key=key, now=utc_now(), owner=portfolio.owner)
    except InputError as error:
        if kind != TraderKind.HYPERLIQUID:
            wallet = _chain_form(kind, key)
            return _page(
                request,
                portfolio,
                form=TraderKeyForm(),
                chain_form=wallet,
                problem=error.message,
                status=400,
            )
        form_refuse(form, error)
        return _page(request, portfolio, form=form, status=400)
    except RetryLater as error:
        shown = form if kind == TraderKind.HYPERLIQUID else TraderKeyForm()
        wallet = _chain_form(kind, key)
        return _page(request, portfolio, form=shown, chain_form=wallet, problem=str(error), status=503)
    return _page(
        request,
        portfolio,
        form=form if kind == TraderKind.HYPERLIQUID else TraderKeyForm(),
        chain_form=_chain_form(kind, key),
        status=status,
        chosen=preview.identity.key,
        preview=preview,
        plan=copy_plan(portfolio=portfolio, preview=preview, now=utc_now()),
        barrier=follow_barrier(portfolio=portfolio, preview=preview),
        follow=follow,
    )


def _page(
    request: SignedInRequest,
    portfolio: Portfolio,
    *,
    form: TraderKeyForm,
    chain_form: ChainWalletForm | None = None,
    chosen: str = "",
    status: int = 200,
    **context: Any,
) -> HttpResponse:
    catalog = catalog_read(portfolio=portfolio, chosen=chosen)
    return page_render(
        request,
        "dashboard/trader_add.html",
        nav="traders",
        portfolio=portfolio,
        status=status,
        form=form,
        chain_form=chain_form or ChainWalletForm(),
        catalog=catalog,
        agents=list(agents_of(user=request.user)),
        chosen=chosen,
        accounts=accounts_read(portfolio=portfolio, chosen=chosen),
        **context,
    )


def _chain_form(kind: str, key: str) -> ChainWalletForm:
    """Return the form of on-chain wallets, filled in where this is one."""
    return ChainWalletForm.of(key) if kind == TraderKind.EVM else ChainWalletForm()


@owner_page
@never_cache
@require_safe
def follow_signals(request: SignedInRequest, portfolio: Portfolio, follow_id: int) -> HttpResponse:
    """What a followed strategy said on each closed candle, why, and what its book did."""
    try:
        follow = follow_get(portfolio=portfolio, follow_id=follow_id)
    except NotFound as error:
        raise Http404(error.message) from None
    trades_only = request.GET.get("only") == "trades"
    page = signals_read(follow=follow, trades_only=trades_only, page=request.GET.get("page"))
    context: dict[str, Any] = {"follow": follow, "signals": page, "trades_only": trades_only}
    context |= page_addresses(request, page)
    return page_render(request, "dashboard/signals.html", nav="traders", portfolio=portfolio, **context)


@owner_page
@require_POST
def demo_follow(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Follow the first traders of the demo, open positions included; who is followed already stays."""
    known = {follow.trader.key for follow in follows_current(portfolio_id=portfolio.pk)}
    for key in (key for key in DEMO_PORTFOLIOS[0].trader_keys[:DEMO_TRADERS] if key not in known):
        try:
            follows.follow_start(
                portfolio=portfolio,
                kind=TraderKind.REPLAY,
                key=key,
                join_mode="include_open",
                now=utc_now(),
            )
        except InputError as error:
            messages.error(request, error.message)
            break
        portfolio.refresh_from_db()
    return redirect("dashboard:portfolio", portfolio.pk)


@owner_page
@require_POST
def follow_remove(request: SignedInRequest, portfolio: Portfolio, follow_id: int) -> HttpResponse:
    """Stop following: close what was copied, or hand it to the owner. A second press is harmless."""
    positions = request.POST.get("positions")
    if positions not in {"close", "keep"}:
        messages.error(request, "Say what becomes of the positions: close them, or hand them to you.")
        return redirect("dashboard:traders", portfolio.pk)
    keep = positions == "keep"
    done = (
        "{} is removed; its positions are yours now."
        if keep
        else "{} is being removed; its positions are closed."
    )
    try:
        return _change(
            request, portfolio, follow_id,
            lambda follow: follows.follow_remove(follow=follow, keep_positions=keep, now=utc_now()), done,
        )  # fmt: skip
    except Http404:
        if Follow.objects.filter(pk=follow_id, portfolio=portfolio, status=Follow.Status.REMOVED).exists():
            return redirect("dashboard:traders", portfolio.pk)
        raise


@owner_page
@require_POST
def follow_move(request: SignedInRequest, portfolio: Portfolio, follow_id: int) -> HttpResponse:
    """Move a trader one place up or down in the list."""
    order = [follow.pk for follow in follows_current(portfolio_id=portfolio.pk)]
    step = {"up": -1, "down": 1}.get(request.POST.get("direction", ""), 0)
    if follow_id not in order:
        raise Http404(f"This portfolio follows nobody under the number {follow_id}.")
    at = order.index(follow_id)
    to = at + step
    if step and 0 <= to < len(order):
        order[at], order[to] = order[to], order[at]
        follows.follows_arrange(portfolio=portfolio, follow_ids=order, now=utc_now())
    return redirect("dashboard:traders", portfolio.pk)


def _change(
    request: SignedInRequest,
    portfolio: Portfolio,
    follow_id: int,
    change: Callable[[Follow], object],
    done: str,
) -> HttpResponse:
    try:
        follow = follow_get(portfolio=portfolio, follow_id=follow_id)
        change(follow)
    except NotFound as error:
        raise Http404(error.message) from None
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done.format(follow.trader.name))
    return redirect("dashboard:traders", portfolio.pk)
