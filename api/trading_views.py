"""Commands, orders and the audit log of one portfolio, reached through its owner alone.

The pages use the same door: ``fetch("/api/v1/portfolios/<id>/commands/", {method: "POST", headers:
{"X-CSRFToken": …, "Idempotency-Key": crypto.randomUUID()}, body: …})`` with the session of the signed-in
page. The answer 202 holds the command; what comes of it arrives on the socket, in the section ``commands``.
"""

from __future__ import annotations

from typing import Any, Final, cast
from uuid import UUID

from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AuditEntry, User
from accounts.selectors import BIGGEST_ID
from api.filters import AuditFilter, CommandFilter, CommandPages, DecisionPages, OrderFilter
from api.trading_serializers import (
    AuditAnswer,
    CommandAnswer,
    CommandRequest,
    OrderAnswer,
    OrderStory,
    StopRequest,
)
from api.views import ApiView
from core.clock import utc_now
from core.errors import InputError, NotFound
from core.ids import uuid_new
from engine.commands import command_accept, command_get, commands_of
from engine.models import Command
from execution.models import Order

KEY_HEADER: Final = "Idempotency-Key"


class PagedView(ApiView, GenericAPIView[Any]):
    """GET a list, newest first, in pages: {next, previous, results}."""

    pagination_class: Any = DecisionPages
    filter_backends = (DjangoFilterBackend,)

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return one page."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class CommandListView(PagedView):
    """GET the commands; POST {kind, data} with the header Idempotency-Key asks for one."""

    serializer_class = CommandAnswer
    pagination_class = CommandPages
    filterset_class = CommandFilter

    def get_queryset(self) -> QuerySet[Command]:
        """Return the commands of the caller's portfolio."""
        return commands_of(portfolio=self.portfolio())

    def post(self, request: Request, portfolio_id: int) -> Response:
        """Accept a command; 202 with it. The same key again answers with the same command."""
        portfolio = self.portfolio()
        wanted = self.cleaned(CommandRequest, request.data)
        key = request.headers.get(KEY_HEADER, "")
        if not key:
            raise InputError(
                f"Send the header {KEY_HEADER}: a text of your own, new for each wish.", field=KEY_HEADER
            )
        command = command_accept(
            portfolio=portfolio,
            kind=wanted["kind"],
            data=wanted["data"],
            key=key,
            asked_by=cast("User", request.user),
            via=AuditEntry.Via.PAGE if request.auth is None else AuditEntry.Via.API,
            now=utc_now(),
        )
        return Response(CommandAnswer(command).data, status=202)


class EmergencyStopView(ApiView):
    """POST {confirm, reason}: freeze at once, then cancel and close everything (RSK-3)."""

    def post(self, request: Request, portfolio_id: int) -> Response:
        """Accept the stop, 202 with its command; the header Idempotency-Key may be left out."""
        portfolio = self.portfolio()
        command = command_accept(
            portfolio=portfolio,
            kind=Command.Kind.EMERGENCY_STOP.value,
            data=self.cleaned(StopRequest, request.data),
            key=request.headers.get(KEY_HEADER, "") or f"stop {uuid_new()}",
            asked_by=cast("User", request.user),
            via=AuditEntry.Via.PAGE if request.auth is None else AuditEntry.Via.API,
            now=utc_now(),
        )
        return Response(CommandAnswer(command).data, status=202)


class CommandView(ApiView):
    """GET one command."""

    def get(self, request: Request, portfolio_id: int, command_id: UUID) -> Response:
        """Return it as it stands now."""
        command = command_get(portfolio=self.portfolio(), command_id=command_id)
        return Response(CommandAnswer(command).data, headers={"Cache-Control": "no-store"})


class OrderListView(PagedView):
    """GET the orders: ?status=…&underlying=…&side=…&purpose=…&origin=…&command=…&since=…"""

    serializer_class = OrderAnswer
    filterset_class = OrderFilter

    def get_queryset(self) -> QuerySet[Order]:
        """Return the orders of the caller's portfolio."""
        return Order.objects.filter(portfolio=self.portfolio())


class OrderView(ApiView):
    """GET one order with its slices, every change of its status, and its fills."""

    def get(self, request: Request, portfolio_id: int, order_id: int) -> Response:
        """Return it."""
        own = Order.objects.filter(portfolio=self.portfolio())
        order = None
        if order_id <= BIGGEST_ID:
            order = (
                own.filter(pk=order_id)
                .prefetch_related("slices", "events", "fills__fidelity__copied")
                .first()
            )
        if order is None:
            raise NotFound(f"This portfolio has no order with the number {order_id}.")
        return Response(OrderStory(order).data)


class AuditListView(PagedView):
    """GET who did or tried what: ?action=…&outcome=…&via=…&command=…&since=…"""

    serializer_class = AuditAnswer
    filterset_class = AuditFilter

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Return the entries of the caller's portfolio."""
        return AuditEntry.objects.filter(portfolio_id=self.portfolio().pk)
