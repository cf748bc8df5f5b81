"""What exit rules ought to find, by a plain loop over prices: from the rules' words, with none of their code.

At each price, first what stood before it: the tighter stop, then the next steps of take profit, then the time
stop. Then the price moves the best price and the trailing stop. A stop and a time stop end it. After a take
profit, also a full one, the stop goes on standing: its order waits for its price, which may never come.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal

D = Decimal
_WIDE = Context(prec=60, rounding=ROUND_HALF_EVEN)
_STORED = D("0.000000000001")
NONE = D(0)


@dataclass(frozen=True)
class Rules:
    """As people write them: percent, hours; 0 is off. ``steps`` are (gain %, part %)."""

    stop_pct: D = NONE
    trail_from_pct: D = NONE
    trail_by_pct: D = NONE
    steps: tuple[tuple[D, D], ...] = ()
    hours: D = NONE


@dataclass(frozen=True)
class Seen:
    """A rule found its price. ``at`` is the world time of the price in microseconds."""

    kind: str
    price: D
    level: D | None
    fraction: D
    at: int


@dataclass
class Course:
    """What became of one position over a stretch of prices; levels as they stand at its end."""

    peak: D
    stop: D | None
    trail: D | None = None
    steps_done: int = 0
    seen: list[Seen] = field(default_factory=list)
    over: bool = False


def percent_of(price: D, percent: D) -> D:
    """Return a percentage of a price, to the 12 decimals that are stored.

    >>> percent_of(D(200), D("99.5"))
    Decimal('199.000000000000')
    """
    return _WIDE.divide(_WIDE.multiply(price, percent), D(100)).quantize(_STORED, context=_WIDE)


def course(
    *,
    rules: Rules,
    sign: int,
    entry: D,
    opened_us: int,
    prices: Iterable[tuple[int, D]],
) -> Course:
    """Follow one position through prices (world time in microseconds, price) from after its opening."""
    hundred = D(100)
    stop = percent_of(entry, hundred - sign * rules.stop_pct) if rules.stop_pct else None
    starts = percent_of(entry, hundred + sign * rules.trail_from_pct)
    behind = hundred - sign * rules.trail_by_pct
    targets = [(percent_of(entry, hundred + sign * gain), part / hundred) for gain, part in rules.steps]
    ends_us = opened_us + int(rules.hours * 3_600_000_000) if rules.hours else None
    now = Course(peak=entry, stop=stop)
    for at, price in prices:
        hit = [
            level
            for level in (now.stop, now.trail)
            if level is not None and _at_or_beyond(price, level, -sign)
        ]
        if hit:
            level = max(hit) if sign > 0 else min(hit)
            kind = "trailing" if level == now.trail else "stop_loss"
            now.seen.append(Seen(kind, price, level, D(1), at))
            now.over = True
            return now
        took = False
        left = D(1)
        first: D | None = None
        while now.steps_done < len(targets) and _at_or_beyond(price, targets[now.steps_done][0], sign):
            level, part = targets[now.steps_done]
            first = level if first is None else first
            left *= 1 - part
            now.steps_done += 1
            took = True
        if took:
            now.seen.append(Seen("take_profit", price, first, 1 - left, at))
        elif ends_us is not None and at >= ends_us:
            now.seen.append(Seen("time_stop", price, None, D(1), at))
            now.over = True
            return now
        if rules.trail_from_pct and now.trail is None and _at_or_beyond(price, starts, sign):
            now.peak, now.trail = price, percent_of(price, behind)
        elif price * sign > now.peak * sign:
            now.peak = price
            if now.trail is not None:
                further = percent_of(price, behind)
                now.trail = max(now.trail, further) if sign > 0 else min(now.trail, further)
    return now


def _at_or_beyond(price: D, level: D, sign: int) -> bool:
    """Tell whether a price is at a level or past it, upwards (1) or downwards (-1)."""
    return price >= level if sign > 0 else price <= level
