"""What closes positions by itself: read, and changed by the commands ``exits`` and ``exit_defaults`` (EXT-2).

Changes answer 202 with the command, as every command does; the header Idempotency-Key may be left out.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.selectors import BIGGEST_ID
from api.asking import command_ask
from api.base import NOT_KEPT, ApiView, PagedView
from api.exit_serializers import DefaultsRequest, ExitDefaults, ExitsRequest, PositionExits, TriggerAnswer
from api.filters import TriggerFilter
from api.trading_serializers import CommandAnswer
from core.errors import InputError, NotFound
from engine.models import Command, ExitTrigger
from engine.view_exits import defaults_record, position_exits


class PositionExitsView(ApiView):
    """GET what closes one position; PATCH {stop_price, stop_loss_pct, …} or {use_defaults: true}."""

    tag = "Exits"
    keyed = True
    write_scope = Scope.TRADE

    @extend_schema(responses={200: PositionExits})
    def get(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Read what closes a position, and how far the price is from each level."""
        exits = position_exits(portfolio=self.portfolio(), position_id=_position_id(position_id))
        return Response(exits, headers=NOT_KEPT)

    @extend_schema(request=ExitsRequest, responses={202: CommandAnswer})
    def patch(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Ask for other exits of a position. A stop only ever tightens; the answer is the command."""
        portfolio = self.portfolio()
        position_exits(portfolio=portfolio, position_id=_position_id(position_id))
        data = _object(request.data)
        if "position_id" in data:
            raise InputError("The address names the position already.", field="position_id")
        data["position_id"] = position_id
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.EXITS.value, data=data)


class ExitDefaultsView(ApiView):
    """GET what guards new positions; PUT all rules of it."""

    tag = "Exits"
    keyed = True

    @extend_schema(responses={200: ExitDefaults})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read what guards new positions, and whether it is the portfolio's own or the server's."""
        return Response(defaults_record(portfolio=self.portfolio()), headers=NOT_KEPT)

    @extend_schema(request=DefaultsRequest, responses={202: CommandAnswer})
    def put(self, request: Request, portfolio_id: int) -> Response:
        """Ask for other exit defaults. Open positions keep theirs; the answer is the command."""
        portfolio = self.portfolio()
        data = self.cleaned(DefaultsRequest, request.data)
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.EXIT_DEFAULTS.value, data=data)


class ExitListView(PagedView):
    """GET which rules closed what: ?kind=…&status=…&underlying=…&position=…&since=…"""

    tag = "Exits"
    list_summary = "List which rules closed what, newest first."
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
