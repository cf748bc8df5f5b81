"""Exact arithmetic on Decimals: steps, significant digits, and splits that lose nothing.

Nothing here depends on the ambient decimal context for correctness at the sizes in use
(28 digits; amounts below 10^15 with at most 12 places).
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Final, TypedDict


class ColumnDigits(TypedDict):
    """How many digits a NUMERIC column keeps, in all and after the point."""

    max_digits: int
    decimal_places: int


ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
BPS: Final = Decimal("0.0001")  # one basis point as a fraction
MONEY_STEP: Final = Decimal("0.00000001")  # ledger amounts are kept to 8 places
MONEY_DIGITS: Final[ColumnDigits] = {"max_digits": 28, "decimal_places": 8}
QUANTITY_DIGITS: Final[ColumnDigits] = {"max_digits": 36, "decimal_places": 12}
QUANTITY_STEP: Final = Decimal("0.000000000001")  # slices and quantities are kept to 12 places
PRICE_DIGITS: Final[ColumnDigits] = {"max_digits": 28, "decimal_places": 12}
PRICE_STEP: Final = Decimal("0.000000000001")
# Two factors of 36 digits multiply without rounding.
EXACT: Final = Context(prec=90, rounding=ROUND_HALF_EVEN)


def to_step(value: Decimal, step: Decimal) -> Decimal:
    """Round toward zero to a multiple of ``step`` (> 0), keeping the sign."""
    return (value / step).to_integral_value(rounding=ROUND_DOWN) * step


def to_money(value: Decimal) -> Decimal:
    """Round an amount of money to the ledger's 8 places, half to even."""
    return value.quantize(MONEY_STEP, rounding=ROUND_HALF_EVEN)


def to_price(value: Decimal) -> Decimal:
    """Round a price or an average entry to the stored 12 places, half to even."""
    return value.quantize(PRICE_STEP, rounding=ROUND_HALF_EVEN)


def to_significant(value: Decimal, digits: int, *, places: int, up: bool) -> Decimal:
    """Round a positive price to ``digits`` significant digits and at most ``places`` decimals.

    This is Hyperliquid's price rule (5 significant digits, ``6 - szDecimals`` decimals for perpetuals);
    an integer price is always allowed.

    :param up: round away from zero if true, toward zero if false
    """
    if value <= 0:
        msg = f"a price must be above zero, got {value}"
        raise ValueError(msg)
    exponent = min(0, max(value.adjusted() - digits + 1, -places))
    return value.quantize(Decimal(1).scaleb(exponent), rounding=ROUND_CEILING if up else ROUND_FLOOR)


def to_price_step(value: Decimal, step: Decimal, *, up: bool) -> Decimal:
    """Round a positive price to a multiple of ``step`` (> 0), which need not be a power of ten.

    :param up: round away from zero if true, toward zero if false
    """
    if value <= 0:
        msg = f"a price must be above zero, got {value}"
        raise ValueError(msg)
    steps = (value / step).to_integral_value(rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return steps * step


def part_of(*, amount: Decimal, part: Decimal, whole: Decimal, step: Decimal = MONEY_STEP) -> Decimal:
    """Return amount × part ÷ whole to a multiple of ``step``, half to even; all of it where part = whole.

    :param step: a power of ten
    """
    if part == whole:
        return amount
    return EXACT.divide(EXACT.multiply(amount, part), whole).quantize(step, context=EXACT)


def split_pro_rata(total: Decimal, weights: Sequence[Decimal], *, step: Decimal) -> list[Decimal]:
    """Split ``total`` in proportion to ``weights`` in multiples of ``step``, summing to ``total`` exactly.

    Every share is rounded half to even; what that leaves over goes to the entry with the largest
    weight in size (the first of equals). Weights may be negative if they sum to something
    other than zero; a total equal to their sum gives the weights themselves.

    :param step: a power of ten
    :raises ValueError: the weights sum to zero while ``total`` does not
    """
    whole = sum(weights, ZERO)
    if whole == 0:
        if total == 0:
            return [ZERO for _ in weights]
        msg = f"cannot split {total} over weights that sum to zero"
        raise ValueError(msg)
    if total == whole:
        return list(weights)
    shares = [part_of(amount=total, part=weight, whole=whole, step=step) for weight in weights]
    largest = max(range(len(weights)), key=lambda i: (abs(weights[i]), -i))
    shares[largest] += total - sum(shares, ZERO)
    return shares


def plain(value: Decimal) -> str:
    """Write a Decimal without exponent and without trailing zeros ("0.10" → "0.1", "1E+3" → "1000")."""
    if value == 0:
        return "0"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def dollars(amount: Decimal) -> str:
    """Write an amount for a person, in dollars and cents: "$1,234.50", "−$4.00"."""
    return f"{'−' if amount < 0 else ''}${abs(amount):,.2f}"
