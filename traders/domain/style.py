"""Whether a trader still trades as it used to: leverage, turnover, holding time, instruments (BEY-7). Pure.

The last 24 hours of world time are held against up to 30 spans of 24 hours before them. All in floats.

    leverage     mean of gross ÷ equity over the reads in which anything was held
    turnover     Σ |change of quantity| x price ÷ equity
    holding      median hours for which the positions closed in the span had been open
    instruments  how far the mean split of gross over underlyings lies from the others' mean split:
                 Jensen-Shannon distance, 0 (the same) to 1 (nothing in common)

The first three are compared as logarithms, since twice and half are equally far. A measure has left its
history where its robust z-score, (x - median) ÷ (1.4826 MAD), reaches ``ALARM_Z`` and no day of the history
went as far. A trader too new, or too idle, for ``LEAST_DAYS`` days of history is not judged. Turnover that
fell and an ordinary split are no alarms.

Sources: Iglewicz and Hoaglin (1993), How to Detect and Handle Outliers (modified z-score); Lin (1991),
Divergence Measures Based on the Shannon Entropy; Endres and Schindelin (2003) for the distance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from math import log, log2, sqrt
from statistics import median
from typing import Final

HISTORY_DAYS: Final = 30
LEAST_DAYS: Final = 7
LEAST_READ_HOURS: Final = 12  # of 24, for a span to count
LEAST_CLOSED: Final = 3  # positions closed in a span, for their median to say something
ALARM_Z: Final = 5.0
CALM_Z: Final = 3.0  # a standing alarm ends below this
MAD_TO_SIGMA: Final = 1.4826
LEAST_SPREAD: Final = 0.2  # of logarithms, about a fifth: a very even history cries at no trifle
LEAST_DISTANCE: Final = 0.1  # the same for the distance between splits
_OFFSET: Final = {"leverage": 0.1, "turnover": 0.1, "holding": 0.25}  # x, a day, hours: zero has a logarithm


class Measure(StrEnum):
    """What is watched."""

    LEVERAGE = "leverage"
    TURNOVER = "turnover"
    HOLDING = "holding"
    INSTRUMENTS = "instruments"


@dataclass(frozen=True, slots=True)
class Held:
    """One underlying in one read: signed quantity in its units, signed notional, and since when, if known."""

    quantity: float
    notional: float
    opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """A trader at one moment of world time; ``equity`` above zero."""

    at: datetime
    equity: float
    held: Mapping[str, Held]


@dataclass(frozen=True, slots=True)
class StyleHour:
    """What the reads of one hour, or of several together, come to.

    :param reads: how many there were; ``held_reads`` of them held anything
    :param leverage_sum: Σ gross ÷ equity over the reads
    :param closed_h: hours for which each position closed here had been open
    :param splits: Σ over the reads of each underlying's share of gross
    """

    reads: int = 0
    held_reads: int = 0
    leverage_sum: float = 0.0
    turnover: float = 0.0
    closed_h: tuple[float, ...] = ()
    splits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StyleDay:
    """One span of 24 hours; None where it says nothing of a measure."""

    leverage: float | None
    turnover: float | None
    holding: float | None
    split: Mapping[str, float] | None


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one measure is from its history, and whether that is an alarm.

    :param before: median of the history (of the distances, for instruments); ``after`` the last 24 hours
    :param shifts: for instruments, the underlyings whose share changed most: (underlying, before, after)
    """

    measure: Measure
    before: float
    after: float
    z: float
    alarm: bool
    shifts: tuple[tuple[str, float, float], ...] = ()

    @property
    def calm(self) -> bool:
        """Tell whether it has come back far enough for a standing alarm to end."""
        return abs(self.z) < CALM_Z


def hour_measure(*, readings: Sequence[Reading], before: Reading | None) -> StyleHour:
    """Sum up the reads of one hour, by rising time.

    A position seen closed counts as open until the read that showed it gone, from its reported opening or
    else from nowhere: without one its holding time is not known and not counted.

    :param before: the last read before the hour; None where there is none
    """
    leverage, turnover, held_reads = 0.0, 0.0, 0
    closed: list[float] = []
    splits: dict[str, float] = {}
    last = before
    for reading in readings:
        gross = sum(abs(held.notional) for held in reading.held.values())
        if gross > 0:
            held_reads += 1
            leverage += gross / reading.equity
            for underlying, held in reading.held.items():
                splits[underlying] = splits.get(underlying, 0.0) + abs(held.notional) / gross
        if last is not None:
            turnover += _traded(last, reading) / reading.equity
            closed += _closed_h(last, reading)
        last = reading
    return StyleHour(len(readings), held_reads, leverage, turnover, tuple(closed), splits)


def _traded(last: Reading, reading: Reading) -> float:
    traded = 0.0
    for underlying in last.held.keys() | reading.held.keys():
        old, new = last.held.get(underlying), reading.held.get(underlying)
        known = new or old
        if known is None or known.quantity == 0:
            continue
        change = (new.quantity if new else 0.0) - (old.quantity if old else 0.0)
        traded += abs(change) * abs(known.notional / known.quantity)
    return traded


def _closed_h(last: Reading, reading: Reading) -> list[float]:
    """Return how long what is gone, or has changed sides, had been open."""
    return [
        (reading.at - old.opened_at).total_seconds() / 3600
        for underlying, old in last.held.items()
        if old.opened_at is not None
        and ((new := reading.held.get(underlying)) is None or new.quantity * old.quantity < 0)
    ]


def day_of(*, hours: Iterable[StyleHour]) -> StyleDay | None:
    """Sum 24 hours up; None where fewer than 12 of them were read."""
    read = [hour for hour in hours if hour.reads]
    if len(read) < LEAST_READ_HOURS:
        return None
    held = sum(hour.held_reads for hour in read)
    closed = [hours for hour in read for hours in hour.closed_h]
    splits: dict[str, float] = {}
    for hour in read:
        for underlying, share in hour.splits.items():
            splits[underlying] = splits.get(underlying, 0.0) + share
    return StyleDay(
        leverage=sum(hour.leverage_sum for hour in read) / held if held else None,
        turnover=sum(hour.turnover for hour in read),
        holding=median(closed) if len(closed) >= LEAST_CLOSED else None,
        split={underlying: share / held for underlying, share in splits.items()} if held else None,
    )


def drifts_find(*, today: StyleDay, history: Sequence[StyleDay]) -> tuple[Drift, ...]:
    """Hold the last 24 hours against the days before; one drift for each measure that can be judged."""
    found: list[Drift] = []
    for measure in (Measure.LEVERAGE, Measure.TURNOVER, Measure.HOLDING):
        now = getattr(today, measure.value)
        then = [x for day in history if (x := getattr(day, measure.value)) is not None]
        if now is not None and len(then) >= LEAST_DAYS:
            found.append(_level_drift(measure, now, then))
    splits = [day.split for day in history if day.split is not None]
    if today.split is not None and len(splits) >= LEAST_DAYS:
        found.append(_split_drift(today.split, splits))
    return tuple(found)


def _level_drift(measure: Measure, now: float, then: Sequence[float]) -> Drift:
    offset = _OFFSET[measure.value]
    logs, x = [log(offset + value) for value in then], log(offset + now)
    z = _robust_z(x, logs, LEAST_SPREAD)
    beyond = x > max(logs) or (x < min(logs) and measure is not Measure.TURNOVER)
    return Drift(measure, median(then), now, z, alarm=beyond and abs(z) >= ALARM_Z)


def _split_drift(now: Mapping[str, float], then: Sequence[Mapping[str, float]]) -> Drift:
    """Compare the split's distance from the usual one with each day's distance from the other days'."""
    usual = _mean_split(then)
    distances = [
        split_distance(split, _mean_split([*then[:place], *then[place + 1 :]]))
        for place, split in enumerate(then)
    ]
    distance = split_distance(now, usual)
    z = _robust_z(distance, distances, LEAST_DISTANCE)
    shifts = sorted(
        ((u, usual.get(u, 0.0), now.get(u, 0.0)) for u in usual.keys() | now.keys()),
        key=lambda shift: (-abs(shift[2] - shift[1]), shift[0]),
    )
    alarm = z >= ALARM_Z and distance > max(distances)
    return Drift(Measure.INSTRUMENTS, median(distances), distance, z, alarm, tuple(shifts[:3]))


def split_distance(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the Jensen-Shannon distance of two splits that each sum to 1, from 0 to 1."""
    divergence = 0.0
    for underlying in one.keys() | other.keys():
        p, q = one.get(underlying, 0.0), other.get(underlying, 0.0)
        mean = (p + q) / 2
        divergence += sum(x / 2 * log2(x / mean) for x in (p, q) if x > 0)
    return sqrt(min(1.0, max(0.0, divergence)))


def _mean_split(splits: Sequence[Mapping[str, float]]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for split in splits:
        for underlying, share in split.items():
            sums[underlying] = sums.get(underlying, 0.0) + share / len(splits)
    return sums


def _robust_z(x: float, values: Sequence[float], least: float) -> float:
    middle = median(values)
    spread = MAD_TO_SIGMA * median(abs(value - middle) for value in values)
    return (x - middle) / max(spread, least)


def drift_text(*, drift: Drift) -> str:
    """Say what changed, from what to what: "Leverage 1.2x to 4.8x"."""
    match drift.measure:
        case Measure.LEVERAGE:
            return f"Leverage {drift.before:.1f}x to {drift.after:.1f}x"
        case Measure.TURNOVER:
            return f"Turnover {drift.before:.1f} to {drift.after:.1f} times its equity a day"
        case Measure.HOLDING:
            return f"Holding time {_span(drift.before)} to {_span(drift.after)}"
        case Measure.INSTRUMENTS:
            moved = ", ".join(f"{u} {before:.0%} to {after:.0%}" for u, before, after in drift.shifts)
            return f"Instruments: {moved}".replace("%", " %")


def _span(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
