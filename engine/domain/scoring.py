"""Score the candidates for entries, rank them, and say why (EXE-2).

A candidate is an entry about to be placed. Up to four components, each from 0 (against it) to 1 (for it),
0.5 where they say nothing; one without data is left out and the weights of the others are raised to sum to 1.

- velocity (30 %): Φ(mean · √n ÷ deviation) of the last 24 hourly returns, signed by side: how surely the
  price went the entry's way. Source: time-series momentum, returns scaled by volatility; Moskowitz, Ooi and
  Pedersen (2012), Journal of Financial Economics 104(2).
- volume (15 %): 1 ÷ (1 + √(notional ÷ (1 % of the day's volume))): the order against what trades. Source:
  square-root law of market impact; Tóth et al. (2011), Physical Review X 1, 021006.
- depth (20 %): 1 − half the impact spread ÷ 10 bps, at least 0: at 10 bps an entry's limit no longer reaches.
- past (35 %): mean of the win rate and Φ(mean return ÷ 5 %) over what this trader's slices of this instrument
  brought us, both shrunk toward 0.5 and 0 as if 8 neutral trades had come before. Source: Beta prior and
  shrinkage of means; Efron and Morris (1977), Scientific American 236(5).

Scores are statistics, hence floats inside; what leaves is a Decimal to 4 places. The same inputs give the
same score in every process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum
from math import erf, isnan, sqrt
from statistics import fmean, pstdev
from typing import Final

from core.decimals import ZERO

WEIGHTS: Final[Mapping[str, float]] = {"velocity": 0.30, "volume": 0.15, "depth": 0.20, "past": 0.35}
HIGH_FROM: Final = Decimal("0.60")
MEDIUM_FROM: Final = Decimal("0.40")
NEUTRAL: Final = Decimal("0.5000")
_STEP: Final = Decimal("0.0001")
_RETURNS: Final = 24
_RETURNS_LEAST: Final = 8  # fewer say nothing about a trend
_DAY_SHARE: Final = 0.01
_REACH: Final = 0.0010  # an entry's limit, as a fraction of the mark
_PRIOR_TRADES: Final = 8
_USUAL_RETURN: Final = 0.05


class Priority(IntEnum):
    """Who gets capital first; the numbers are those of ``allocation.models.Reservation.Priority``.

    Exits are CRITICAL. An entry is HIGH from a score of 0.60, MEDIUM from 0.40, LOW below.
    """

    CRITICAL = 0
    HIGH = 1
    MEDIUM = 2
    LOW = 3


@dataclass(frozen=True, slots=True)
class PastResults:
    """What closed slices of one trader in one instrument brought.

    :param mean_return: net result ÷ notional, a fraction, averaged over ``closed``
    """

    closed: int = 0
    won: int = 0
    mean_return: float = 0.0


@dataclass(frozen=True, slots=True)
class MarketPulse:
    """What is known of one market beside its mark; None where the world has no such data.

    :param returns: hourly returns, newest last; nan where one is not known
    :param day_volume: traded in the last 24 hours, in quote currency
    :param impact_spread: (ask − bid) ÷ mark of a round trip at the venue's impact size, a fraction
    """

    returns: Sequence[float] = ()
    day_volume: Decimal | None = None
    impact_spread: Decimal | None = None


NO_PULSE: Final = MarketPulse()


@dataclass(frozen=True, slots=True)
class Candidate:
    """One entry to be ranked.

    :param notional: signed, in quote currency: positive buys
    :param past: of each trader the entry is for, with the share of the entry that is its own (any unit, ≥ 0)
    """

    underlying: str
    notional: Decimal
    pulse: MarketPulse = NO_PULSE
    past: Sequence[tuple[Decimal, PastResults]] = field(default=())


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """A candidate's rank.

    :param score: 0 to 1, to 4 places
    :param components: those that had data
    :param text: the explanation, for a person
    """

    score: Decimal
    priority: Priority
    components: Mapping[str, float]
    text: str


NEUTRAL_SCORE: Final = CandidateScore(NEUTRAL, Priority.MEDIUM, {}, "nothing to score it by")


def candidate_score(*, candidate: Candidate) -> CandidateScore:
    """Score one candidate; without any data it is neutral, 0.5."""
    found = {
        "velocity": _velocity(candidate.pulse.returns, buys=candidate.notional > 0),
        "volume": _volume(candidate.notional, candidate.pulse.day_volume),
        "depth": _depth(candidate.pulse.impact_spread),
        "past": _past(candidate.past),
    }
    known = {name: value for name, value in found.items() if value is not None}
    if not known:
        return NEUTRAL_SCORE
    total = sum(WEIGHTS[name] for name in known)
    mean = sum(WEIGHTS[name] * value for name, value in known.items()) / total
    score = Decimal(repr(round(mean, 4))).quantize(_STEP)
    missing = [name for name in found if name not in known]
    parts = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
    left_out = f"; no data on {', '.join(missing)}" if missing else ""
    return CandidateScore(score, priority_of(score=score), known, f"{parts}{left_out}")


def priority_of(*, score: Decimal) -> Priority:
    """Return the priority of an entry with this score."""
    if score >= HIGH_FROM:
        return Priority.HIGH
    return Priority.MEDIUM if score >= MEDIUM_FROM else Priority.LOW


def rank_key(*, score: Decimal, notional: Decimal, underlying: str) -> tuple[Decimal, Decimal, str]:
    """Return what entries are sorted by: better score, larger notional, then name; never a tie."""
    return -score, -abs(notional), underlying


def _velocity(returns: Sequence[float], *, buys: bool) -> float | None:
    """How surely the recent returns went the entry's way; None where they are too few or did not move."""
    known = [value for value in returns[-_RETURNS:] if not isnan(value)]
    if len(known) < _RETURNS_LEAST:
        return None
    deviation = pstdev(known)
    if deviation == 0.0:
        return None
    sureness = fmean(known) * sqrt(len(known)) / deviation
    return _normal(sureness if buys else -sureness)


def _volume(notional: Decimal, day_volume: Decimal | None) -> float | None:
    if day_volume is None:
        return None
    if day_volume <= ZERO:
        return 0.0
    return 1 / (1 + sqrt(float(abs(notional)) / (float(day_volume) * _DAY_SHARE)))


def _depth(impact_spread: Decimal | None) -> float | None:
    if impact_spread is None:
        return None
    return min(1.0, max(0.0, 1 - float(impact_spread) / 2 / _REACH))


def _past(past: Sequence[tuple[Decimal, PastResults]]) -> float | None:
    """Average the traders by their shares of the entry; None where none of them has closed anything."""
    shares = sum((share for share, _ in past), ZERO)
    if shares <= 0 or not any(results.closed for _, results in past):
        return None
    return sum(float(share / shares) * _record(results) for share, results in past)


def _record(results: PastResults) -> float:
    counted = results.closed + _PRIOR_TRADES
    win_rate = (results.won + _PRIOR_TRADES / 2) / counted
    mean_return = results.mean_return * results.closed / counted
    return (win_rate + _normal(mean_return / _USUAL_RETURN)) / 2


def _normal(value: float) -> float:
    """Return the standard normal distribution function at ``value``."""
    return (1 + erf(value / sqrt(2))) / 2
