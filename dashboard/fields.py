"""A number as people of every language type it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from accounts.words import shape
from core.locales import Ambiguous, localised, number_plain

_MACHINE: Final = re.compile(r"-?\d+(?:\.\d+)?")


class Typed(str):
    """What a person typed, shown again as it was typed."""

    __slots__ = ()


class NumberField(forms.DecimalField):
    """A decimal that takes the reader's decimal sign, and refuses what could mean two numbers.

    Where the comma is the decimal sign a point is taken too, but "1,234" and "1.234" are refused,
    whichever was meant.
    """

    def to_python(self, value: Any) -> Any:
        """Return the number; raises ValidationError with a sentence."""
        if isinstance(value, str):
            try:
                value = number_plain(value, shape=shape())
            except Ambiguous as error:
                raise ValidationError(
                    _("“%(typed)s” may be a thousand or a fraction: leave groups out, or add a decimal.")
                    % {"typed": error}
                ) from None
            if shape().decimal != "." and "." in value:
                value = value.rstrip("0").rstrip(".")
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        """Keep what was typed apart from what we wrote into the field."""
        return Typed(data) if isinstance(data, str) else data

    def prepare_value(self, value: Any) -> Any:
        """Return a value of ours as this field reads it again: never as something that could mean two
        numbers."""
        text = str(value) if isinstance(value, Decimal | int | str) else ""
        if isinstance(value, Typed) or shape().decimal == "." or not _MACHINE.fullmatch(text):
            return super().prepare_value(value)
        shown = localised(text, shape=shape())
        try:
            number_plain(shown, shape=shape())
        except Ambiguous:
            return f"{shown}0"
        return shown
