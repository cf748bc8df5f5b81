"""The shapes of agents and of what they post."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from django.utils.dateparse import parse_datetime
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import serializers

from api.fields import DECIMAL
from api.serializers import StrictSerializer
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS, ZERO
from core.instruments import is_code
from traders.domain.reads import TraderPosition
from traders.models import PushAgent
from traders.push import INTERVAL_DEFAULT_S, NAME_LENGTH

POSITIONS_MOST: Final = 200
SEQUENCE_MOST: Final = 2**63 - 1


@extend_schema_field(DECIMAL)
class DecimalText(serializers.DecimalField):
    """A decimal as a string; a JSON number is refused, since it may have been rounded on its way."""

    def to_internal_value(self, data: Any) -> Decimal:
        """Return the decimal.

        :raises ValidationError: it is no string, no number, or has too many digits
        """
        if not isinstance(data, str):
            raise serializers.ValidationError('Write decimals as strings, such as "1.5".')
        value: Decimal = super().to_internal_value(data)
        return value


@extend_schema_field(OpenApiTypes.DATETIME)
class Moment(serializers.Field[Any, Any, Any, Any]):
    """A time with its zone, ISO-8601."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the time.

        :raises ValidationError: it is none, or names no zone
        """
        try:
            at = parse_datetime(data) if isinstance(data, str) else None
        except ValueError:
            at = None
        if at is None or at.tzinfo is None:
            raise serializers.ValidationError('Write a time with its zone, such as "2026-01-31T12:00:00Z".')
        return at


class PostedPosition(StrictSerializer):
    """One open position: signed quantity, average entry price in dollars for a unit."""

    instrument = serializers.CharField(max_length=48)
    quantity = DecimalText(**QUANTITY_DIGITS)
    entry_price = DecimalText(**PRICE_DIGITS)
    mark_price = DecimalText(**PRICE_DIGITS, required=False, allow_null=True, default=None)
    opened_at = Moment(required=False, allow_null=True, default=None)

    def validate_instrument(self, code: str) -> str:
        """Require the form of an instrument's code."""
        if not is_code(code):
            raise serializers.ValidationError("This is no instrument code; use one such as BTC.")
        return code

    def validate_quantity(self, quantity: Decimal) -> Decimal:
        """Refuse a position of nothing."""
        if quantity == ZERO:
            raise serializers.ValidationError("Leave a closed position out.")
        return quantity

    def validate_entry_price(self, price: Decimal) -> Decimal:
        """Require a price above zero."""
        return _above_zero(price)

    def validate_mark_price(self, price: Decimal | None) -> Decimal | None:
        """Require a price above zero."""
        return None if price is None else _above_zero(price)


class PositionsPost(StrictSerializer):
    """All that an agent holds at one moment."""

    at = Moment()
    sequence = serializers.IntegerField(min_value=1, max_value=SEQUENCE_MOST)
    equity = DecimalText(**MONEY_DIGITS)
    positions = serializers.ListField(child=PostedPosition(), max_length=POSITIONS_MOST)

    def validate_positions(self, positions: list[dict[str, Any]]) -> tuple[TraderPosition, ...]:
        """Require each instrument once."""
        codes = [position["instrument"] for position in positions]
        if twice := sorted({code for code in codes if codes.count(code) > 1}):
            raise serializers.ValidationError(f"{twice[0]} is listed twice; net it into one position.")
        return tuple(
            TraderPosition(
                code=position["instrument"],
                quantity=position["quantity"],
                entry_price=position["entry_price"],
                mark_price=position["mark_price"],
                opened_at=position["opened_at"],
            )
            for position in positions
        )


class AgentAdd(StrictSerializer):
    """A name, and how often the agent promises to post."""

    name = serializers.CharField(max_length=NAME_LENGTH)
    interval_s = serializers.IntegerField(default=INTERVAL_DEFAULT_S)


class AgentChange(StrictSerializer):
    """Another name, or another interval."""

    name = serializers.CharField(max_length=NAME_LENGTH, required=False)
    interval_s = serializers.IntegerField(required=False)


class AgentAnswer(serializers.ModelSerializer[PushAgent]):
    """An agent; ``id`` is in the address it posts to and is its key as a trader."""

    id = serializers.UUIDField(source="public_id")
    name = serializers.CharField(source="trader.name")

    class Meta:
        model = PushAgent
        fields: tuple[str, ...] = ("id", "name", "interval_s", "sequence", "at", "posted_at", "created_at")


class AgentWithSecret(AgentAnswer):
    """An agent with its secret, at the only moment it is shown."""

    secret = serializers.CharField(read_only=True)

    class Meta(AgentAnswer.Meta):
        fields = (*AgentAnswer.Meta.fields, "secret")


class AgentList(serializers.Serializer[Any]):
    """The agents of a person."""

    count = serializers.IntegerField()
    results = AgentAnswer(many=True)


class PositionsPosted(serializers.Serializer[Any]):
    """What was kept; ``repeated`` for the same post once more."""

    sequence = serializers.IntegerField()
    repeated = serializers.BooleanField()


SIGNED: Final = [
    OpenApiParameter(name, location=OpenApiParameter.HEADER, required=True, description=text)
    for name, text in (
        ("X-Ensemble-Timestamp", "Seconds since 1970, whole."),
        ("X-Ensemble-Sequence", "That of the body."),
        ("X-Ensemble-Signature", "HMAC-SHA256 under the agent's secret, 64 hexadecimal digits."),
    )
]


def _above_zero(price: Decimal) -> Decimal:
    if price <= ZERO:
        raise serializers.ValidationError("A price is above zero.")
    return price
