"""The shapes of requests and answers."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from accounts.models import POLICY_CHOICES, PROFILE_CHOICES, RULE_CHOICES, Portfolio
from allocation.models import Follow
from core.decimals import plain
from engine.models import Decision
from traders.models import KIND_CHOICES, Trader

FOLLOW_WISHES = [("active", "Active"), ("paused", "Paused")]


class StrictSerializer(serializers.Serializer[Any]):
    """Refuses fields it does not know, so that a misspelt one is not silently ignored."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the cleaned values.

        :raises ValidationError: a value is wrong, or a field is unknown
        """
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError({name: ["There is no such field."] for name in unknown})
        return super().to_internal_value(data)


class PortfolioOpen(StrictSerializer):
    """A new portfolio; what is left out is as on the page."""

    name = serializers.CharField(max_length=80)
    policy = serializers.ChoiceField(choices=POLICY_CHOICES, required=False)
    risk_profile = serializers.ChoiceField(choices=PROFILE_CHOICES, required=False)
    conflict_rule = serializers.ChoiceField(choices=RULE_CHOICES, required=False)
    auto_rebalance = serializers.BooleanField(required=False)


class FollowStart(StrictSerializer):
    """Which trader to follow, and what to do with what it holds already."""

    kind = serializers.ChoiceField(choices=KIND_CHOICES)
    key = serializers.CharField(max_length=120)
    join_mode = serializers.ChoiceField(choices=Follow.JoinMode.choices, default=Follow.JoinMode.NEW_ONLY)


class FollowChange(StrictSerializer):
    """Pause or resume (``status``), move to another place, or choose what a change of style does."""

    status = serializers.ChoiceField(choices=FOLLOW_WISHES, required=False)
    place = serializers.IntegerField(min_value=1, max_value=10, required=False)
    style_action = serializers.ChoiceField(choices=Follow.StyleAction.choices, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require at least one of them."""
        if not attrs:
            raise serializers.ValidationError("Name what to change: status, place or style_action.")
        return attrs


class WeightsChange(StrictSerializer):
    """How to split the capital: equally, or by a percentage for each active follow, by its id."""

    weighting = serializers.ChoiceField(choices=Portfolio.Weighting.choices)
    weights = serializers.DictField(
        child=serializers.DecimalField(max_digits=5, decimal_places=2), required=False, allow_empty=False
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Require percentages where they are chosen, and none where the split is equal."""
        chosen = attrs["weighting"] == Portfolio.Weighting.CUSTOM
        if chosen != ("weights" in attrs):
            text = "Name each active trader's percentage." if chosen else "An equal split has no percentages."
            raise serializers.ValidationError({"weights": [text]})
        unknown = [key for key in attrs.get("weights", {}) if not (key.isascii() and key.isdigit())]
        if unknown:
            raise serializers.ValidationError({"weights": [f"“{unknown[0]}” is no id of a follow."]})
        return attrs


class FollowEnd(StrictSerializer):
    """What becomes of the trader's positions: closed, or handed over to the owner."""

    positions = serializers.ChoiceField(
        choices=[("close", "Close them"), ("keep", "Keep them")], default="close"
    )


class PortfolioAnswer(serializers.ModelSerializer[Portfolio]):
    """A portfolio in the list; the whole of it is at its own address."""

    world = serializers.CharField(allow_null=True, help_text="Null before the first follow.")
    equity = serializers.SerializerMethodField()

    class Meta:
        model = Portfolio
        fields = (
            "id", "name", "mode", "policy", "risk_profile", "conflict_rule", "auto_rebalance",
            "world", "status", "status_reason", "equity", "created_at",
        )  # fmt: skip

    def get_equity(self, portfolio: Portfolio) -> str | None:
        """Return the last valuation in quote currency; null before the first."""
        valuation = getattr(portfolio, "valuation", None)
        return None if valuation is None else plain(valuation.equity)

    def to_representation(self, instance: Portfolio) -> dict[str, Any]:
        """Return the fields; ``world`` is null before the first follow."""
        answer = super().to_representation(instance)
        answer["world"] = answer["world"] or None
        return answer


class TraderAnswer(serializers.ModelSerializer[Trader]):
    """Who is followed."""

    class Meta:
        model = Trader
        fields = ("id", "kind", "key", "name", "monogram", "detail", "note", "world", "status", "synced_at")


class FollowAnswer(serializers.ModelSerializer[Follow]):
    """One follow with its trader; ``weight`` is a fraction of equity as a string."""

    trader = TraderAnswer()

    class Meta:
        model = Follow
        fields = (
            "id", "trader", "status", "join_mode", "place", "hue", "weight", "joined", "created_at",
            "resumed_at", "style_action",
        )  # fmt: skip


class FollowList(serializers.Serializer[Any]):
    """The follows of a portfolio, in their order."""

    count = serializers.IntegerField()
    results = FollowAnswer(many=True)


class DecisionAnswer(serializers.ModelSerializer[Decision]):
    """One decision with its reason and the numbers behind it."""

    follow_ids = serializers.SerializerMethodField()
    order_id = serializers.IntegerField(allow_null=True)

    class Meta:
        model = Decision
        fields = (
            "id", "at", "world_at", "run", "kind", "underlying", "text", "reason", "data", "follow_ids",
            "order_id",
        )  # fmt: skip

    def get_follow_ids(self, decision: Decision) -> list[int]:
        """Return the ids of the follows it concerns."""
        return sorted(follow.pk for follow in decision.follows.all())
