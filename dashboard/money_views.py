"""Paper cash: putting in, taking out, starting over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, cast

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Portfolio
from core.clock import utc_now
from core.errors import InputError
from dashboard.forms import AmountForm, ResetForm
from dashboard.page import SignedInRequest, form_refuse, owner_page, page_render
from dashboard.selectors import money_read
from engine import portfolios

RESET_TEXT: Final = (
    "Begins anew with the amount you name, as if the portfolio had just been opened. "
    "Possible while no position and no order is open."
)


@owner_page
@require_safe
def money_page(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Cash and its newest bookings."""
    return _page(request, portfolio)


@owner_page
@require_POST
def deposit(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Put paper cash in."""
    return _move(
        request, portfolio, "deposit", AmountForm(request.POST, auto_id="deposit_%s"), portfolios.cash_deposit
    )


@owner_page
@require_POST
def withdraw(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Take paper cash out."""
    return _move(
        request,
        portfolio,
        "withdraw",
        AmountForm(request.POST, auto_id="withdraw_%s"),
        portfolios.cash_withdraw,
    )


@owner_page
@require_POST
def reset(request: SignedInRequest, portfolio: Portfolio) -> HttpResponse:
    """Start the paper account over."""
    return _move(
        request, portfolio, "reset", ResetForm(request.POST, auto_id="reset_%s"), portfolios.cash_reset
    )


_DONE: Final = {
    "deposit": "Deposited ${:,.2f}.",
    "withdraw": "Withdrew ${:,.2f}.",
    "reset": "Paper cash starts over with ${:,.2f}.",
}


def _move(
    request: SignedInRequest, portfolio: Portfolio, name: str, form: AmountForm, service: Callable[..., None]
) -> HttpResponse:
    if form.is_valid():
        amount = form.cleaned_data["amount"]
        try:
            service(portfolio=portfolio, amount=amount, key=form.once, now=utc_now())
        except InputError as error:
            form_refuse(form, error)
        else:
            messages.success(request, _DONE[name].format(amount))
            return redirect("dashboard:money", portfolio.pk)
    return _page(request, portfolio, status=400, **{name: form})


def _page(
    request: SignedInRequest, portfolio: Portfolio, *, status: int = 200, **forms: AmountForm
) -> HttpResponse:
    money = money_read(portfolio=portfolio)
    shown: dict[str, Any] = {
        "deposit": AmountForm(auto_id="deposit_%s"),
        "withdraw": AmountForm(auto_id="withdraw_%s"),
        "reset": ResetForm(auto_id="reset_%s", initial={"amount": settings.INITIAL_PORTFOLIO_VALUE}),
        **{name: _renewed(form) for name, form in forms.items()},
    }
    return page_render(
        request,
        "dashboard/money.html",
        nav="money",
        portfolio=portfolio,
        status=status,
        money=money,
        reset_text=RESET_TEXT,
        **shown,
    )


def _renewed(form: AmountForm) -> AmountForm:
    """A refused form is sent again under a new token: nothing was done under the old one."""
    data = cast("QueryDict", form.data).copy()
    data["token"] = form.fields["token"].initial()
    form.data = data
    return form
