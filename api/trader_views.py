"""Traders before they are followed: the catalogue, and the preview of one; and the card of a followed one."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from api.base import NOT_KEPT, ApiView
from api.fields import PlainDecimalField
from api.serializers import StrictSerializer
from api.view_schema import ViewTrader
from core.clock import utc_now
from core.errors import NotFound
from engine.copy_preview import CopyPlan, catalog_read, copy_plan, follow_barrier
from engine.selectors import portfolio_view
from traders.models import KIND_CHOICES
from traders.services import TraderPreview, trader_preview


class CatalogTraderAnswer(serializers.Serializer[Any]):
    """A recorded trader or a strategy; ``kind`` and ``key`` follow it."""

    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    key = serializers.CharField()
    name = serializers.CharField()
    monogram = serializers.CharField()
    detail = serializers.CharField()
    followed = serializers.BooleanField()


class CatalogGroupAnswer(serializers.Serializer[Any]):
    """The traders of one market world; of another than the portfolio's they cannot be followed."""

    title = serializers.CharField()
    note = serializers.CharField()
    other_world = serializers.BooleanField()
    traders = CatalogTraderAnswer(many=True)


class CatalogAnswer(serializers.Serializer[Any]):
    """What can be followed without any account or address."""

    results = CatalogGroupAnswer(many=True)


class PreviewAsked(StrictSerializer):
    """Which trader."""

    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    key = serializers.CharField(max_length=120, help_text="Its address, or its name in the catalogue.")


class PreviewLine(serializers.Serializer[Any]):
    """One open position of the trader, and what the portfolio would hold of it."""

    code = serializers.CharField(source="position.code")
    side = serializers.CharField()
    quantity = PlainDecimalField(source="position.quantity", help_text="Signed, long positive.")
    entry_price = PlainDecimalField(source="position.entry_price")
    mark_price = PlainDecimalField(source="position.mark_price", allow_null=True)
    notional = PlainDecimalField(source="position.notional", help_text="Signed.")
    opened_at = serializers.DateTimeField(source="position.opened_at", allow_null=True)
    pnl = PlainDecimalField(allow_null=True)
    ours = PlainDecimalField(allow_null=True, help_text="Signed notional we would hold; null: unknown.")
    joins = serializers.BooleanField(help_text="Copied at once with the join mode include_open.")
    note = serializers.CharField(help_text="Why less than wished.")


class RecentResult(serializers.Serializer[Any]):
    """Profit and loss of a recent span."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field may be called so
    amount = PlainDecimalField()


class ShortfallAnswer(serializers.Serializer[Any]):
    """What takes a part of the book, in percent of it."""

    cause = serializers.CharField()
    percent = PlainDecimalField()


class FeasibleAnswer(serializers.Serializer[Any]):
    """How much of the book could be copied with this capital, and what takes the rest (BEY-4)."""

    percent = PlainDecimalField()
    reasons = ShortfallAnswer(many=True)
    capital = serializers.CharField(help_text="What it would take to copy 90 %.")


class PreviewAnswer(serializers.Serializer[Any]):
    """What following a trader would mean here. ``barrier``: why it cannot be, empty where it can."""

    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    key = serializers.CharField()
    name = serializers.CharField()
    detail = serializers.CharField()
    world = serializers.CharField()
    equity = PlainDecimalField()
    recent_pnl = RecentResult(many=True)
    notes = serializers.ListField(child=serializers.CharField())
    barrier = serializers.CharField()
    share = PlainDecimalField(help_text="Capital it would be assigned.")
    weight_pct = PlainDecimalField()
    scale = PlainDecimalField(help_text="Factor on every position so that it stays within its share.")
    positions = PreviewLine(many=True)
    feasible = FeasibleAnswer(allow_null=True)
    read_at = serializers.DateTimeField()


class CatalogView(ApiView):
    """GET the recorded traders and strategies by world."""

    tag = "Traders"

    @extend_schema(responses={200: CatalogAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """List the recorded traders and strategies, the portfolio's own world first."""
        groups = catalog_read(portfolio=self.portfolio(), chosen="")
        return Response(CatalogAnswer({"results": groups}).data, headers=NOT_KEPT)


class PreviewView(ApiView):
    """GET what following a trader would mean: ?kind=…&key=…"""

    tag = "Traders"

    @extend_schema(parameters=[PreviewAsked], responses={200: PreviewAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Preview a trader before following it. Its source is asked, at most once in 10 s."""
        portfolio, asked = self.portfolio(), self.cleaned(PreviewAsked, request.query_params.dict())
        preview = trader_preview(**asked, now=utc_now(), owner=portfolio.owner)
        plan = copy_plan(portfolio=portfolio, preview=preview, now=utc_now())
        barrier = follow_barrier(portfolio=portfolio, preview=preview)
        return Response(PreviewAnswer(_preview(preview, plan, barrier)).data, headers=NOT_KEPT)


class FollowCardView(ApiView):
    """GET one followed trader's card."""

    tag = "Traders"

    @extend_schema(responses={200: ViewTrader})
    def get(self, request: Request, portfolio_id: int, follow_id: int) -> Response:
        """Read a followed trader's card: its result, ours with it, fidelity, style, and how fresh it is."""
        follow = self.follow()
        card = portfolio_view(portfolio=follow.portfolio)["traders"].get(str(follow.pk))
        if card is None:  # removed between the two reads
            raise NotFound(f"This portfolio has no follow with the number {follow_id}.")
        return Response(card, headers=NOT_KEPT)


def _preview(preview: TraderPreview, plan: CopyPlan, barrier: str) -> dict[str, Any]:
    feasible = plan.feasible
    return {
        "kind": preview.identity.kind.value,
        "key": preview.identity.key,
        "name": preview.identity.name,
        "detail": preview.identity.detail,
        "world": preview.identity.world,
        "equity": preview.equity,
        "recent_pnl": preview.recent_pnl,
        "notes": preview.notes,
        "barrier": barrier,
        "share": plan.share,
        "weight_pct": plan.weight_pct,
        "scale": plan.scale,
        "positions": plan.lines,
        "feasible": feasible
        and {
            "percent": feasible.percent,
            "reasons": [{"cause": cause, "percent": part} for cause, part in feasible.reasons],
            "capital": feasible.capital,
        },
        "read_at": preview.asked_at,
    }
