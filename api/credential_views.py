"""Keys of accounts elsewhere: list, add, rename, revoke. Secrets go in and never come out."""

from __future__ import annotations

from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.credentials import credential_get, credential_rename, credentials_of
from accounts.domain.keys import KEY_LENGTH, NAME_LENGTH, PASSPHRASE_LENGTH, SECRET_LENGTH
from accounts.domain.scopes import Scope
from accounts.models import Credential
from api.base import NOT_KEPT, ApiView
from api.idempotency import once
from api.serializers import StrictSerializer
from core.clock import utc_now
from engine.credentials import KeyWish, credential_add, credential_end


class KeyAdd(StrictSerializer):
    """A key with what it is for; which fields a venue asks for is in the answer to a wrong one."""

    venue = serializers.CharField(max_length=24)
    sandbox = serializers.BooleanField(default=False)
    purpose = serializers.ChoiceField(choices=Credential.Purpose.choices)
    name = serializers.CharField(max_length=NAME_LENGTH)
    api_key = serializers.CharField(max_length=KEY_LENGTH, default="", allow_blank=True, write_only=True)
    secret = serializers.CharField(max_length=SECRET_LENGTH, trim_whitespace=False, write_only=True)
    passphrase = serializers.CharField(
        max_length=PASSPHRASE_LENGTH, default="", allow_blank=True, trim_whitespace=False, write_only=True
    )
    account = serializers.CharField(max_length=KEY_LENGTH, default="", allow_blank=True)


class KeyChange(StrictSerializer):
    """Another name."""

    name = serializers.CharField(max_length=NAME_LENGTH)


class KeyAnswer(serializers.ModelSerializer[Credential]):
    """What may be seen of a key."""

    class Meta:
        model = Credential
        fields = (
            "id", "venue", "sandbox", "purpose", "name", "mask", "account_id", "permissions", "checked_at",
            "check_error", "created_at",
        )  # fmt: skip


class KeyList(serializers.Serializer[object]):
    """The keys of a person."""

    count = serializers.IntegerField()
    results = KeyAnswer(many=True)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class CredentialListView(ApiView):
    """GET your keys; POST {venue, purpose, name, api_key, secret, …} has its venue asked and keeps one."""

    tag = "Keys"
    read_scope = write_scope = Scope.KEYS

    @extend_schema(responses={200: KeyList})
    def get(self, request: Request) -> Response:
        """List your keys at exchanges, oldest first. At most 20; revoked ones are not listed."""
        answer = KeyAnswer(credentials_of(user=request.user), many=True).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)

    @extend_schema(request=KeyAdd, responses={201: KeyAnswer})
    @once
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Enter a key. Its venue is asked what it may do; one that can withdraw is refused."""
        self.unbound()
        wish = KeyWish(**self.cleaned(KeyAdd, request.data))
        made = credential_add(owner=self.person(), wish=wish, via=self.via(), now=utc_now())
        return Response(KeyAnswer(made).data, status=201, headers=NOT_KEPT)


class CredentialView(ApiView):
    """GET one key; PATCH {name} renames it; DELETE erases it."""

    tag = "Keys"
    read_scope = write_scope = Scope.KEYS

    @extend_schema(responses={200: KeyAnswer})
    def get(self, request: Request, credential_id: int) -> Response:
        """Read what may be seen of a key. Its secret never may."""
        return Response(KeyAnswer(self._own(credential_id)).data, headers=NOT_KEPT)

    @extend_schema(request=KeyChange, responses={200: KeyAnswer})
    def patch(self, request: Request, credential_id: int) -> Response:
        """Rename a key."""
        credential = self._own(credential_id)  # before the body: whose it is is told to nobody else
        wanted = self.cleaned(KeyChange, request.data)
        renamed = credential_rename(credential=credential, name=wanted["name"], via=self.via(), now=utc_now())
        return Response(KeyAnswer(renamed).data, headers=NOT_KEPT)

    @extend_schema(responses={204: None})
    def delete(self, request: Request, credential_id: int) -> Response:
        """Erase a key. Refused where something still uses it."""
        credential_end(credential=self._own(credential_id), via=self.via(), now=utc_now())
        return Response(status=204)

    def _own(self, credential_id: int) -> Credential:
        return credential_get(user=self.request.user, credential_id=credential_id)
