"""Taking over a state file in two steps: what would be made of it, then its confirmation (DAT-1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, cast

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import User
from accounts.services import NAME_LENGTH
from api.base import ApiView
from api.exceptions import BodyTooLarge
from api.idempotency import once
from api.parsers import LimitedJSONParser
from core.clock import utc_now
from core.errors import BooksDiffer, InputError
from engine.domain.state_json import SIZE_MAX
from engine.import_models import StateImport
from engine.state_import import import_get, state_confirm, state_preview


class StateFileParser(LimitedJSONParser):
    """The body as text: the state file itself, read by its own strict rules."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[bytes],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, str]:
        """Return {"text": the file}.

        :raises BodyTooLarge: it has more than 1 MiB; InputError: it is no UTF-8
        """
        body = stream.read(SIZE_MAX + 1)
        if len(body) > SIZE_MAX:
            raise BodyTooLarge("The file is too large; the limit is 1 MiB.")
        try:
            return {"text": body.decode("utf-8-sig")}
        except UnicodeDecodeError:
            raise InputError("It is no text in UTF-8.", field="file") from None


class ImportAnswer(serializers.ModelSerializer[StateImport]):
    """One import: what would be, or was, taken over."""

    class Meta:
        model = StateImport
        fields = ("id", "status", "report", "portfolio_id", "created_at", "done_at")


class ImportList(serializers.Serializer[Any]):
    """The newest imports."""

    results = ImportAnswer(many=True)


class ImportConfirm(serializers.Serializer[Any]):
    """What the new portfolio is called."""

    name = serializers.CharField(max_length=NAME_LENGTH)


class ImportListView(ApiView):
    """POST a state file, get what would be made of it; nothing of yours changes. GET your imports."""

    tag = "Imports"
    parser_classes = (StateFileParser,)

    @extend_schema(responses={200: ImportList})
    def get(self, request: Request) -> Response:
        """List your newest imports."""
        rows = StateImport.objects.filter(owner=_person(request)).defer("text")[:50]
        return Response({"results": ImportAnswer(rows, many=True).data})

    @extend_schema(request={"application/json": {"type": "object"}}, responses={201: ImportAnswer})
    @once
    def post(self, request: Request) -> Response:
        """Preview a state file. It is kept, and nothing of yours changes before you confirm it."""
        self.unbound()
        made = state_preview(
            owner=_person(request), text=str(cast("Mapping[str, str]", request.data)["text"]), now=utc_now()
        )
        return Response(ImportAnswer(made).data, status=201)


class ImportView(ApiView):
    """GET one import. POST {name} confirms it into a new paper portfolio; again, it is the same one."""

    tag = "Imports"

    @extend_schema(responses={200: ImportAnswer})
    def get(self, request: Request, import_id: int) -> Response:
        """Read an import as it stands."""
        return Response(ImportAnswer(import_get(user=_person(request), import_id=import_id)).data)

    @extend_schema(request=ImportConfirm, responses={200: ImportAnswer})
    @once
    def post(self, request: Request, import_id: int) -> Response:
        """Take a state file over into a new paper portfolio. Again, it is the same one."""
        found = import_get(user=_person(request), import_id=import_id)
        wanted = self.cleaned(ImportConfirm, request.data)
        try:
            state_confirm(found=found, name=wanted["name"], now=utc_now())
        except BooksDiffer as difference:
            raise InputError(str(difference), field="file") from None
        found.refresh_from_db()
        return Response(ImportAnswer(found).data)


def _person(request: Request) -> User:
    user = request.user
    assert isinstance(user, User)  # noqa: S101 - the permission has seen to it
    return user
