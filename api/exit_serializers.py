"""The shapes of exit rules and of what they closed."""

from __future__ import annotations

from rest_framework import serializers

from api.fields import PlainDecimalField, Shape, flag, number, one_of, whole, words
from api.serializers import StrictSerializer
from api.view_schema import ExitLevels, ExitRulesShape
from core.decimals import plain
from engine.models import ExitTrigger
from positions.models import Position


class DefaultsRequest(StrictSerializer):
    """All rules for new positions; the command checks what they say."""

    stop_loss_pct = serializers.JSONField()
    trail_from_pct = serializers.JSONField()
    trail_by_pct = serializers.JSONField()
    time_stop_days = serializers.JSONField()
    take_profit = serializers.JSONField()
    stops_at_venue = serializers.JSONField(required=False)


class ExitsRequest(StrictSerializer):
    """A stop price, rules to change, or ``use_defaults`` alone; the command checks what they say."""

    stop_price = serializers.JSONField(required=False)
    stop_loss_pct = serializers.JSONField(required=False)
    trail_from_pct = serializers.JSONField(required=False)
    trail_by_pct = serializers.JSONField(required=False)
    time_stop_days = serializers.JSONField(required=False)
    take_profit = serializers.JSONField(required=False)
    use_defaults = serializers.BooleanField(required=False)


class ExitDistances(Shape):
    """Percent of the mark that the price has to move to each level, signed."""

    stop = number(null=True)
    trail = number(null=True)
    activation = number(null=True)
    target = number(null=True)


class PositionExits(Shape):
    """What closes one position."""

    position_id = whole()
    code = words("The instrument.")
    status = one_of(Position.Status.choices)
    mark_price = number(null=True)
    exits = ExitLevels(allow_null=True)
    distances_pct = ExitDistances(allow_null=True)


class ExitDefaults(Shape):
    """What guards new positions."""

    own = flag("The portfolio's own, not the server's.")
    rules = ExitRulesShape()
    stops_at_venue = flag()
    warnings = serializers.ListField(child=words())


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
