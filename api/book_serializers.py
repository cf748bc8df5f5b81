"""The shapes of positions, fills, bookings and curves."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from allocation.models import LedgerEntry
from api.exit_serializers import TriggerAnswer
from api.fields import DECIMAL, OPEN_SIDES, PlainDecimalField, Shape, flag, one_of, whole, words
from api.trading_serializers import FillAnswer, OrderAnswer
from api.view_schema import ExitLevels
from core.decimals import plain, to_price
from engine.position_story import PositionStory
from engine.view_exits import exits_record
from execution.models import SIDE_CHOICES, Fill
from positions.models import Position, PositionSlice


class SliceAnswer(serializers.ModelSerializer[PositionSlice]):
    """One trader's part of a position; ``follow_id`` null is the owner's own. Signed, long positive."""

    follow_id = serializers.IntegerField(allow_null=True)
    quantity = PlainDecimalField()
    cost = PlainDecimalField()
    realized_pnl = PlainDecimalField()
    fees = PlainDecimalField()
    funding = PlainDecimalField()

    class Meta:
        model = PositionSlice
        fields = ("follow_id", "quantity", "cost", "realized_pnl", "fees", "funding")


class PositionAnswer(serializers.ModelSerializer[Position]):
    """A position, open or closed. Quantity and cost are signed, long positive."""

    code = serializers.CharField(source="instrument_id", help_text="The instrument.")
    quantity = PlainDecimalField()
    cost = PlainDecimalField(help_text="Quantity × average entry price.")
    entry_price = serializers.SerializerMethodField()
    margin = PlainDecimalField(help_text="Committed behind a perpetual position.")
    realized_pnl = PlainDecimalField(help_text="Before fees and funding.")
    fees = PlainDecimalField()
    funding = PlainDecimalField(help_text="Positive was received.")
    net_pnl = serializers.SerializerMethodField()
    slices = SliceAnswer(many=True)

    class Meta:
        model = Position
        fields: tuple[str, ...] = (
            "id", "code", "underlying", "policy", "status", "quantity", "cost", "entry_price", "margin",
            "realized_pnl", "fees", "funding", "net_pnl", "run", "opened_at", "opened_world_at", "closed_at",
            "closed_world_at", "slices",
        )  # fmt: skip

    @extend_schema_field({**DECIMAL, "type": ["string", "null"]})
    def get_entry_price(self, position: Position) -> str | None:
        """Return the average price of what is held; null where nothing is."""
        return plain(to_price(position.cost / position.quantity)) if position.quantity else None

    @extend_schema_field(DECIMAL)
    def get_net_pnl(self, position: Position) -> str:
        """Return realized P&L after fees and funding."""
        return plain(position.realized_pnl - position.fees + position.funding)


class ClosedAnswer(serializers.Serializer[Any]):
    """A closed position with what its fills bought and sold on average."""

    position = PositionAnswer()
    bought_quantity = PlainDecimalField(source="quantity")
    bought_price = PlainDecimalField(allow_null=True)
    sold_price = PlainDecimalField(allow_null=True)
    held_s = serializers.SerializerMethodField(help_text="How long it was open, in seconds of world time.")

    def get_held_s(self, row: Any) -> int:
        """Return the seconds of world time."""
        return int(row.held.total_seconds())


class PositionWhole(serializers.Serializer[Any]):
    """One position with all that is known about it."""

    position = PositionAnswer()
    side = one_of(OPEN_SIDES, "Of what is held; of what was held first where it is closed.")
    exits = serializers.SerializerMethodField()
    triggers = TriggerAnswer(many=True)
    orders = OrderAnswer(many=True)

    @extend_schema_field(ExitLevels(allow_null=True))
    def get_exits(self, story: PositionStory) -> dict[str, Any] | None:
        """Return what guards it; null where nothing is held."""
        standing = next((row for row in story.triggers if row.status in row.STANDING), None)
        return exits_record(guard=story.guard, trigger=standing)


class FilledAnswer(FillAnswer):
    """One execution, with its order, and each trader's part of it against the trader's own price."""

    order_id = serializers.IntegerField()
    code = serializers.CharField(source="order.instrument_id")
    underlying = serializers.CharField(source="order.underlying")
    side = serializers.ChoiceField(source="order.side", choices=SIDE_CHOICES)

    class Meta:
        model = Fill
        fields = (
            "id", "order_id", "code", "underlying", "side", "venue", "venue_fill_id", "quantity", "price",
            "fee", "world_at", "received_at", "fidelity",
        )  # fmt: skip


class LedgerAnswer(serializers.ModelSerializer[LedgerEntry]):
    """One booking of cash; positive comes in."""

    amount = PlainDecimalField()

    class Meta:
        model = LedgerEntry
        fields = ("id", "kind", "amount", "reference", "note", "at", "world_at")


@extend_schema_field({"type": "array", "items": {"type": ["number", "string"]}})
class PointField(serializers.ListField):
    """One point of a line: Unix seconds, then decimals as strings."""


class EquityAnswer(Shape):
    """Points are [Unix seconds of world time, equity, value of a fund unit]; traders' without the last."""

    run = whole()
    note = words("What is to be said about the prices.")
    points = serializers.ListField(child=PointField())
    traders = serializers.DictField(
        child=serializers.ListField(child=PointField()), help_text="By follow id."
    )


class ChartFill(Shape):
    """One fill on a chart; ``at`` in Unix seconds of world time."""

    at = whole()
    side = one_of(SIDE_CHOICES)
    quantity = cast("Any", serializers.CharField())
    price = cast("Any", serializers.CharField())


class CandlesAnswer(Shape):
    """Candles are [opened, open, high, low, close], oldest first; the last one may still be open."""

    run = whole()
    of_this_run = flag("Else the world began anew since, and there are no candles.")
    note = words()
    candles = serializers.ListField(child=PointField())
    fills = ChartFill(many=True)
