"""The shapes of requests for capital and of what comes of them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from allocation.models import Reservation
from allocation.reservations import WAIT_MAX_S
from api.fields import PlainDecimalField, Shape, number, whole
from api.serializers import StrictSerializer
from core.decimals import PRICE_STEP, QUANTITY_STEP
from execution.models import SIDE_CHOICES

PRIORITIES = {label.lower(): value for value, label in Reservation.Priority.choices}
SOURCE = r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}\Z"


class CapitalRequest(StrictSerializer):
    """How much capital for what, how urgently, for which strategy, and how long it may be waited for."""

    instrument = serializers.CharField(max_length=48)
    amount = serializers.DecimalField(max_digits=28, decimal_places=8)
    priority = serializers.ChoiceField(choices=list(PRIORITIES), default="medium")
    source = serializers.RegexField(SOURCE, default="outside")  # type: ignore[assignment]  # a field's name
    wait_s = serializers.IntegerField(min_value=0, max_value=WAIT_MAX_S, default=0)


class CapitalUse(StrictSerializer):
    """The limit entry to place behind a grant."""

    instrument = serializers.CharField(max_length=48)
    side = serializers.ChoiceField(choices=SIDE_CHOICES)
    quantity = serializers.DecimalField(max_digits=36, decimal_places=12, min_value=QUANTITY_STEP)
    limit_price = serializers.DecimalField(max_digits=28, decimal_places=12, min_value=PRICE_STEP)


class CapitalSum(Shape):
    """How many requests, over how much."""

    count = whole()
    amount = number()


class CapitalTotals(Shape):
    """The capital of a portfolio, and what of it is granted and waits."""

    total = number()
    allocated = number()
    cash = number()
    free = number()
    reserved = number()
    committed = number()
    deployed = number()
    deficit = number()
    granted = CapitalSum()
    waiting = CapitalSum()


class CapitalAnswer(serializers.ModelSerializer[Reservation]):
    """A request for capital as it stands; ``order_id`` once an order uses it."""

    instrument = serializers.CharField(source="instrument_code")
    amount = PlainDecimalField()
    priority = serializers.SerializerMethodField()
    order_id = serializers.SerializerMethodField()

    class Meta:
        model = Reservation
        fields = (
            "id", "status", "reason", "instrument", "amount", "priority", "source", "requested_at",
            "wait_until", "granted_at", "expires_at", "settled_at", "order_id",
        )  # fmt: skip

    def get_priority(self, reservation: Reservation) -> str:
        """Return critical, high, medium or low."""
        return reservation.get_priority_display().lower()

    def get_order_id(self, reservation: Reservation) -> int | None:
        """Return the order behind which the capital went."""
        order: Any = getattr(reservation, "order", None)
        return order.pk if order else None
