"""What limits and breakers of somebody's own may say: what makes no sense, and what is risky (RSK-1).

Values are those of the columns of ``allocation.models.PortfolioLimits``: Decimal fractions of 1, whole
numbers for counts. Nonsense is refused with the field at fault; what is merely daring is a sentence to show
beside the form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final

from allocation.domain.limits import MAX_LEVERAGE
from core.decimals import ONE, ZERO, plain

Value = Decimal | int
PLACES: Final = 4


@dataclass(frozen=True, slots=True)
class OwnField:
    """One number a person may set.

    :param label: as it stands in a sentence
    :param most: the largest value that means anything
    :param counts: a whole number from 1; else a fraction above 0
    :param limit: bounds targets; else it is a breaker's threshold
    """

    label: str
    most: Decimal
    counts: bool = False
    limit: bool = True


FIELDS: Final[Mapping[str, OwnField]] = MappingProxyType(
    {
        "max_position": OwnField("the largest position", MAX_LEVERAGE),
        "max_asset_weight": OwnField("the largest weight of one asset", MAX_LEVERAGE),
        "max_positions": OwnField("the number of positions", Decimal(200), counts=True),
        "max_correlated": OwnField("the three largest that move together", MAX_LEVERAGE),
        "max_gross": OwnField("total exposure", MAX_LEVERAGE),
        "max_open_orders": OwnField("the number of open orders", Decimal(200), counts=True),
        "daily_loss": OwnField("the loss of a day", ONE, limit=False),
        "drawdown": OwnField("the drawdown", ONE, limit=False),
        "losses_in_a_row": OwnField("losses in a row", Decimal(100), counts=True, limit=False),
        "emergency_loss": OwnField("the loss of a day that closes everything", ONE, limit=False),
        "copy_stop": OwnField("the loss of one trader", ONE, limit=False),
    }
)
LIMIT_FIELDS: Final = tuple(name for name, field in FIELDS.items() if field.limit)

# From here on a number is daring: twice the balanced profile's, or twice the shipped breakers'.
_RISKY: Final[Mapping[str, tuple[Value, str]]] = MappingProxyType(
    {
        "max_position": (Decimal("0.25"), "one position that falls by a fifth costs {cost} % of equity"),
        "max_gross": (ONE, "borrowed money can lose more than there is, and positions can be liquidated"),
        "max_correlated": (Decimal("0.6"), "one bad day of one market can cost a large part of equity"),
        "max_positions": (50, "nobody can watch that many"),
        "daily_loss": (Decimal("0.1"), "that much is lost before entries stop"),
        "drawdown": (Decimal("0.4"), "after it, equity must grow by {back} % to be back"),
        "losses_in_a_row": (10, "a streak that long is hardly chance"),
        "emergency_loss": (Decimal("0.2"), "that much is lost in a day before everything is closed"),
        "copy_stop": (Decimal("0.4"), "a trader loses that much of its share before it is paused"),
    }
)


def own_problems(*, values: Mapping[str, Value]) -> dict[str, str]:
    """Return what makes no sense, by field; empty where all is well. ``values`` must name every field."""
    problems = {name: text for name in FIELDS if (text := _out_of_bounds(name, values[name]))}
    if problems:
        return problems
    for name in ("max_position", "max_asset_weight"):
        if values[name] > values["max_gross"]:
            problems[name] = _beyond(values, name, "max_gross")
    if values["max_correlated"] > values["max_gross"]:
        problems["max_correlated"] = _beyond(values, "max_correlated", "max_gross")
    elif values["max_correlated"] < min(values["max_position"], values["max_asset_weight"]):
        problems["max_correlated"] = (
            f"A single position may be {_shown('max_position', values)}, but three together only "
            f"{_shown('max_correlated', values)}: let the three hold at least one."
        )
    if values["emergency_loss"] < values["daily_loss"]:
        problems["emergency_loss"] = (
            f"Everything would be closed at a loss of {_shown('emergency_loss', values)}, before entries "
            f"stop at {_shown('daily_loss', values)}: make it at least that."
        )
    return problems


def own_warnings(*, values: Mapping[str, Value]) -> list[str]:
    """Return a sentence for everything that is allowed and risky, or that leaves capital idle."""
    warnings = []
    for name, (from_here, why) in _RISKY.items():
        if values[name] > from_here:
            value = Decimal(values[name])
            text = why.format(cost=_rounded(value * 20), back=_back(value))
            warnings.append(f"{_capital(FIELDS[name].label)} at {_shown(name, values)} is daring: {text}.")
    largest = min(values["max_position"], values["max_asset_weight"])
    reach = largest * values["max_positions"]
    if reach < values["max_gross"]:
        warnings.append(
            f"{values['max_positions']} positions of at most {_percent(largest)} are {_percent(reach)}: "
            f"the total exposure of {_shown('max_gross', values)} is never reached."
        )
    if values["max_open_orders"] < min(5, values["max_positions"]):
        warnings.append(
            f"With {values['max_open_orders']} open orders at a time, entries wait for each other."
        )
    return warnings


def _out_of_bounds(name: str, value: Value) -> str:
    field = FIELDS[name]
    if field.counts:
        whole = not isinstance(value, bool) and value == int(value)
        good = whole and 1 <= value <= field.most
        return "" if good else f"Write a whole number from 1 to {plain(field.most)} for {field.label}."
    number = Decimal(value)
    if not number.is_finite() or not ZERO < number <= field.most or number != round(number, PLACES):
        most = _percent(field.most)
        return f"Write a part of equity above 0 % and at most {most}, to 0.01 %, for {field.label}."
    return ""


def _beyond(values: Mapping[str, Value], name: str, other: str) -> str:
    return (
        f"{_capital(FIELDS[name].label)} at {_shown(name, values)} is more than {FIELDS[other].label} at "
        f"{_shown(other, values)} allows: it could never be reached."
    )


def _shown(name: str, values: Mapping[str, Value]) -> str:
    value = values[name]
    return str(value) if FIELDS[name].counts else _percent(Decimal(value))


def _percent(fraction: Value) -> str:
    return f"{plain(Decimal(fraction) * 100)} %"


def _rounded(percent: Decimal) -> str:
    return plain(round(percent, 1))


def _back(drawdown: Decimal) -> str:
    """Return by how many percent equity must grow to make good a drawdown."""
    return _rounded(drawdown / (ONE - drawdown) * 100) if drawdown < ONE else "endlessly many"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
