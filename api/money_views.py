"""Paper cash: putting in, taking out, starting over."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import Portfolio
from api.base import NOT_KEPT, ApiView
from api.capital_serializers import CapitalTotals
from api.capital_views import capital_totals
from api.idempotency import key_read, once
from api.serializers import StrictSerializer
from core.clock import utc_now
from core.errors import InputError
from core.ids import uuid_new
from engine import portfolios


class CashAmount(StrictSerializer):
    """An amount of paper cash."""

    amount = serializers.DecimalField(
        max_digits=12, decimal_places=2, min_value=Decimal("0.01"), max_value=Decimal(1_000_000_000)
    )


class CashReset(CashAmount):
    """Starting over; ``confirm`` is the portfolio's name, so that nobody does it by accident."""

    confirm = serializers.CharField(max_length=80)


class _MoveView(ApiView):
    """One way to move paper cash."""

    tag = "Capital"
    write_scope = Scope.SETTINGS
    service: ClassVar[Callable[..., None]]

    def move(self, request: Request, *, portfolio: Portfolio, amount: Decimal) -> Response:
        key = f"api {key_read(request) or uuid_new()}"
        type(self).service(portfolio=portfolio, amount=amount, key=key, now=utc_now())
        return Response(capital_totals(portfolio=portfolio), headers=NOT_KEPT)


class DepositView(_MoveView):
    """POST {amount} puts paper cash in."""

    service = staticmethod(portfolios.cash_deposit)

    @extend_schema(request=CashAmount, responses={200: CapitalTotals})
    @once
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Put paper cash in. Returns are adjusted for it."""
        portfolio, wanted = self.portfolio(), self.cleaned(CashAmount, request.data)
        return self.move(request, portfolio=portfolio, amount=wanted["amount"])


class WithdrawView(_MoveView):
    """POST {amount} takes paper cash out."""

    service = staticmethod(portfolios.cash_withdraw)

    @extend_schema(request=CashAmount, responses={200: CapitalTotals})
    @once
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Take paper cash out. At most what is free and no margin."""
        portfolio, wanted = self.portfolio(), self.cleaned(CashAmount, request.data)
        return self.move(request, portfolio=portfolio, amount=wanted["amount"])


class ResetView(_MoveView):
    """POST {amount, confirm} starts the paper account over."""

    service = staticmethod(portfolios.cash_reset)

    @extend_schema(request=CashReset, responses={200: CapitalTotals})
    @once
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Start the paper account over. Possible while no position and no order is open."""
        portfolio, wanted = self.portfolio(), self.cleaned(CashReset, request.data)
        if " ".join(wanted["confirm"].split()) != portfolio.name:
            raise InputError(f"Type the portfolio's name to confirm: {portfolio.name}.", field="confirm")
        return self.move(request, portfolio=portfolio, amount=wanted["amount"])
