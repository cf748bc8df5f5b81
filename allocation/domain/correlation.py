"""Which instruments move together, and how much rests on those that do: top-3 correlated exposure (RSK-1).

ρ is Pearson's correlation of hourly returns over the hours in which both are known. Two positions *move
together* when ρ, its sign turned where their sides differ, is at least 0.6: there Evans begins to call a
correlation strong. Long A and short B with ρ = −0.9 move together; long A and long B then do not.
Where fewer than 24 common hours are known, or one price stood still, nobody can tell: the two count as moving
together, whatever their sides.

Top-3 correlated exposure is the largest sum, over all positions, of the three largest |exposures| among a
position and those that move together with it. A position that moves with no other counts alone.

Sources: Pearson (1895), Proceedings of the Royal Society 58; Evans (1996), Straightforward Statistics for
the Behavioral Sciences (0.60 to 0.79 is "strong"). Correlations are statistics, so floats; money is Decimal.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from heapq import nsmallest
from itertools import combinations
from math import fsum, isnan, sqrt
from typing import Final

from core.decimals import MONEY_STEP, ONE, ZERO, to_step

TOGETHER_FROM: Final = 0.6
COMMON_LEAST: Final = 24
TOP: Final = 3
_FACTOR_STEP: Final = Decimal(
    "0.000000000001"
)  # a factor is rounded down, so that what it scales stays below


@dataclass(frozen=True, slots=True)
class Correlations:
    """What is known of how instruments move together.

    :param pairs: ρ by two names in ascending order; a pair that is missing is not known
    """

    pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)

    def between(self, one: str, other: str) -> float | None:
        """Return ρ of two different instruments; None where too little is known."""
        return self.pairs.get((one, other) if one < other else (other, one))

    def together(self, one: str, other: str, *, same_side: bool) -> bool:
        """Tell whether positions in two instruments move together; unknown counts as yes."""
        known = self.between(one, other)
        return known is None or (known if same_side else -known) >= TOGETHER_FROM


@dataclass(frozen=True, slots=True)
class CorrelatedGroup:
    """A position and those that move together with it.

    :param top: the largest of them, at most three, by falling exposure
    :param total: Σ|exposure| of ``top``
    :param guessed: at least one of ``top`` belongs only because too few returns are known
    """

    centre: str
    members: tuple[str, ...]
    top: tuple[str, ...]
    total: Decimal
    guessed: bool


NO_GROUP: Final = CorrelatedGroup(centre="", members=(), top=(), total=ZERO, guessed=False)


def pearson(one: Collection[float], other: Collection[float]) -> float | None:
    """Return the correlation of two aligned rows, leaving out places where either is nan.

    None with fewer than 24 common places, or where one of the rows does not vary.
    """
    common = [(a, b) for a, b in zip(one, other, strict=True) if not (isnan(a) or isnan(b))]
    count = len(common)
    if count < COMMON_LEAST:
        return None
    mean_a, mean_b = fsum([a for a, _ in common]) / count, fsum([b for _, b in common]) / count
    apart = [(a - mean_a, b - mean_b) for a, b in common]
    spread_a, spread_b = fsum([a * a for a, _ in apart]), fsum([b * b for _, b in apart])
    if spread_a <= 0 or spread_b <= 0:
        return None
    shared = fsum([a * b for a, b in apart])
    return max(-1.0, min(1.0, shared / sqrt(spread_a) / sqrt(spread_b)))


def correlations_of(*, returns: Mapping[str, Collection[float]]) -> Correlations:
    """Return the correlations of all pairs of aligned rows."""
    found = {(a, b): pearson(returns[a], returns[b]) for a, b in combinations(sorted(returns), 2)}
    return Correlations({pair: rho for pair, rho in found.items() if rho is not None})


def correlated_top(*, exposures: Mapping[str, Decimal], correlations: Correlations) -> CorrelatedGroup:
    """Return the group with the largest top-3 correlated exposure; ties by name.

    :param exposures: signed, by instrument; those of 0 are left out
    """
    groups = groups_of(exposures=exposures, correlations=correlations)
    return max(
        (_group(centre, members, exposures, correlations) for centre, members in sorted(groups.items())),
        key=lambda group: group.total,
        default=NO_GROUP,
    )


def groups_of(*, exposures: Mapping[str, Decimal], correlations: Correlations) -> dict[str, tuple[str, ...]]:
    """Return, for every instrument with an exposure, itself and those that move together with it."""
    names = sorted(name for name, exposure in exposures.items() if exposure)
    groups: dict[str, list[str]] = {name: [name] for name in names}
    for one, other in combinations(names, 2):
        if correlations.together(one, other, same_side=(exposures[one] > 0) == (exposures[other] > 0)):
            groups[one].append(other)
            groups[other].append(one)
    return {name: tuple(members) for name, members in groups.items()}


def correlated_limit(
    *,
    bases: Mapping[str, Decimal],
    wanted: Mapping[str, Decimal],
    allowed: Decimal,
    correlations: Correlations,
) -> dict[str, tuple[Decimal, CorrelatedGroup]]:
    """Return how far each exposure may grow so that no group's three largest exceed ``allowed``.

    Groups are taken from the largest down; all increases in a group that exceeds share one factor. Where
    what is held exceeds by itself, nothing that moves together with it grows.

    :param bases: unsigned part of each wanted exposure that is held and stays
    :param wanted: signed exposures, |wanted| >= base
    :returns: those that may not grow as wanted: their signed exposure, and the group that bounds it
    """
    now = dict(wanted)
    alike: dict[tuple[str, ...], str] = {}  # positions with the same neighbours make one group
    for centre, members in sorted(groups_of(exposures=wanted, correlations=correlations).items()):
        alike.setdefault(tuple(sorted(members)), centre)
    groups = {centre: _group(centre, members, now, correlations) for members, centre in alike.items()}
    bounded: dict[str, tuple[Decimal, CorrelatedGroup]] = {}
    while groups:
        worst = max(groups.values(), key=lambda group: (group.total, group.centre))
        if worst.total <= allowed:
            break
        del groups[worst.centre]
        growth = {name: abs(now[name]) - bases[name] for name in worst.members}
        room, whole = _share(worst.members, bases, growth, allowed)
        for name, more in growth.items():
            if more > 0:
                size = bases[name] + to_step(more * room / whole, MONEY_STEP)
                now[name] = size.copy_sign(wanted[name])
                bounded[name] = (now[name], worst)
        for centre, group in groups.items():
            if group.total > allowed:  # nothing grows here, so the others need no second look
                groups[centre] = _group(centre, group.members, now, correlations)
    return bounded


def _group(
    centre: str, members: Iterable[str], exposures: Mapping[str, Decimal], correlations: Correlations
) -> CorrelatedGroup:
    members = tuple(members)
    top = tuple(nsmallest(TOP, members, key=lambda name: (-abs(exposures[name]), name)))
    return CorrelatedGroup(
        centre=centre,
        members=members,
        top=top,
        total=sum((abs(exposures[name]) for name in top), ZERO),
        guessed=any(name != centre and correlations.between(centre, name) is None for name in top),
    )


def _share(
    members: Collection[str],
    bases: Mapping[str, Decimal],
    growth: Mapping[str, Decimal],
    allowed: Decimal,
) -> tuple[Decimal, Decimal]:
    """Return the largest factor, as room ÷ whole, at which the three largest of base + growth · factor fit.

    Their sum is the largest of many straight lines in the factor, so Newton's steps from 1 downward end at
    it: each meets one more triple.
    """
    room, whole = ONE, ONE
    met: set[tuple[str, ...]] = set()
    while True:
        sizes = {name: bases[name] + growth[name] * room / whole for name in members}
        top = tuple(nsmallest(TOP, members, key=lambda name: (-sizes[name], name)))
        held, more = sum((bases[n] for n in top), ZERO), sum((growth[n] for n in top), ZERO)
        if top in met or held + more * room / whole <= allowed:
            return room, whole
        if more == 0 or held >= allowed:
            return ZERO, ONE
        met.add(top)
        room, whole = allowed - held, more
