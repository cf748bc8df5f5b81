"""What a portfolio holds and has held: positions, fills, the ledger, equity, candles."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.selectors import BIGGEST_ID
from allocation.models import LedgerEntry
from api.base import NOT_KEPT, ApiView, PagedView
from api.book_serializers import (
    CandlesAnswer,
    ClosedAnswer,
    EquityAnswer,
    FilledAnswer,
    LedgerAnswer,
    PositionAnswer,
    PositionWhole,
)
from api.filters import ClosedFilter, ClosedPages, FillFilter, LedgerFilter, PositionFilter
from api.serializers import StrictSerializer
from core.clock import utc_now
from core.errors import NotFound
from engine.history import equity_history
from engine.position_story import candles_read, position_read
from engine.trade_history import closed_rows
from execution.models import Fill
from positions.models import Position


class CandlesAsked(StrictSerializer):
    """From when on."""

    since = serializers.DateTimeField(required=False, help_text="World time; older candles are left out.")


class PositionListView(PagedView):
    """GET the positions, open and closed, newest first: ?status=…&underlying=…&open=true|false"""

    tag = "Positions"
    list_summary = "List the positions, open and closed, newest first."
    serializer_class = PositionAnswer
    filterset_class = PositionFilter

    def get_queryset(self) -> QuerySet[Position]:
        """Return the positions of the caller's portfolio."""
        return Position.objects.filter(portfolio=self.portfolio()).prefetch_related("slices")


class ClosedListView(PagedView):
    """GET the closed positions with what their fills bought and sold, the one closed last first."""

    tag = "Positions"
    list_summary = "List the closed positions with their results, the one closed last first."
    serializer_class = ClosedAnswer
    pagination_class = ClosedPages
    filterset_class = ClosedFilter

    def get_queryset(self) -> QuerySet[Position]:
        """Return the closed positions of the caller's portfolio."""
        closed = Position.objects.filter(portfolio=self.portfolio(), status=Position.Status.CLOSED)
        return closed.prefetch_related("slices")

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one page, with the averages of all its fills read at once."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset())) or []
        return self.get_paginated_response(ClosedAnswer(closed_rows(positions=page), many=True).data)


class PositionView(ApiView):
    """GET one position, whole."""

    tag = "Positions"

    @extend_schema(responses={200: PositionWhole})
    def get(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Read one position, with its exits, its orders, and every rule that closed some of it."""
        story = position_read(portfolio=self.portfolio(), position_id=_number(position_id))
        return Response(PositionWhole(story).data, headers=NOT_KEPT)


class CandlesView(ApiView):
    """GET the candles and fills of one position."""

    tag = "Positions"

    @extend_schema(responses={200: CandlesAnswer}, parameters=[CandlesAsked])
    def get(self, request: Request, portfolio_id: int, position_id: int) -> Response:
        """Read what the chart of a position draws: candles of five minutes, and its fills."""
        portfolio, asked = self.portfolio(), self.cleaned(CandlesAsked, request.query_params.dict())
        candles = candles_read(
            portfolio=portfolio, position_id=_number(position_id), now=utc_now(), since=asked.get("since")
        )
        return Response(candles, headers=NOT_KEPT)


class FillListView(PagedView):
    """GET every fill, newest first: ?underlying=…&order=…&since=…"""

    tag = "Orders"
    list_summary = "List every fill with what it cost against each trader's own price, newest first."
    serializer_class = FilledAnswer
    filterset_class = FillFilter

    def get_queryset(self) -> QuerySet[Fill]:
        """Return the fills of the caller's portfolio."""
        fills = Fill.objects.filter(order__portfolio=self.portfolio())
        return fills.select_related("order").prefetch_related("fidelity__copied")


class LedgerView(PagedView):
    """GET every booking of cash, newest first: ?kind=…&since=…"""

    tag = "Capital"
    list_summary = "List every booking of cash, newest first."
    serializer_class = LedgerAnswer
    filterset_class = LedgerFilter

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        """Return the bookings of the caller's portfolio."""
        return LedgerEntry.objects.filter(portfolio=self.portfolio())


class EquityView(ApiView):
    """GET the equity curves of the portfolio and its traders."""

    tag = "Portfolios"

    @extend_schema(responses={200: EquityAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read the equity curves over the current run, at most 1,000 points a line."""
        return Response(equity_history(portfolio=self.portfolio()), headers=NOT_KEPT)


def _number(position_id: int) -> int:
    """Return a number that a position can have.

    :raises NotFound: none can
    """
    if position_id > BIGGEST_ID:
        raise NotFound(f"This portfolio has no position with the number {position_id}.")
    return position_id
