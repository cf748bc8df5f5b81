"""Commands, orders and the audit log of one portfolio, reached through its owner alone.

The pages use the same door: ``fetch("/api/v1/portfolios/<id>/commands/", {method: "POST", headers:
{"X-CSRFToken": …, "Idempotency-Key": crypto.randomUUID()}, body: …})`` with the session of the signed-in
page. The answer 202 holds the command; what comes of it arrives on the socket, in the section ``commands``.
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import AuditEntry
from accounts.selectors import BIGGEST_ID
from api.asking import command_ask
from api.base import NOT_KEPT, ApiView, PagedView
from api.filters import AuditFilter, CommandFilter, CommandPages, OrderFilter
from api.idempotency import KEY_HEADER, key_read
from api.trading_serializers import (
    AuditAnswer,
    CommandAnswer,
    CommandRequest,
    OrderAnswer,
    OrderStory,
    StopRequest,
)
from core.errors import InputError, NotFound
from engine.commands import command_get, commands_of
from engine.models import Command
from execution.models import Order


class CommandListView(PagedView):
    """GET the commands; POST {kind, data} with the header Idempotency-Key asks for one."""

    tag = "Commands"
    keyed = True
    list_summary = "List the commands, newest first."
    write_scope = None  # depends on the kind, see ``api.asking``
    serializer_class = CommandAnswer
    pagination_class = CommandPages
    filterset_class = CommandFilter

    def get_queryset(self) -> QuerySet[Command]:
        """Return the commands of the caller's portfolio."""
        return commands_of(portfolio=self.portfolio())

    def check_throttles(self, request: Request) -> None:
        """Hold nobody up who presses the emergency stop."""
        asked = request.data if request.method == "POST" else None
        if not (isinstance(asked, dict) and asked.get("kind") == Command.Kind.EMERGENCY_STOP):
            super().check_throttles(request)

    @extend_schema(request=CommandRequest, responses={202: CommandAnswer})
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Ask for a command. It is checked and stored at once; a worker carries it out."""
        portfolio = self.portfolio()
        wanted = self.cleaned(CommandRequest, request.data)
        if not key_read(request):
            raise InputError(
                f"Send the header {KEY_HEADER}: a text of your own, new for each wish.", field=KEY_HEADER
            )
        return command_ask(self, portfolio=portfolio, kind=wanted["kind"], data=wanted["data"])


class EmergencyStopView(ApiView):
    """POST {confirm, reason}: freeze at once, then cancel and close everything (RSK-3)."""

    tag = "Commands"
    keyed = True
    write_scope = Scope.TRADE
    throttle_classes = ()

    @extend_schema(request=StopRequest, responses={202: CommandAnswer})
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Stop in an emergency. It freezes at once, cancels every order and closes every position."""
        portfolio = self.portfolio()
        data = self.cleaned(StopRequest, request.data)
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.EMERGENCY_STOP.value, data=data)


class CommandView(ApiView):
    """GET one command."""

    tag = "Commands"

    @extend_schema(responses={200: CommandAnswer})
    def get(self, request: Request, portfolio_id: int, command_id: UUID) -> Response:
        """Read a command with its answer, as it stands now."""
        command = command_get(portfolio=self.portfolio(), command_id=command_id)
        return Response(CommandAnswer(command).data, headers=NOT_KEPT)


class OrderListView(PagedView):
    """GET the orders: ?status=…&underlying=…&side=…&purpose=…&origin=…&command=…&since=…"""

    tag = "Orders"
    list_summary = "List the orders, newest first."
    serializer_class = OrderAnswer
    filterset_class = OrderFilter

    def get_queryset(self) -> QuerySet[Order]:
        """Return the orders of the caller's portfolio."""
        return Order.objects.filter(portfolio=self.portfolio())


class OrderView(ApiView):
    """GET one order with its slices, every change of its status, and its fills."""

    tag = "Orders"

    @extend_schema(responses={200: OrderStory})
    def get(self, request: Request, portfolio_id: int, order_id: int) -> Response:
        """Read one order, with for whom it is, every change of its status, and every fill."""
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

    tag = "Decisions"
    list_summary = "List who did or tried what, newest first."
    serializer_class = AuditAnswer
    filterset_class = AuditFilter

    def get_queryset(self) -> QuerySet[AuditEntry]:
        """Return the entries of the caller's portfolio."""
        return AuditEntry.objects.filter(portfolio_id=self.portfolio().pk)
