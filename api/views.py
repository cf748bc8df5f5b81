"""Portfolios, whom they follow, and what was decided: thin doors to selectors and services."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import orjson
from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound as NoSuchAddress
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import Portfolio
from accounts.selectors import BIGGEST_ID, portfolios_of
from allocation.follows import follows_current
from allocation.models import Follow
from api.base import ApiView, PagedView
from api.filters import DecisionFilter, ShortPages, SignalFilter
from api.idempotency import once
from api.permissions import grant_of
from api.serializers import (
    DecisionAnswer,
    FollowAnswer,
    FollowChange,
    FollowEnd,
    FollowList,
    FollowStart,
    PortfolioAnswer,
    PortfolioOpen,
    WeightsChange,
)
from api.trading_serializers import SignalAnswer
from api.view_schema import PortfolioWhole
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
from engine.portfolios import portfolio_open
from engine.selectors import portfolio_view
from engine.style import style_action_set, style_dismiss
from traders.models import StrategySignal


class PortfolioListView(PagedView):
    """GET the caller's portfolios; POST opens one."""

    tag = "Portfolios"
    list_summary = "List your portfolios, oldest first."
    every_token = True
    serializer_class = PortfolioAnswer
    pagination_class = ShortPages
    filter_backends = ()

    def get_queryset(self) -> QuerySet[Portfolio]:
        """Return the caller's own with their worth; with a token for one portfolio, that one."""
        rows, token = portfolios_of(user=self.request.user), grant_of(self.request)
        rows = rows.select_related("valuation")
        return rows.filter(pk=token.portfolio_id) if token and token.portfolio_id else rows

    @extend_schema(request=PortfolioOpen, responses={201: PortfolioAnswer})
    @once
    def post(self, request: Request) -> Response:
        """Open a portfolio. It starts with paper cash and lives in the market world of its first trader."""
        self.unbound()
        wanted = self.cleaned(PortfolioOpen, request.data)
        cash = settings.INITIAL_PORTFOLIO_VALUE
        made = portfolio_open(owner=self.person(), initial_cash=cash, now=utc_now(), **wanted)
        return Response(PortfolioAnswer(made).data, status=201)


class PortfolioView(ApiView):
    """GET one portfolio, whole: the document that page and socket show."""

    tag = "Portfolios"

    @extend_schema(responses={200: PortfolioWhole})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read a portfolio whole. With ``If-None-Match`` an unchanged one is answered 304, without a body."""
        view = portfolio_view(portfolio=self.portfolio())
        etag = f'"{sha256(orjson.dumps(view)).hexdigest()[:32]}"'
        headers = {"Cache-Control": "private, no-cache", "ETag": etag}
        if etag in {tag.strip() for tag in request.headers.get("If-None-Match", "").split(",")}:
            return Response(status=304, headers=headers)
        return Response(view, headers=headers)


class FollowListView(ApiView):
    """GET the followed traders in their order; POST {kind, key, join_mode?} follows one more."""

    tag = "Traders"

    @extend_schema(responses={200: FollowList})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """List the followed traders, in their order. At most ten; those that were removed are not listed."""
        return Response(_follows(self.portfolio()))

    @extend_schema(request=FollowStart, responses={201: FollowAnswer})
    @once
    def post(self, request: Request, portfolio_id: int) -> Response:
        """Follow a trader. Look at its preview first; the portfolio's world is fixed by the first one."""
        portfolio = self.portfolio()
        wanted = self.cleaned(FollowStart, request.data)
        follow = follow_start(portfolio=portfolio, now=utc_now(), **wanted)
        return Response(FollowAnswer(follow).data, status=201)


class FollowView(ApiView):
    """PATCH {status?, place?, style_action?} changes it; DELETE ?positions=close|keep stops following."""

    tag = "Traders"

    @extend_schema(responses={200: FollowAnswer})
    def get(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Read one follow."""
        return Response(FollowAnswer(self.follow()).data)

    @extend_schema(request=FollowChange, responses={200: FollowAnswer})
    def patch(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Pause, resume or move a follow. All that is named is changed, or nothing."""
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

    @extend_schema(parameters=[FollowEnd], responses={202: FollowAnswer})
    def delete(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Stop following a trader. The follow stays as "leaving" until its positions are closed."""
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

    tag = "Traders"

    @extend_schema(request=None, responses={204: None})
    @once
    def post(self, request: Request, portfolio_id: int, follow_id: int, alarm_id: int) -> Response:
        """Take a change of style for the new normal. Twice is harmless."""
        if alarm_id > BIGGEST_ID:
            raise NotFound(f"There is no change of style with the number {alarm_id}.")
        style_dismiss(follow=self.follow(), alarm_id=alarm_id, now=utc_now())
        return Response(status=204)


class SignalListView(PagedView):
    """GET what a followed strategy said, newest first: ?code=…&side=…&since=…&limit=…&cursor=…"""

    tag = "Traders"
    list_summary = "List what a followed strategy said on each closed candle, newest first."
    serializer_class = SignalAnswer
    filterset_class = SignalFilter

    def get_queryset(self) -> QuerySet[StrategySignal]:
        """Return the signals of the trader behind the follow; none where it is no strategy."""
        return StrategySignal.objects.filter(trader_id=self.follow().trader_id)


class WeightsView(ApiView):
    """PUT {weighting: "custom", weights: {follow id: percent}} or {weighting: "equal"} splits the capital."""

    tag = "Traders"

    @extend_schema(request=WeightsChange, responses={200: FollowList})
    def put(self, request: Request, portfolio_id: int) -> Response:
        """Split the capital over the traders. Every target is placed anew."""
        portfolio = self.portfolio()
        wanted = self.cleaned(WeightsChange, request.data)
        chosen = {int(key): percent for key, percent in wanted.get("weights", {}).items()}
        weights_set(portfolio=portfolio, weights=chosen or None, now=utc_now())
        return Response(_follows(portfolio))


class DecisionListView(PagedView):
    """GET the decisions, newest first: ?kind=…&underlying=…&follow=…&since=…&limit=…&cursor=…"""

    tag = "Decisions"
    list_summary = "List every decision with its reason, newest first."
    serializer_class = DecisionAnswer
    filterset_class = DecisionFilter

    def get_queryset(self) -> QuerySet[Decision]:
        """Return the decisions of the caller's portfolio."""
        return Decision.objects.filter(portfolio=self.portfolio()).prefetch_related("follows")


@extend_schema(exclude=True)
class NoSuchView(ApiView):
    """Everything else under /api/v1/."""

    permission_classes = (AllowAny,)
    throttle_classes = ()

    def initial(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Refuse whatever the method.

        :raises NotFound: always
        """
        raise NoSuchAddress("There is nothing at this address.")


def _follows(portfolio: Portfolio) -> dict[str, Any]:
    follows = follows_current(portfolio_id=portfolio.pk)
    return {"count": len(follows), "results": FollowAnswer(follows, many=True).data}
