"""Getting, listing and ending API tokens."""

from __future__ import annotations

from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from accounts.models import ApiToken
from accounts.selectors import BIGGEST_ID
from accounts.tokens import DAYS_MOST, api_token_end, api_token_get, api_tokens_living
from api.authentication import ApiTokenAuthentication, token_create
from api.base import NOT_KEPT, ApiView
from api.permissions import grant_of
from api.serializers import StrictSerializer
from core.clock import utc_now

SCOPES = [(scope.value, scope.value.capitalize()) for scope in Scope]


class TokenRequest(StrictSerializer):
    """E-mail and password, in exchange for a token that may do what its scopes say."""

    email = serializers.EmailField(max_length=254)
    password = serializers.CharField(max_length=512, trim_whitespace=False, write_only=True)
    code = serializers.CharField(
        max_length=32,
        required=False,
        default="",
        allow_blank=True,
        help_text="The current code of your second factor, where you have one.",
    )
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=SCOPES),
        min_length=1,
        max_length=len(Scope),
        default=lambda: [Scope.READ.value],
        help_text="What the token may be used for; read alone where none is named.",
    )
    days = serializers.IntegerField(
        min_value=1, max_value=DAYS_MOST, default=30, help_text="How long it lives."
    )
    portfolio_id = serializers.IntegerField(
        min_value=1, max_value=BIGGEST_ID, required=False, help_text="The only portfolio it is to reach."
    )


class TokenMade(serializers.Serializer[object]):
    """A token at its only moment in the clear."""

    token = serializers.CharField(help_text="Shown this once.")
    expires_at = serializers.DateTimeField()
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))


class TokenAnswer(serializers.ModelSerializer[ApiToken]):
    """A token as its owner sees it; the token itself is never shown again."""

    name = serializers.CharField(help_text="Empty where a program got it for e-mail and password.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=SCOPES))
    portfolio_id = serializers.IntegerField(
        allow_null=True, help_text="The only portfolio it reaches; null: all of yours."
    )
    expires_at = serializers.DateTimeField(source="token.expiry", allow_null=True)
    current = serializers.SerializerMethodField()

    class Meta:
        model = ApiToken
        fields = (
            "id", "name", "scopes", "portfolio_id", "created_at", "last_used_at", "expires_at", "current",
        )  # fmt: skip

    def get_current(self, token: ApiToken) -> bool:
        """Tell whether it is the token this request was sent with."""
        return bool(token.pk == self.context.get("current"))


class TokenList(serializers.Serializer[object]):
    """All tokens of a person."""

    count = serializers.IntegerField()
    results = TokenAnswer(many=True)


@method_decorator(sensitive_post_parameters(), name="dispatch")
class TokenView(ApiView):
    """POST e-mail and password, get a token. Send it as ``Authorization: Token <token>``."""

    tag = "Tokens"
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = ()  # failed sign-ins are counted together with those of the page

    @extend_schema(request=TokenRequest, responses={200: TokenMade})
    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Get a token. It is shown this once; with a second factor, send its ``code`` too."""
        made = token_create(request=request, **self.cleaned(TokenRequest, request.data))
        answer = {
            "token": made.token,
            "expires_at": made.record.token.expiry,
            "scopes": made.record.scopes,
        }
        return Response(TokenMade(answer).data, headers=NOT_KEPT)


class LogoutView(ApiView):
    """POST ends the token it is sent with."""

    tag = "Tokens"
    write_scope = None
    every_token = True
    authentication_classes = (ApiTokenAuthentication,)

    @extend_schema(request=None, responses={204: None})
    def post(self, request: Request) -> Response:
        """End the token of this request."""
        token = grant_of(request)
        assert token is not None  # noqa: S101 - no session comes through here
        api_token_end(record=token, actor=self.person(), via=self.via(), now=utc_now())
        return Response(status=204)


class TokenListView(ApiView):
    """GET your tokens."""

    tag = "Tokens"
    read_scope = Scope.KEYS

    @extend_schema(responses={200: TokenList})
    def get(self, request: Request) -> Response:
        """List your tokens. Those that have expired are not listed."""
        token = grant_of(request)
        rows = api_tokens_living(user=self.person(), now=utc_now())
        answer = TokenAnswer(rows, many=True, context={"current": token.pk if token else None}).data
        return Response({"count": len(answer), "results": answer}, headers=NOT_KEPT)


class TokenEndView(ApiView):
    """DELETE ends one of your tokens."""

    tag = "Tokens"
    write_scope = Scope.KEYS

    @extend_schema(responses={204: None})
    def delete(self, request: Request, token_id: int) -> Response:
        """End a token. It opens nothing from this moment on."""
        record = api_token_get(user=self.person(), token_id=token_id)
        api_token_end(record=record, actor=self.person(), via=self.via(), now=utc_now())
        return Response(status=204)
