"""Agents: a person registers and looks after them; each posts its positions under its own signature."""

from __future__ import annotations

import json
import math
from typing import Any, Final, cast
from uuid import UUID

from django.views.decorators.debug import sensitive_variables
from rest_framework import exceptions, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import AuditEntry, User
from api.agent_serializers import AgentAdd, AgentAnswer, AgentChange, PositionsPost
from api.exceptions import BodyTooLarge
from api.parsers import MAX_BODY_BYTES
from api.views import ApiView
from core.clock import utc_now
from engine.agents import agent_end, agent_posted
from traders.domain.signing import body_digest, whole_number
from traders.models import PushAgent
from traders.push import (
    ClockWrong,
    NewAgent,
    NotTheAgent,
    Posted,
    PostedTooFast,
    SequenceUsed,
    agent_authenticate,
    agent_change,
    agent_get,
    agent_pace,
    agent_register,
    agent_rotate,
    agents_of,
)

NOT_KEPT: Final = {"Cache-Control": "no-store"}
SCHEME: Final = "Ensemble-Signature"
_UNSIGNED: Final = "No agent signed this. See “Posting as an agent” in the documentation of the API."


class SequenceConflict(exceptions.APIException):
    """Another post has this sequence, or a higher one."""

    status_code = status.HTTP_409_CONFLICT


def _via(request: Request) -> str:
    return (AuditEntry.Via.PAGE if request.auth is None else AuditEntry.Via.API).value


def _with_secret(made: NewAgent) -> dict[str, Any]:
    return {**AgentAnswer(made.agent).data, "secret": made.secret}


class AgentListView(ApiView):
    """GET your agents; POST {name, interval_s?} registers one and shows its secret this once."""

    def get(self, request: Request) -> Response:
        """Return at most 10, oldest first; revoked ones are not listed."""
        answer = AgentAnswer(agents_of(user=request.user), many=True).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Return the agent with its secret; 201."""
        wanted = self.cleaned(AgentAdd, request.data)
        made = agent_register(owner=cast("User", request.user), via=_via(request), now=utc_now(), **wanted)
        return Response(_with_secret(made), status=201, headers=NOT_KEPT)


class AgentView(ApiView):
    """GET one agent; PATCH {name?, interval_s?} changes it; DELETE revokes it."""

    def get(self, request: Request, agent_id: UUID) -> Response:
        """Return it."""
        return Response(AgentAnswer(self._own(agent_id)).data, headers=NOT_KEPT)

    def patch(self, request: Request, agent_id: UUID) -> Response:
        """Return it as it is now."""
        agent, wanted = self._own(agent_id), self.cleaned(AgentChange, request.data)
        changed = agent_change(agent=agent, via=_via(request), now=utc_now(), **wanted)
        return Response(AgentAnswer(changed).data, headers=NOT_KEPT)

    def delete(self, request: Request, agent_id: UUID) -> Response:
        """Erase its secret; 204, or 400 while it is followed."""
        agent_end(agent=self._own(agent_id), via=_via(request), now=utc_now())
        return Response(status=204)

    def _own(self, agent_id: UUID) -> PushAgent:
        return agent_get(user=self.request.user, agent_id=agent_id)


class AgentSecretView(ApiView):
    """POST gives an agent a new secret; the old one signs nothing any more."""

    @sensitive_variables()
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Return the agent with its new secret, shown this once."""
        agent = agent_get(user=request.user, agent_id=agent_id)
        made = agent_rotate(agent=agent, via=_via(request), now=utc_now())
        return Response(_with_secret(made), headers=NOT_KEPT)


class AgentPositionsView(ApiView):
    """POST {at, sequence, equity, positions}, signed by the agent. No token and no session counts here."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        """Name the way to sign, so that a refusal is a 401."""
        return SCHEME

    @sensitive_variables()
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Return {"sequence", "repeated"}; 200 also for the same post once more, which does nothing."""
        body = request.read(MAX_BODY_BYTES + 1)
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge
        now, agent = utc_now(), self._agent(request, agent_id, body)
        try:
            agent_pace(agent=agent, now=now)
        except PostedTooFast as error:
            raise exceptions.Throttled(wait=math.ceil(error.retry_after_s) or 1, detail=str(error)) from None
        wanted = self.cleaned(PositionsPost, _decoded(body))
        if wanted["sequence"] != whole_number(request.headers.get("X-Ensemble-Sequence", "")):
            raise exceptions.ValidationError(
                {"sequence": ["Must be that of the header X-Ensemble-Sequence."]}
            )
        try:
            posted = agent_posted(agent=agent, digest=body_digest(body=body), now=now, **wanted)
        except SequenceUsed as error:
            raise SequenceConflict(str(error)) from None
        except NotTheAgent as error:
            raise exceptions.AuthenticationFailed(str(error)) from None
        answer = {"sequence": wanted["sequence"], "repeated": posted is Posted.REPEATED}
        return Response(answer, headers=NOT_KEPT)

    def _agent(self, request: Request, agent_id: UUID, body: bytes) -> PushAgent:
        """Return who signed.

        :raises AuthenticationFailed: nobody whom this server knows
        """
        try:
            return agent_authenticate(
                agent_id=agent_id,
                timestamp=request.headers.get("X-Ensemble-Timestamp", ""),
                sequence=request.headers.get("X-Ensemble-Sequence", ""),
                signature=request.headers.get("X-Ensemble-Signature", ""),
                method="POST",
                path=request.path,
                body=body,
                now=utc_now(),
            )
        except ClockWrong as error:
            raise exceptions.AuthenticationFailed(str(error)) from None
        except NotTheAgent:
            raise exceptions.AuthenticationFailed(_UNSIGNED) from None


def _decoded(body: bytes) -> Any:
    """Return the body's JSON.

    :raises ParseError: it is none
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise exceptions.ParseError("The body is not JSON.") from None
    if not isinstance(data, dict):
        raise exceptions.ParseError("The body is no JSON object.")
    return data
