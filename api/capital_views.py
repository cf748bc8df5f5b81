"""Capital for other programs: ask, wait, give back, use (CAP-1, CAP-3). Reached through the owner alone."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet, Sum
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import Portfolio
from accounts.reading import consistent_read
from allocation.models import CapitalAccount, Reservation
from api.base import NOT_KEPT, ApiView, PagedView
from api.capital_serializers import PRIORITIES, CapitalAnswer, CapitalRequest, CapitalTotals, CapitalUse
from api.filters import CapitalFilter, CapitalPages
from api.idempotency import key_read, once
from api.trading_serializers import OrderAnswer
from core.clock import utc_now
from core.decimals import ZERO, plain
from core.types import OrderSide
from engine.domain.own_entry import EntryWish
from engine.outside import grant_get, grant_release, grant_request, grant_use


class CapitalView(ApiView):
    """GET the capital of a portfolio and the sums of what is granted and what waits."""

    tag = "Capital"

    @extend_schema(responses={200: CapitalTotals})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read the capital. All of it is of one moment: total = free + reserved + committed + deployed."""
        return Response(capital_totals(portfolio=self.portfolio()), headers=NOT_KEPT)


def capital_totals(*, portfolio: Portfolio) -> dict[str, Any]:
    """Return the capital of a portfolio, read at one moment."""
    with consistent_read():
        account = CapitalAccount.objects.get(portfolio=portfolio)
        standing = Reservation.objects.filter(portfolio=portfolio, status__in=("granted", "waiting"))
        rows = standing.order_by().values("status").annotate(count=Count("pk"), amount=Sum("amount"))
        sums = {row["status"]: row for row in rows}
    total = account.cash + account.deployed
    money = {
        "total": total,
        "allocated": total - account.free,
        "cash": account.cash,
        "free": account.free,
        "reserved": account.reserved,
        "committed": account.committed,
        "deployed": account.deployed,
        "deficit": account.deficit,
    }
    return {name: plain(amount) for name, amount in money.items()} | {
        status: {
            "count": sums.get(status, {"count": 0})["count"],
            "amount": plain(sums.get(status, {"amount": ZERO})["amount"]),
        }
        for status in ("granted", "waiting")
    }


class RequestListView(PagedView):
    """GET the requests, newest first; POST {instrument, amount, priority?, source?, wait_s?} asks."""

    tag = "Capital"
    keyed = True
    list_summary = "List the requests for capital, newest first."
    write_scope = Scope.CAPITAL
    serializer_class = CapitalAnswer
    pagination_class = CapitalPages
    filterset_class = CapitalFilter

    def get_queryset(self) -> QuerySet[Reservation]:
        """Return the requests for capital of the caller's portfolio, our own parts' too."""
        return Reservation.objects.filter(portfolio=self.portfolio()).select_related("order")

    @extend_schema(request=CapitalRequest, responses={201: CapitalAnswer, 200: CapitalAnswer})
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Ask for capital. The answer is granted, waiting, or denied with the reason.

        201 for a new one, 200 where the header Idempotency-Key says that it was asked before.
        """
        portfolio = self.portfolio()
        wanted = self.cleaned(CapitalRequest, request.data)
        key = key_read(request)
        now = utc_now()
        reservation = grant_request(
            portfolio=portfolio,
            instrument_code=wanted["instrument"],
            amount=wanted["amount"],
            priority=PRIORITIES[wanted["priority"]],
            source=wanted["source"],
            wait_s=wanted["wait_s"],
            key=key,
            now=now,
        )
        status = 201 if reservation.requested_at == now else 200
        return Response(CapitalAnswer(reservation).data, status=status, headers=NOT_KEPT)


class RequestView(ApiView):
    """GET one request; DELETE gives its capital back, or leaves the queue."""

    tag = "Capital"
    write_scope = Scope.CAPITAL

    @extend_schema(responses={200: CapitalAnswer})
    def get(self, request: Request, portfolio_id: int, reservation_id: UUID) -> Response:
        """Read a request for capital as it stands now."""
        reservation = grant_get(portfolio=self.portfolio(), reservation_id=reservation_id)
        return Response(CapitalAnswer(reservation).data, headers=NOT_KEPT)

    @extend_schema(responses={200: CapitalAnswer})
    def delete(self, request: Request, portfolio_id: int, reservation_id: UUID) -> Response:
        """Give capital back, or leave the queue. One that is over stays so; a used one is a conflict."""
        reservation = grant_release(portfolio=self.portfolio(), reservation_id=reservation_id, now=utc_now())
        return Response(CapitalAnswer(reservation).data, headers=NOT_KEPT)


class RequestUseView(ApiView):
    """POST {instrument, side, quantity, limit_price} places a limit entry behind a grant."""

    tag = "Capital"
    write_scope = Scope.CAPITAL

    @extend_schema(request=CapitalUse, responses={201: OrderAnswer, 200: OrderAnswer})
    @once
    def post(self, request: Request, portfolio_id: int, reservation_id: UUID) -> Response:
        """Place a limit entry behind a grant. 201 for a new order, 200 for the same once more."""
        portfolio = self.portfolio()
        wanted = self.cleaned(CapitalUse, request.data)
        now = utc_now()
        order = grant_use(
            portfolio=portfolio,
            reservation_id=reservation_id,
            wish=EntryWish(
                code=wanted["instrument"],
                side=OrderSide(wanted["side"]),
                quantity=wanted["quantity"],
                limit_price=wanted["limit_price"],
            ),
            by=self.person(),
            via=self.via(),
            now=now,
        )
        return Response(OrderAnswer(order).data, status=201 if order.created_at == now else 200)
