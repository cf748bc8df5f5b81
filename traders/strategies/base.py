"""What a strategy is, and how it makes itself known.

A strategy is one file in this package: a frozen dataclass of settings, each made with ``setting``, and a
function ``decide`` under ``@strategy``. ``docs/adding-a-strategy.md`` walks through one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markets.domain.candles import Candle
from traders.domain.signals import Signal

WINDOW: Final = 300  # candles: a whole UTC day and an hour, so that a day's VWAP is always whole
_found: dict[str, Strategy] = {}

Decide = Callable[[Sequence[Candle], Any], Signal]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A registered strategy.

    :param name: as the file of pairs and a trader's key name it
    :param label: as people read it
    :param settings_class: a frozen dataclass whose fields are all made with ``setting``
    :param decide: candles, oldest first, and settings → signal. The last candle has just closed; there are at
        most 300, without a hole of more than an hour, maybe few. It must not look at anything else.
    """

    name: str
    label: str
    settings_class: type[Any]
    decide: Decide


def setting(default: float, *, least: float, most: float) -> Any:
    """Make a field of a settings class; a whole default takes whole numbers only."""
    return dataclasses.field(default=default, metadata={"least": least, "most": most})


def strategy(*, name: str, label: str, settings: type[Any]) -> Callable[[Decide], Decide]:
    """Register the decorated function as the strategy ``name``.

    :raises ValueError: the name is taken
    """

    def register(decide: Decide) -> Decide:
        if name in _found:
            msg = f"there are two strategies named {name!r}"
            raise ValueError(msg)
        _found[name] = Strategy(name=name, label=label, settings_class=settings, decide=decide)
        return decide

    return register


def strategies_registered() -> Mapping[str, Strategy]:
    """Return what was registered so far, by name."""
    return _found


def settings_problems(*, strategy: Strategy, values: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with settings as a file gives them: field, value and what is allowed."""
    fields = {field.name: field for field in dataclasses.fields(strategy.settings_class)}
    problems = [
        f"{name} is no setting of {strategy.name}; its settings are {', '.join(fields)}"
        for name in values
        if name not in fields
    ]
    for name, value in values.items():
        if name in fields and not _allowed(fields[name], value):
            problems.append(f"{name} is {value!r}; it must be {_range(fields[name])}")
    if not problems:
        try:
            strategy.settings_class(**values)
        except ValueError as error:
            problems.append(str(error))
    return problems


def _allowed(field: dataclasses.Field[Any], value: Any) -> bool:
    kinds = int if isinstance(field.default, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not math.isfinite(value):
        return False
    return bool(field.metadata["least"] <= value <= field.metadata["most"])


def _range(field: dataclasses.Field[Any]) -> str:
    kind = "a whole number" if isinstance(field.default, int) else "a number"
    return f"{kind} from {field.metadata['least']} to {field.metadata['most']}"
