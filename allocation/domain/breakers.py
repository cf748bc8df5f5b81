"""When a portfolio stops itself: the breakers, what each does, and how much of each is used (RSK-2, RSK-4).

A breaker bars entries and nothing else: reductions, closes and liquidations always pass. What each one
does, who lifts it, and why, stands in ``RULES``. All values are fractions of 1, losses above zero; the
losses in a row are a count. No clock, settings or table here.

Day's loss and drawdown are measured per fund unit (equity ÷ units), so that money put in or taken out
moves neither; unrealized P&L, fees and funding are in equity.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from core.decimals import ONE, PRICE_STEP, ZERO, plain

HALF: Final = Decimal("0.5")
HUNDREDTH: Final = Decimal("0.01")


class BreakerKind(StrEnum):
    """What can stop a portfolio; the values are those of ``allocation.models.BreakerTrip.Kind``."""

    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    LOSSES_IN_A_ROW = "losses_in_a_row"
    EMERGENCY_LOSS = "emergency_loss"
    EMERGENCY_STOP = "emergency_stop"
    COPY_STOP = "copy_stop"
    MARGIN = "margin"
    DEFICIT = "deficit"
    BOOKS = "books"
    VENUE = "venue"


class Effect(StrEnum):
    """What a standing trip does. REDUCING and HALTED both bar every entry; HALTED needs a person's look."""

    FOLLOW = "follow"
    REDUCING = "reducing"
    HALTED = "halted"


class Resets(StrEnum):
    """Who lifts a trip."""

    DAY = "day"
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Rule:
    """What one breaker does, and why.

    :param closes: it closes everything too, and what it closed is not bought back
    """

    effect: Effect
    resets: Resets
    why: str
    closes: bool = False


_K: Final = BreakerKind
RULES: Final[Mapping[BreakerKind, Rule]] = MappingProxyType(
    {
        _K.DAILY_LOSS: Rule(Effect.REDUCING, Resets.DAY, "a bad day is over when the day is"),
        _K.DRAWDOWN: Rule(Effect.REDUCING, Resets.PERSON, "a slow loss has no day that ends it"),
        _K.LOSSES_IN_A_ROW: Rule(Effect.REDUCING, Resets.PERSON, "a streak asks what changed"),
        _K.EMERGENCY_LOSS: Rule(
            Effect.HALTED, Resets.PERSON, "everything was sold; to begin again is a decision", closes=True
        ),
        _K.EMERGENCY_STOP: Rule(Effect.HALTED, Resets.PERSON, "a person pressed it", closes=True),
        _K.COPY_STOP: Rule(Effect.FOLLOW, Resets.PERSON, "one trader lost its share; the others go on"),
        _K.MARGIN: Rule(Effect.HALTED, Resets.PERSON, "the perpetuals were liquidated"),
        _K.DEFICIT: Rule(Effect.HALTED, Resets.PERSON, "money is owed"),
        _K.BOOKS: Rule(Effect.HALTED, Resets.PERSON, "two records of the same money differ"),
        _K.VENUE: Rule(Effect.HALTED, Resets.PERSON, "the venue says what cannot be"),
    }
)
CLOSING: Final = tuple(kind for kind, rule in RULES.items() if rule.closes)
MEASURED: Final = (_K.DAILY_LOSS, _K.DRAWDOWN, _K.LOSSES_IN_A_ROW, _K.EMERGENCY_LOSS)
_NEAR: Final = (_K.DAILY_LOSS, _K.DRAWDOWN, _K.LOSSES_IN_A_ROW)  # half of these makes hybrid mode single


@dataclass(frozen=True, slots=True)
class BreakerThresholds:
    """Where the breakers trip: at this value or beyond."""

    daily_loss: Decimal = Decimal("0.05")
    drawdown: Decimal = Decimal("0.20")
    losses_in_a_row: int = 5
    emergency_loss: Decimal = Decimal("0.10")
    copy_stop: Decimal = Decimal("0.20")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a portfolio stands: the worth of a fund unit now, at the day's start and at its peak.

    :param losses_in_a_row: newest closed positions that lost, since the last reset
    """

    unit_value: Decimal
    day_start_unit_value: Decimal
    peak_unit_value: Decimal
    losses_in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What one breaker measures now.

    :param value: what was measured; ``threshold`` is where it trips
    """

    kind: BreakerKind
    value: Decimal
    threshold: Decimal

    @property
    def tripped(self) -> bool:
        """Whether the threshold is reached."""
        return self.value >= self.threshold

    @property
    def use(self) -> Decimal:
        """How much of the breaker is used: value ÷ threshold, 1 and more where it trips."""
        return self.value / self.threshold

    @property
    def text(self) -> str:
        """Say what was measured against what, for a person."""
        if self.kind is BreakerKind.LOSSES_IN_A_ROW:
            return f"{int(self.value)} losing positions in a row; the limit is {int(self.threshold)}"
        lost, limit = _percent(self.value), _percent(self.threshold)
        return {
            BreakerKind.DAILY_LOSS: f"{lost} lost today; the limit is {limit}",
            BreakerKind.DRAWDOWN: f"{lost} below the high-water mark; the limit is {limit}",
            BreakerKind.EMERGENCY_LOSS: f"{lost} lost today; at {limit} everything is closed",
            BreakerKind.COPY_STOP: f"{lost} of its assigned capital lost; the limit is {limit}",
        }[self.kind]


def breakers_read(*, standing: Standing, thresholds: BreakerThresholds) -> tuple[Reading, ...]:
    """Measure every breaker of a portfolio, in the order of ``MEASURED``."""
    day = _lost(now=standing.unit_value, then=standing.day_start_unit_value)
    values = {
        _K.DAILY_LOSS: (day, thresholds.daily_loss),
        _K.DRAWDOWN: (
            _lost(now=standing.unit_value, then=standing.peak_unit_value),
            thresholds.drawdown,
        ),
        _K.LOSSES_IN_A_ROW: (Decimal(standing.losses_in_a_row), Decimal(thresholds.losses_in_a_row)),
        _K.EMERGENCY_LOSS: (day, thresholds.emergency_loss),
    }
    return tuple(Reading(kind, *values[kind]) for kind in MEASURED)


def copy_stop_read(*, result: Decimal, base: Decimal, capital: Decimal, threshold: Decimal) -> Reading:
    """Measure what one trader lost of its share.

    :param result: what its slices brought: realized + unrealized - fees + funding
    :param base: the result from which the loss counts; ``capital`` is its weight × the portfolio's equity
    """
    lost = max(ZERO, base - result)
    value = (lost / capital).quantize(PRICE_STEP) if capital > 0 else ZERO
    return Reading(BreakerKind.COPY_STOP, value, threshold)


def losses_in_a_row(*, results: Sequence[Decimal]) -> int:
    """Count the losses at the head of closed positions' net results, the newest first."""
    count = 0
    for result in results:
        if result >= 0:
            break
        count += 1
    return count


def strictest(*, effects: Iterable[str]) -> Effect | None:
    """Return the strictest effect on the whole portfolio; None where entries may go on."""
    ranked = [Effect(effect) for effect in effects]
    return next((effect for effect in (Effect.HALTED, Effect.REDUCING) if effect in ranked), None)


def day_is_over(*, tripped_at: datetime, tripped_run: int, world_at: datetime, run: int) -> bool:
    """Tell whether the UTC day of a trip is past in its world; a replay's new run is another day."""
    return run != tripped_run or world_at.astimezone(UTC).date() > tripped_at.astimezone(UTC).date()


def one_place_only(*, trading_mode: str, readings: Iterable[Reading]) -> str:
    """Say why at most one position may be open; empty where the mode sets no such bound (RSK-4)."""
    if trading_mode == "single":
        return "the trading mode is single"
    if trading_mode != "hybrid":
        return ""
    used = [reading for reading in readings if reading.kind in _NEAR and reading.use >= HALF]
    if not used:
        return ""
    return f"the trading mode is hybrid and half a breaker is used: {used[0].text}"


def _lost(*, now: Decimal, then: Decimal) -> Decimal:
    """Return the part that is gone, 0 where nothing is."""
    return max(ZERO, (ONE - now / then).quantize(PRICE_STEP)) if then > 0 else ZERO


def _percent(fraction: Decimal) -> str:
    """Write a fraction for a person: "5.25 %"."""
    return f"{plain((fraction * 100).quantize(HUNDREDTH))} %"
