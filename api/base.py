"""What every endpoint has in common: who asks, what for, how fast, and in which shape it is answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, cast

from django_filters.rest_framework import DjangoFilterBackend
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from accounts.domain.scopes import Scope
from accounts.models import AuditEntry, Portfolio, User
from accounts.selectors import portfolio_get
from allocation.follows import follows_current
from allocation.models import Follow
from api.authentication import ApiTokenAuthentication
from api.exceptions import problem_handler
from api.filters import NewestFirst
from api.parsers import LimitedJSONParser
from api.permissions import BOUND, TokenScope, grant_of
from api.renderers import SaidRenderer
from api.throttling import PaceThrottle, pace_headers
from core.errors import NotFound

NOT_KEPT: Final = {"Cache-Control": "no-store"}


class ApiView(APIView):
    """Token or session, JSON in and out, problems as problem+json.

    A view with a method that changes anything names its ``write_scope``; see ``api.permissions``. ``tag`` is
    its chapter in the document of the API; ``keyed``: the caller's ``Idempotency-Key`` goes to the service.
    """

    tag: ClassVar[str] = ""
    read_scope: ClassVar[Scope | None] = Scope.READ
    write_scope: ClassVar[Scope | None] = Scope.SETTINGS
    every_token: ClassVar[bool] = False
    list_summary: ClassVar[str] = ""
    keyed: ClassVar[bool] = False
    authentication_classes: Sequence[type[BaseAuthentication]] = (
        ApiTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated, TokenScope)
    throttle_classes: Sequence[type[BaseThrottle]] = (PaceThrottle,)
    parser_classes = (LimitedJSONParser,)
    renderer_classes = (SaidRenderer,)

    def get_exception_handler(self) -> Callable[..., Response]:
        """Return the one way in which errors are answered."""
        return problem_handler

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        """Tell on every answer what is left of the caller's pace."""
        answer = super().finalize_response(request, response, *args, **kwargs)
        for name, value in pace_headers(request).items():
            answer.headers[name] = value
        return answer

    def cleaned(self, serializer_class: type[BaseSerializer[Any]], data: Any) -> dict[str, Any]:
        """Return the checked request data.

        :raises ValidationError: something in it is wrong
        """
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def portfolio(self) -> Portfolio:
        """Return the portfolio named in the address, if it is the caller's and within reach of the token.

        :raises NotFound: there is none, it is someone else's, or the token is for another one
        """
        portfolio_id, token = self.kwargs["portfolio_id"], grant_of(self.request)
        if token is not None and token.portfolio_id not in (None, portfolio_id):
            raise NotFound(f"You have no portfolio with the number {portfolio_id}.")
        return portfolio_get(user=self.request.user, portfolio_id=portfolio_id)

    def follow(self) -> Follow:
        """Return the follow named in the address, if the portfolio is the caller's.

        :raises NotFound: there is none, it was removed, or it is someone else's
        """
        portfolio, follow_id = self.portfolio(), self.kwargs["follow_id"]
        for follow in follows_current(portfolio_id=portfolio.pk):
            if follow.pk == follow_id:
                follow.portfolio = portfolio
                return follow
        raise NotFound(f"This portfolio has no follow with the number {follow_id}.")

    def unbound(self) -> None:
        """Refuse a token that is for one portfolio, where something outside of it is to be done.

        :raises PermissionDenied: it is
        """
        token = grant_of(self.request)
        if token is not None and token.portfolio_id is not None:
            raise exceptions.PermissionDenied(BOUND)

    def person(self) -> User:
        """Return who asks; every view with a permission of its own has one."""
        return cast("User", self.request.user)

    def via(self) -> str:
        """Return through which door it came, as the audit log names it."""
        return (AuditEntry.Via.PAGE if self.request.auth is None else AuditEntry.Via.API).value


class PagedView(ApiView, GenericAPIView[Any]):
    """GET a list, newest first, in pages: {next, previous, results}."""

    pagination_class: Any = NewestFirst
    filter_backends: Any = (DjangoFilterBackend,)

    def __init_subclass__(cls, **more: Any) -> None:
        """Name the model of the rows, from which the document tells the filters."""
        super().__init_subclass__(**more)
        filters = getattr(cls, "filterset_class", None)
        if filters is not None:
            cls.queryset = filters.Meta.model._default_manager.none()

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one page."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
