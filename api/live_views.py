"""A portfolio's real account, reached through its owner alone; changes are commands (``live_connect``, …)."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import NOT_KEPT, ApiView
from api.live_schema import LiveStand
from core.clock import utc_now
from engine.live.status import live_data, live_status


class LiveView(ApiView):
    """GET how a portfolio stands with its account: state, conditions, holdings, findings, its shadow."""

    tag = "Live"

    @extend_schema(responses={200: LiveStand})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read how a portfolio stands with its real account. Nothing is asked of the venue."""
        status = live_status(portfolio=self.portfolio(), now=utc_now())
        return Response(live_data(status=status), headers=NOT_KEPT)
