"""The shapes of commands, orders, audit entries and signals."""

from __future__ import annotations

from rest_framework import serializers

from accounts.models import AuditEntry
from api.fields import PlainDecimalField
from api.serializers import StrictSerializer
from core.decimals import plain, to_price
from engine.models import Command, FillFidelity
from execution.models import Fill, Order, OrderEvent, OrderSlice
from traders.models import StrategySignal


class CommandRequest(StrictSerializer):
    """What is asked for; which data a kind takes is described in docs/api.md."""

    kind = serializers.CharField(max_length=40)
    data = serializers.JSONField(default=dict)  # type: ignore[assignment]  # a field may be called so


class StopRequest(StrictSerializer):
    """The portfolio's name, typed to confirm, and why if there is a reason."""

    confirm = serializers.CharField(max_length=80)
    reason = serializers.CharField(max_length=160, required=False, default="", allow_blank=True)


class CommandAnswer(serializers.ModelSerializer[Command]):
    """A command and, once there is one, its answer."""

    asked_by = serializers.SerializerMethodField()

    class Meta:
        model = Command
        fields = (
            "id", "kind", "data", "status", "answer", "result", "via", "asked_by", "accepted_at",
            "finished_at",
        )  # fmt: skip

    def get_asked_by(self, command: Command) -> str | None:
        """Return the e-mail address of who asked; null for the system."""
        return command.asked_by.email if command.asked_by else None


class OrderSliceAnswer(serializers.ModelSerializer[OrderSlice]):
    """The part of an order for one follow; null is the owner's own."""

    quantity = PlainDecimalField()

    class Meta:
        model = OrderSlice
        fields = ("follow_id", "quantity")


class OrderEventAnswer(serializers.ModelSerializer[OrderEvent]):
    """One change of an order's status."""

    class Meta:
        model = OrderEvent
        fields = ("at", "from_status", "to_status", "detail")


class FidelityAnswer(serializers.ModelSerializer[FillFidelity]):
    """One trader's part of a fill against its own price, in basis points of it; positive is worse for us."""

    quantity = PlainDecimalField()
    own_price = PlainDecimalField(source="copied.own_price")
    price_kind = serializers.CharField(source="copied.price_kind")
    acted_from_at = serializers.DateTimeField(source="copied.acted_from_at")
    acted_until_at = serializers.DateTimeField(source="copied.acted_until_at")
    delay_bps = PlainDecimalField()
    execution_bps = PlainDecimalField()
    fee_bps = PlainDecimalField()
    whole_bps = PlainDecimalField()
    unsized_bps = PlainDecimalField(source="copied.unsized_bps")

    class Meta:
        model = FillFidelity
        fields = (
            "follow_id", "quantity", "own_price", "price_kind", "acted_from_at", "acted_until_at",
            "delay_bps", "execution_bps", "fee_bps", "whole_bps", "unsized_bps",
        )  # fmt: skip


class FillAnswer(serializers.ModelSerializer[Fill]):
    """One execution; ``fidelity``: each trader's part of it against the trader's own price."""

    quantity = PlainDecimalField()
    price = PlainDecimalField()
    fee = PlainDecimalField()
    fidelity = FidelityAnswer(many=True)

    class Meta:
        model = Fill
        fields = ("id", "venue_fill_id", "quantity", "price", "fee", "world_at", "received_at", "fidelity")


class OrderAnswer(serializers.ModelSerializer[Order]):
    """One order in the list; ``average_price`` is null before the first fill."""

    code = serializers.CharField(source="instrument_id")
    quantity = PlainDecimalField()
    limit_price = PlainDecimalField()
    filled_quantity = PlainDecimalField()
    fees = PlainDecimalField()
    decision_mark = PlainDecimalField()
    average_price = serializers.SerializerMethodField()

    class Meta:
        model = Order
        fields: tuple[str, ...] = (
            "id", "client_order_id", "code", "underlying", "side", "quantity", "limit_price", "market",
            "reduce_only", "purpose", "origin", "reason", "status", "status_reason", "filled_quantity",
            "average_price", "fees", "decision_mark", "command_id", "run", "created_at", "submitted_at",
            "expires_at", "cancel_requested_at", "finished_at",
        )  # fmt: skip

    def get_average_price(self, order: Order) -> str | None:
        """Return the average of the fills."""
        if not order.filled_quantity:
            return None
        return plain(to_price(order.filled_notional / order.filled_quantity))


class OrderStory(OrderAnswer):
    """One order, whole: for whom, every change of its status, every fill."""

    slices = OrderSliceAnswer(many=True)
    events = OrderEventAnswer(many=True)
    fills = FillAnswer(many=True)

    class Meta(OrderAnswer.Meta):
        fields = (*OrderAnswer.Meta.fields, "slices", "events", "fills")


class AuditAnswer(serializers.ModelSerializer[AuditEntry]):
    """One entry of the audit log."""

    class Meta:
        model = AuditEntry
        fields = ("id", "at", "actor_name", "via", "action", "outcome", "text", "data", "command_id")


class SignalAnswer(serializers.ModelSerializer[StrategySignal]):
    """What a strategy said on one closed candle (``at``: its closing, world time), and what its book did."""

    price = PlainDecimalField()
    quantity = PlainDecimalField()

    class Meta:
        model = StrategySignal
        fields = ("id", "at", "run", "code", "side", "reason", "readings", "price", "quantity", "outcome")
