"""How the instruments of a world have moved together lately, worked out once per process and hour."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import combinations

from allocation.domain.correlation import Correlations, pearson
from markets.models import World
from markets.returns import returns_hour, returns_recent

_Pairs = dict[tuple[str, str], float | None]
_kept: dict[str, tuple[tuple[int, datetime], _Pairs]] = {}  # by world: the pairs of the newest hour, by code


def correlations_recent(*, world: World, codes: Mapping[str, str], now: datetime) -> Correlations:
    """Return the correlations of some underlyings' returns over the last 168 hours of world time.

    :param codes: instrument code by underlying
    :param now: wall time
    """
    hour = (world.run, returns_hour(world=world, now=now))
    kept_hour, pairs = _kept.get(world.name, (None, {}))
    if kept_hour != hour:
        pairs = {}
        _kept[world.name] = (hour, pairs)
    returns = returns_recent(world=world, codes=set(codes.values()), now=now)
    found: dict[tuple[str, str], float] = {}
    for one, other in combinations(sorted(codes), 2):
        key = (codes[one], codes[other])
        if key not in pairs:
            pairs[key] = pearson(returns[key[0]], returns[key[1]])
        rho = pairs[key]
        if rho is not None:
            found[one, other] = rho
    return Correlations(found)
