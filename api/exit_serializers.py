"""The shapes of exit rules and of what they closed."""

from __future__ import annotations

from rest_framework import serializers

from api.serializers import StrictSerializer
from api.trading_serializers import PlainDecimalField
from core.decimals import plain
from engine.models import ExitTrigger


class DefaultsRequest(StrictSerializer):
    """All rules for new positions; the command checks what they say."""

    stop_loss_pct = serializers.JSONField()
    trail_from_pct = serializers.JSONField()
    trail_by_pct = serializers.JSONField()
    time_stop_days = serializers.JSONField()
    take_profit = serializers.JSONField()
    stops_at_venue = serializers.JSONField(required=False)


class TriggerAnswer(serializers.ModelSerializer[ExitTrigger]):
    """One rule that closed a position or a part of it; ``level`` is null for a time stop."""

    code = serializers.CharField(source="position.instrument_id")
    underlying = serializers.CharField(source="position.underlying")
    fraction_pct = serializers.SerializerMethodField()
    price = PlainDecimalField()
    level = PlainDecimalField()

    class Meta:
        model = ExitTrigger
        fields = (
            "id", "position_id", "code", "underlying", "kind", "fraction_pct", "price", "level", "status",
            "text", "found_by", "order_id", "orders_placed", "seen_at", "world_at", "created_at", "ended_at",
        )  # fmt: skip

    def get_fraction_pct(self, trigger: ExitTrigger) -> str:
        """Return how much of what was held it closes, in percent."""
        return plain(trigger.fraction * 100)
