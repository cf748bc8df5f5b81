"""Agents: a person registers and looks after them; each posts its positions under its own signature."""

from __future__ import annotations

import json
import math
from typing import Any, Final
from uuid import UUID

from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from api.agent_serializers import (
    SIGNED,
    AgentAdd,
    AgentAnswer,
    AgentChange,
    AgentList,
    AgentWithSecret,
    PositionsPost,
    PositionsPosted,
)
from api.base import NOT_KEPT, ApiView
from api.exceptions import BodyTooLarge
from api.idempotency import once
from api.parsers import MAX_BODY_BYTES
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

SCHEME: Final = "Ensemble-Signature"
_UNSIGNED: Final = "No agent signed this. See “Posting as an agent” in the documentation of the API."


class SequenceConflict(exceptions.APIException):
    """Another post has this sequence, or a higher one."""

    status_code = status.HTTP_409_CONFLICT


def _with_secret(made: NewAgent) -> dict[str, Any]:
    return {**AgentAnswer(made.agent).data, "secret": made.secret}


class AgentListView(ApiView):
    """GET your agents; POST {name, interval_s?} registers one and shows its secret this once."""

    tag = "Agents"
    read_scope = write_scope = Scope.AGENTS

    @extend_schema(responses={200: AgentList})
    def get(self, request: Request) -> Response:
        """List your agents, oldest first. At most 10; revoked ones are not listed."""
        answer = AgentAnswer(agents_of(user=request.user), many=True).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)

    @extend_schema(request=AgentAdd, responses={201: AgentWithSecret})
    @once
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Register an agent. Its secret is shown this once."""
        self.unbound()
        wanted = self.cleaned(AgentAdd, request.data)
        made = agent_register(owner=self.person(), via=self.via(), now=utc_now(), **wanted)
        return Response(_with_secret(made), status=201, headers=NOT_KEPT)


class AgentView(ApiView):
    """GET one agent; PATCH {name?, interval_s?} changes it; DELETE revokes it."""

    tag = "Agents"
    read_scope = write_scope = Scope.AGENTS

    @extend_schema(responses={200: AgentAnswer})
    def get(self, request: Request, agent_id: UUID) -> Response:
        """Read one agent."""
        return Response(AgentAnswer(self._own(agent_id)).data, headers=NOT_KEPT)

    @extend_schema(request=AgentChange, responses={200: AgentAnswer})
    def patch(self, request: Request, agent_id: UUID) -> Response:
        """Rename an agent, or change how often it posts."""
        agent, wanted = self._own(agent_id), self.cleaned(AgentChange, request.data)
        changed = agent_change(agent=agent, via=self.via(), now=utc_now(), **wanted)
        return Response(AgentAnswer(changed).data, headers=NOT_KEPT)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, agent_id: UUID) -> Response:
        """Revoke an agent. Its secret is erased; refused while it is followed."""
        agent_end(agent=self._own(agent_id), via=self.via(), now=utc_now())
        return Response(status=204)

    def _own(self, agent_id: UUID) -> PushAgent:
        return agent_get(user=self.request.user, agent_id=agent_id)


class AgentSecretView(ApiView):
    """POST gives an agent a new secret; the old one signs nothing any more."""

    tag = "Agents"
    write_scope = Scope.AGENTS

    @extend_schema(request=None, responses={200: AgentWithSecret})
    @once
    @sensitive_variables()
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Give an agent a new secret. It is shown this once; the old one signs nothing any more."""
        agent = agent_get(user=request.user, agent_id=agent_id)
        made = agent_rotate(agent=agent, via=self.via(), now=utc_now())
        return Response(_with_secret(made), headers=NOT_KEPT)


class AgentPositionsView(ApiView):
    """POST {at, sequence, equity, positions}, signed by the agent. No token and no session counts here."""

    tag = "Agents"
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()  # each agent has a pace of its own

    def get_authenticate_header(self, request: Request) -> str:
        """Name the way to sign, so that a refusal is a 401."""
        return SCHEME

    @extend_schema(request=PositionsPost, responses={200: PositionsPosted}, parameters=SIGNED)
    @sensitive_variables()
    def post(self, request: Request, agent_id: UUID) -> Response:
        """Post what an agent holds, signed by it. The same post once more does nothing."""
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
