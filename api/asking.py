"""Asking for commands: the one way in which an endpoint has something done in the background."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import Portfolio
from api.base import ApiView
from api.idempotency import key_read
from api.permissions import grant_of, scope_require
from api.trading_serializers import CommandAnswer
from core.clock import utc_now
from core.ids import uuid_new
from engine.commands import command_accept
from engine.models import Command

# What is not named here trades.
SCOPES: Final[Mapping[str, Scope]] = {
    Command.Kind.MODE.value: Scope.SETTINGS,
    Command.Kind.LIMITS.value: Scope.SETTINGS,
    Command.Kind.EXIT_DEFAULTS.value: Scope.SETTINGS,
    Command.Kind.LIVE_CONNECT.value: Scope.KEYS,
    Command.Kind.LIVE_PROMOTE.value: Scope.KEYS,
    Command.Kind.LIVE_RAMP.value: Scope.KEYS,
    Command.Kind.LIVE_DISCONNECT.value: Scope.KEYS,
    Command.Kind.LIVE_SETTLE.value: Scope.KEYS,
}


def command_ask(view: ApiView, *, portfolio: Portfolio, kind: str, data: Any) -> Response:
    """Have a command accepted; 202 with it. The caller's ``Idempotency-Key`` is the command's own key.

    :raises MissingScope: the token does not cover this kind
    :raises InputError: see ``command_accept``
    """
    scope_require(grant_of(view.request), SCOPES.get(kind, Scope.TRADE))
    command = command_accept(
        portfolio=portfolio,
        kind=kind,
        data=data,
        key=key_read(view.request) or f"{kind} {uuid_new()}",
        asked_by=view.person(),
        via=view.via(),
        now=utc_now(),
    )
    return Response(CommandAnswer(command).data, status=202)
