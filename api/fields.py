"""Fields of answers: decimals as the API writes them, and records that are described and never built."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.decimals import plain

DECIMAL: Final = {
    "type": "string",
    "format": "decimal",
    "pattern": r"^-?\d+(\.\d+)?$",
    "examples": ["1234.5"],
}

OPEN_SIDES: Final = [("LONG", "Long"), ("SHORT", "Short")]
CONFLICT_KINDS: Final = [("overlap", "Overlap"), ("opposed", "Opposed")]


@extend_schema_field(DECIMAL)
class PlainDecimalField(serializers.DecimalField):
    """A Decimal as the API writes them: a string without trailing zeros."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_digits=None, decimal_places=None, read_only=True, **options)

    def to_representation(self, value: Decimal) -> str:
        """Return the number as text."""
        return plain(value)


@extend_schema_field(DECIMAL)
class DecimalText(serializers.CharField):
    """A decimal that is text already."""


def number(text: str = "", *, null: bool = False) -> Any:
    """Return a field for a decimal that is text already; ``null`` where it may not be known."""
    return DecimalText(help_text=text, allow_null=null)


def moment(text: str = "", *, null: bool = False) -> Any:
    """Return a field for a time, ISO-8601 UTC."""
    return serializers.DateTimeField(help_text=text, allow_null=null)


def words(text: str = "", *, null: bool = False) -> Any:
    """Return a field for a text, which may be empty."""
    return serializers.CharField(help_text=text, allow_null=null, allow_blank=True)


def whole(text: str = "", *, null: bool = False) -> Any:
    """Return a field for a whole number."""
    return serializers.IntegerField(help_text=text, allow_null=null)


def flag(text: str = "") -> Any:
    """Return a field for yes or no."""
    return serializers.BooleanField(help_text=text)


def one_of(values: Any, text: str = "", *, null: bool = False) -> Any:
    """Return a field for one of several words, given as values or as pairs with their labels."""
    return serializers.ChoiceField(choices=list(values), help_text=text, allow_null=null)


class Shape(serializers.Serializer[Any]):
    """A record as a selector writes it: described in the document of the API, passed on as it is."""
