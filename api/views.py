"""The endpoints: thin doors to selectors and services. Portfolios are reached through their owner alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import DjangoFilterBackend
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import NotFound as NoSuchAddress
from rest_framework.generics import GenericAPIView, ListAPIView
from rest_framework.permissions import AllowAny, BasePermission, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.views import APIView

from accounts.models import Portfolio
from accounts.selectors import BIGGEST_ID, portfolio_get, portfolios_of
from allocation.follows import follows_current
from allocation.models import Follow
from api.authentication import ApiTokenAuthentication, token_create
from api.exceptions import problem_handler
from api.filters import DecisionFilter, DecisionPages, ShortPages, SignalFilter
from api.parsers import LimitedJSONParser
from api.serializers import (
    DecisionAnswer,
    FollowAnswer,
    FollowChange,
    FollowEnd,
    FollowStart,
    PortfolioAnswer,
    TokenRequest,
    WeightsChange,
)
from api.trading_serializers import SignalAnswer
from core.clock import utc_now
from core.errors import NotFound
from engine.follows import (
    follow_pause,
    follow_remove,
    follow_resume,
    follow_start,
    follows_arrange,
    weights_set,
)
from engine.models import Decision
from engine.selectors import portfolio_view
from engine.style import style_action_set, style_dismiss
from traders.models import StrategySignal


class ApiView(APIView):
    """What every endpoint has in common: token or session, JSON in and out, problems as problem+json."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (
        ApiTokenAuthentication,
        SessionAuthentication,
    )
    permission_classes: Sequence[type[BasePermission]] = (IsAuthenticated,)
    parser_classes = (LimitedJSONParser,)
    renderer_classes = (JSONRenderer,)

    def get_exception_handler(self) -> Callable[..., Response]:
        """Return the one way in which errors are answered."""
        return problem_handler

    def cleaned(self, serializer_class: type[BaseSerializer[Any]], data: Any) -> dict[str, Any]:
        """Return the checked request data.

        :raises ValidationError: something in it is wrong
        """
        serializer = serializer_class(data=data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def portfolio(self) -> Portfolio:
        """Return the portfolio named in the address, if it is the caller's.

        :raises NotFound: there is none, or it is someone else's
        """
        return portfolio_get(user=self.request.user, portfolio_id=self.kwargs["portfolio_id"])

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


class TokenView(ApiView):
    """POST e-mail and password, get a token. Send it as ``Authorization: Token <token>``."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request: Request) -> Response:
        """Return {token, expires_at}; the token is shown this once."""
        made = token_create(request=request, **self.cleaned(TokenRequest, request.data))
        answer = {"token": made.token, "expires_at": made.expires_at}
        return Response(answer, headers={"Cache-Control": "no-store"})


class LogoutView(ApiView):
    """POST ends the token it is sent with."""

    authentication_classes = (ApiTokenAuthentication,)

    def post(self, request: Request) -> Response:
        """Delete the token."""
        request.auth.delete()
        return Response(status=204)


class PortfolioListView(ApiView, ListAPIView[Portfolio]):
    """GET the caller's portfolios."""

    serializer_class = PortfolioAnswer
    pagination_class = ShortPages
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Portfolio]:
        """Return the caller's own, with their worth."""
        return portfolios_of(user=self.request.user).select_related("valuation")


class PortfolioView(ApiView):
    """GET one portfolio, whole: the document that page and socket show."""

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return the view."""
        return Response(portfolio_view(portfolio=self.portfolio()), headers={"Cache-Control": "no-store"})


class FollowListView(ApiView):
    """GET the followed traders in their order; POST {kind, key, join_mode?} follows one more."""

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return at most ten follows; those that were removed are not listed."""
        follows = follows_current(portfolio_id=self.portfolio().pk)
        return Response({"count": len(follows), "results": FollowAnswer(follows, many=True).data})

    def post(self, request: Request, portfolio_id: int) -> Response:
        """Follow a trader; 201 with the new follow."""
        portfolio = self.portfolio()
        wanted = self.cleaned(FollowStart, request.data)
        follow = follow_start(portfolio=portfolio, now=utc_now(), **wanted)
        return Response(FollowAnswer(follow).data, status=201)


class FollowView(ApiView):
    """PATCH {status?, place?, style_action?} changes it; DELETE ?positions=close|keep stops following."""

    def get(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Return the follow."""
        return Response(FollowAnswer(self.follow()).data)

    def patch(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Change all that is named or nothing; return the follow as it stands now."""
        follow = self.follow()
        wanted = self.cleaned(FollowChange, request.data)
        with transaction.atomic():
            match wanted.get("status"):
                case "paused":
                    follow_pause(follow=follow, now=utc_now())
                case "active":
                    follow_resume(follow=follow, now=utc_now())
            if "style_action" in wanted:
                style_action_set(follow=follow, action=wanted["style_action"], now=utc_now())
            if "place" in wanted:
                self._move(follow, place=wanted["place"])
        return Response(FollowAnswer(self.follow()).data)

    def delete(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Stop following; 202 with the follow, which stays as "leaving" until its positions are closed."""
        wanted = self.cleaned(FollowEnd, request.query_params.dict())
        keep = wanted["positions"] == "keep"
        follow = follow_remove(follow=self.follow(), keep_positions=keep, now=utc_now())
        return Response(FollowAnswer(follow).data, status=202)

    def _move(self, follow: Follow, *, place: int) -> None:
        follows = follows_current(portfolio_id=follow.portfolio_id)
        order = [other.pk for other in follows if other.pk != follow.pk]
        order.insert(place - 1, follow.pk)
        follows_arrange(portfolio=follow.portfolio, follow_ids=order, now=utc_now())


class StyleDismissView(ApiView):
    """POST takes a change of style (``style`` of the trader in the view) for the trader's new normal."""

    def post(self, request: Request, portfolio_id: int, follow_id: int, alarm_id: int) -> Response:
        """Dismiss it; 204, also the second time."""
        if alarm_id > BIGGEST_ID:
            raise NotFound(f"There is no change of style with the number {alarm_id}.")
        style_dismiss(follow=self.follow(), alarm_id=alarm_id, now=utc_now())
        return Response(status=204)


class SignalListView(ApiView, GenericAPIView[StrategySignal]):
    """GET what a followed strategy said, newest first: ?code=…&side=…&since=…&limit=…&cursor=…"""

    serializer_class = SignalAnswer
    pagination_class = DecisionPages
    filter_backends = (DjangoFilterBackend,)
    filterset_class = SignalFilter

    def get_queryset(self) -> QuerySet[StrategySignal]:
        """Return the signals of the trader behind the follow; none where it is no strategy."""
        return StrategySignal.objects.filter(trader_id=self.follow().trader_id)

    def get(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Return one page: {next, previous, results}."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class WeightsView(ApiView):
    """PUT {weighting: "custom", weights: {follow id: percent}} or {weighting: "equal"} splits the capital."""

    def put(self, request: Request, portfolio_id: int) -> Response:
        """Split it; every target is placed anew. Answer with the follows and their weights."""
        portfolio = self.portfolio()
        wanted = self.cleaned(WeightsChange, request.data)
        chosen = {int(key): percent for key, percent in wanted.get("weights", {}).items()}
        weights_set(portfolio=portfolio, weights=chosen or None, now=utc_now())
        follows = follows_current(portfolio_id=portfolio.pk)
        return Response({"count": len(follows), "results": FollowAnswer(follows, many=True).data})


class DecisionListView(ApiView, GenericAPIView[Decision]):
    """GET the decisions, newest first: ?kind=…&underlying=…&follow=…&since=…&limit=…&cursor=…"""

    serializer_class = DecisionAnswer
    pagination_class = DecisionPages
    filter_backends = (DjangoFilterBackend,)
    filterset_class = DecisionFilter

    def get_queryset(self) -> QuerySet[Decision]:
        """Return the decisions of the caller's portfolio."""
        return Decision.objects.filter(portfolio=self.portfolio()).prefetch_related("follows")

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return one page: {next, previous, results}."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)


class NoSuchView(ApiView):
    """Everything else under /api/v1/."""

    permission_classes = (AllowAny,)

    def initial(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Refuse whatever the method.

        :raises NotFound: always
        """
        raise NoSuchAddress("There is nothing at this address.")
