"""How many independent traders a portfolio really follows: ten copies of one bet are one (BEY-5).

Two traders are alike as far as they hold the same (*overlap*: the cosine between their signed exposures, each
a fraction of its own equity) or gain and lose together (*correlation*: Pearson's, of hourly returns on their
equity). Their similarity is the larger of the two that are known, at least 0: who bets against another is as
good as independent of it, never more. With shares w that sum to 1 and similarities Z (1 on the diagonal),

    effective number = 1 / Σᵢⱼ wᵢ · wⱼ · Zᵢⱼ

the diversity of order 2 of Leinster and Cobbold (2012), Ecology 93(3), 477-489: Rao's quadratic entropy as a
number of equals. n alike give 1, n that share nothing give n with equal shares (1/Σw² otherwise), and it
always lies between. Where a pair is not known, it is told what the number would be at least and at most.

Similarities are statistics, so they are floats; nothing is traded on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import fsum, hypot

from allocation.domain.correlation import pearson


@dataclass(frozen=True, slots=True)
class TraderBets:
    """What is known of one trader.

    :param weight: its share of the portfolio, any positive number; they are scaled to sum to 1
    :param exposures: signed notional ÷ equity by underlying; empty where it holds nothing or is not known
    :param returns: hourly returns on its equity, aligned with the others', nan where not known
    """

    key: int
    weight: float
    exposures: Mapping[str, float]
    returns: Sequence[float]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two traders; each measure from -1 to 1, None where too little is known."""

    one: int
    other: int
    overlap: float | None
    correlation: float | None

    @property
    def similarity(self) -> float | None:
        """From 0, independent, to 1, the same bet; None where neither measure is known."""
        known = [measure for measure in (self.overlap, self.correlation) if measure is not None]
        return min(1.0, max(0.0, *known)) if known else None


@dataclass(frozen=True, slots=True)
class Independence:
    """How many traders there are, and how many they are worth.

    :param least: the effective number if every unknown pair were one bet; ``most``: if it were independent
    """

    count: int
    least: float
    most: float
    pairs: tuple[Pair, ...]

    @property
    def effective(self) -> float | None:
        """The effective number; None while a pair is not known."""
        return None if self.unknown else self.most

    @property
    def unknown(self) -> int:
        """How many pairs nothing is known of."""
        return sum(pair.similarity is None for pair in self.pairs)


def independence_measure(*, traders: Sequence[TraderBets]) -> Independence:
    """Return the effective number of independent traders; 0 of 0."""
    if not traders:
        return Independence(count=0, least=0.0, most=0.0, pairs=())
    pairs = tuple(
        Pair(
            one=one.key,
            other=other.key,
            overlap=overlap_of(one=one.exposures, other=other.exposures),
            correlation=pearson(one.returns, other.returns),
        )
        for one, other in combinations(traders, 2)
    )
    total = fsum(trader.weight for trader in traders)
    weights = {trader.key: trader.weight / total for trader in traders}
    return Independence(
        count=len(traders),
        least=_effective(weights, pairs, unknown=1.0),
        most=_effective(weights, pairs, unknown=0.0),
        pairs=pairs,
    )


def overlap_of(*, one: Mapping[str, float], other: Mapping[str, float]) -> float | None:
    """Return the cosine between two traders' exposures: 1 the same bets, -1 opposed ones, 0 nothing shared.

    None where one of them holds nothing.
    """
    sizes = hypot(*one.values()), hypot(*other.values())
    if 0 in sizes:
        return None
    shared = fsum((exposure / sizes[0]) * (other.get(name, 0.0) / sizes[1]) for name, exposure in one.items())
    return max(-1.0, min(1.0, shared))


def _effective(weights: Mapping[int, float], pairs: Sequence[Pair], *, unknown: float) -> float:
    alone = fsum(weight * weight for weight in weights.values())
    together = fsum(
        2
        * weights[pair.one]
        * weights[pair.other]
        * (unknown if pair.similarity is None else pair.similarity)
        for pair in pairs
    )
    # Shares that do not sum to exactly 1 in floats must not carry it past its bounds.
    return min(max(1.0, 1.0 / (alone + together)), 1.0 / alone) if alone < 1.0 else 1.0
