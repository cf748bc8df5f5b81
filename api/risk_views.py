"""Risk: how much of every limit is used, how the exposure is spread, and what tripped."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.domain.scopes import Scope
from allocation.models import BreakerTrip
from api.asking import command_ask
from api.base import NOT_KEPT, ApiView, PagedView
from api.capital_serializers import CapitalAnswer
from api.fields import PlainDecimalField
from api.filters import TripFilter
from api.serializers import StrictSerializer
from api.trading_serializers import CommandAnswer
from api.view_schema import ViewBreakers
from engine.models import Command
from engine.risk_reading import risk_read
from engine.selectors import portfolio_reading
from engine.view_breakers import breakers_record


class UseAnswer(serializers.Serializer[Any]):
    """One limit and how much of it is used, in percent of equity or as a count."""

    label = serializers.CharField()  # type: ignore[assignment]  # a field may be called so
    used = PlainDecimalField()
    limit = PlainDecimalField()
    is_count = serializers.BooleanField()
    share_pct = PlainDecimalField(help_text="Use ÷ limit.")
    note = serializers.CharField(help_text="What uses the most of it.")
    ends = serializers.CharField(help_text="What happens at the limit.")


class PartAnswer(serializers.Serializer[Any]):
    """One part of the exposure; the notional of an instrument is signed, that of a trader gross."""

    name = serializers.CharField()
    notional = PlainDecimalField()
    share_pct = PlainDecimalField()
    follow_id = serializers.IntegerField(source="follow.pk", default=None, allow_null=True)


class ConcentrationAnswer(serializers.Serializer[Any]):
    """How the exposure is spread; ``effective`` is 1 ÷ Σ share², the effective number of positions."""

    gross = PlainDecimalField()
    effective = PlainDecimalField()
    instruments = PartAnswer(many=True)
    traders = PartAnswer(many=True)


class TripAnswer(serializers.ModelSerializer[BreakerTrip]):
    """One time a breaker tripped; it stands until ``reset_at``."""

    follow_id = serializers.IntegerField(allow_null=True)
    value = PlainDecimalField(allow_null=True, help_text="What was measured: a fraction or a count.")
    threshold = PlainDecimalField(allow_null=True)

    class Meta:
        model = BreakerTrip
        fields = (
            "id", "kind", "follow_id", "effect", "resets", "reason", "value", "threshold", "run",
            "tripped_at", "world_at", "reset_at", "reset_by", "reset_reason",
        )  # fmt: skip


class RiskAnswer(serializers.Serializer[Any]):
    """What the risk page shows."""

    uses = UseAnswer(many=True)
    breakers = ViewBreakers()
    concentration = ConcentrationAnswer()
    reservations = CapitalAnswer(many=True)
    past_trips = TripAnswer(many=True)


class ResetRequest(StrictSerializer):
    """Why the trip is lifted."""

    reason = serializers.CharField(max_length=160)


class RiskView(ApiView):
    """GET limits against use, breakers, concentration, reservations, past trips."""

    tag = "Risk"

    @extend_schema(responses={200: RiskAnswer})
    def get(self, request: Request, portfolio_id: int) -> Response:
        """Read how much of every limit and breaker is used, and how the exposure is spread."""
        portfolio = self.portfolio()
        reading = portfolio_reading(portfolio=portfolio)
        risk = risk_read(portfolio=portfolio, context=reading)
        answer = {
            "uses": UseAnswer(risk.uses, many=True).data,
            "breakers": breakers_record(reading),
            "concentration": ConcentrationAnswer(risk.concentration).data,
            "reservations": CapitalAnswer(risk.reservations, many=True).data,
            "past_trips": TripAnswer(risk.past_trips, many=True).data,
        }
        return Response(answer, headers=NOT_KEPT)


class TripListView(PagedView):
    """GET every time a breaker tripped, newest first: ?kind=…&standing=true&since=…"""

    tag = "Risk"
    list_summary = "List every time a breaker tripped, newest first."
    serializer_class = TripAnswer
    filterset_class = TripFilter

    def get_queryset(self) -> QuerySet[BreakerTrip]:
        """Return the trips of the caller's portfolio."""
        return BreakerTrip.objects.filter(portfolio=self.portfolio())


class ResetCommandView(ApiView):
    """POST {reason} lifts a trip."""

    tag = "Risk"
    keyed = True
    write_scope = Scope.TRADE

    @extend_schema(request=ResetRequest, responses={202: CommandAnswer})
    def post(self, request: Request, portfolio_id: int, trip_id: int) -> Response:
        """Lift a trip, with a reason. If its cause still holds it trips again at once."""
        portfolio, wanted = self.portfolio(), self.cleaned(ResetRequest, request.data)
        data = {"trip_id": trip_id, "reason": wanted["reason"]}
        return command_ask(self, portfolio=portfolio, kind=Command.Kind.BREAKER_RESET.value, data=data)
