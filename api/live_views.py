"""A portfolio's real account, reached through its owner alone; changes are commands (``live_connect``, …)."""

from __future__ import annotations

from rest_framework.request import Request
from rest_framework.response import Response

from api.views import ApiView
from core.clock import utc_now
from engine.live.status import live_data, live_status


class LiveView(ApiView):
    """GET how a portfolio stands with its account: state, conditions, holdings, findings, its shadow."""

    def get(self, request: Request, portfolio_id: int) -> Response:
        """Return it; nothing is asked of the venue."""
        status = live_status(portfolio=self.portfolio(), now=utc_now())
        return Response(live_data(status=status), headers={"Cache-Control": "no-store"})
