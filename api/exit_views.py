"""What closes positions by itself: read, and changed by the commands ``exits`` and ``exit_defaults`` (EXT-2).

Changes answer 202 with the command, as every command does; the header Idempotency-Key may be left out.
"""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AuditEntry, Portfolio, User
from accounts.selectors import BIGGEST_ID
from api.exit_serializers import DefaultsRequest, TriggerAnswer
from api.filters import TriggerFilter
from api.trading_serializers import CommandAnswer
from api.trading_views import KEY_HEADER, PagedView
from api.views import ApiView
from core.clock import utc_now
from core.errors import InputError, NotFound
from core.ids import uuid_new
from engine.commands import command_accept
from engine.models import Command, ExitTrigger
from engine.view_exits import defaults_record, position_exits


class PositionExitsView(ApiView):
    """GET what closes one position; PATCH {stop_price, stop_loss_pct, …} or {use_defaults: true}."""

    def get(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Return its levels, and how far the price is from each."""
        exits = position_exits(portfolio=self.portfolio(), position_id=_position_id(position_id))
        return Response(exits, headers={"Cache-Control": "no-store"})

    def patch(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Ask for a change; 202 with its command."""
        portfolio = self.portfolio()
        position_exits(portfolio=portfolio, position_id=_position_id(position_id))
        data = _object(request.data)
        if "position_id" in data:
            raise InputError("The address names the position already.", field="position_id")
        data["position_id"] = position_id
        return _accepted(request, portfolio, Command.Kind.EXITS, data)


class ExitDefaultsView(ApiView):
    """GET what guards new positions; PUT all rules of it."""

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return the rules, and whether they are the portfolio's own or the server's."""
        return Response(defaults_record(portfolio=self.portfolio()), headers={"Cache-Control": "no-store"})

    def put(self, request: Request, portfolio_id: int) -> Response:
        """Ask for new ones; 202 with the command."""
        portfolio = self.portfolio()
        data = self.cleaned(DefaultsRequest, request.data)
        return _accepted(request, portfolio, Command.Kind.EXIT_DEFAULTS, data)


class ExitListView(PagedView):
    """GET which rules closed what: ?kind=…&status=…&underlying=…&position=…&since=…"""

    serializer_class = TriggerAnswer
    filterset_class = TriggerFilter

    def get_queryset(self) -> QuerySet[ExitTrigger]:
        """Return the triggers of the caller's portfolio."""
        return ExitTrigger.objects.filter(portfolio=self.portfolio()).select_related("position")


def _position_id(number: int) -> int:
    """Return a number that a position can have.

    :raises NotFound: none can
    """
    if number > BIGGEST_ID:
        raise NotFound(f"This portfolio has no position {number}.")
    return number


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InputError("Send an object of named values.")
    return dict(data)


def _accepted(request: Request, portfolio: Portfolio, kind: Command.Kind, data: dict[str, Any]) -> Response:
    command = command_accept(
        portfolio=portfolio,
        kind=kind.value,
        data=data,
        key=request.headers.get(KEY_HEADER, "") or f"{kind.value} {uuid_new()}",
        asked_by=cast("User", request.user),
        via=AuditEntry.Via.PAGE if request.auth is None else AuditEntry.Via.API,
        now=utc_now(),
    )
    return Response(CommandAnswer(command).data, status=202)
