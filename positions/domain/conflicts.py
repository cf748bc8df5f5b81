"""Detect and resolve conflicts: several traders wish the same underlying (CON-1, CON-2).

A wish is one trader's scaled, signed target in quote currency, long positive. Two or more wishes
for one underlying are an *overlap* (same side) or *opposed*, and one of three rules decides:

- combine: all count, the net is their sum
- largest: the largest wish counts alone
- first: the position opened first counts alone

Ties go to the larger weight, then the earlier place among the follows, then the lower id; so the
outcome depends on nothing but the wishes. Under the spot policy shorts hold nothing: combined, they
reduce the longs pro rata, and a net below 0 becomes 0.

This runs for every portfolio in every cycle and is kept lean (CON-5): wishes are passed through, not copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from core.decimals import ZERO
from core.types import ConflictRule, Policy

_NEVER: Final = datetime.max.replace(tzinfo=UTC)


class ConflictKind(StrEnum):
    """Whether the traders agree on the side."""

    OVERLAP = "overlap"
    OPPOSED = "opposed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one follow wants of one underlying.

    :param notional: signed target in quote currency; 0 is no wish
    :param place: the follow's place in the portfolio's order
    :param opened_at: when the trader opened it; None sorts last under ``first``
    """

    follow_id: int
    underlying: str
    notional: Decimal
    weight: Decimal
    place: int
    opened_at: datetime | None = None


@dataclass(slots=True)
class Resolution:
    """What remains of the wishes for one underlying. Not frozen: built thousands of times a second.

    :param kind: None where only one trader wishes it
    :param wishes: those with a notional other than 0, as given
    :param winner: the wish that counts alone; None where all count
    :param amounts: what each follow gets, signed; an overruled follow gets 0
    :param net: Σ amounts
    """

    underlying: str
    kind: ConflictKind | None
    rule: ConflictRule
    wishes: Sequence[Wish]
    winner: Wish | None
    amounts: dict[int, Decimal]
    net: Decimal


def conflicts_resolve(
    *,
    wishes: Iterable[Wish],
    rule: ConflictRule,
    policy: Policy,
    overrides: Mapping[str, ConflictRule] | None = None,
) -> dict[str, Resolution]:
    """Group wishes by underlying and resolve each group by its rule.

    :param overrides: rules for single underlyings, in place of ``rule``
    :returns: one resolution per wished underlying, conflicts (``kind`` set) and single wishes alike
    """
    groups: dict[str, list[Wish]] = {}
    for wish in wishes:
        if wish.notional:
            group = groups.get(wish.underlying)
            if group is None:
                groups[wish.underlying] = [wish]
            else:
                group.append(wish)
    special = overrides or {}
    spot = policy is Policy.SPOT
    return {
        underlying: _resolve(underlying, group, special.get(underlying, rule), spot)
        for underlying, group in groups.items()
    }


def conflict_kind(*, signed: Iterable[Decimal]) -> ConflictKind | None:
    """Tell how two or more signed amounts relate; None for fewer than two that are not 0."""
    sides = [amount > 0 for amount in signed if amount]
    if len(sides) < 2:
        return None
    return ConflictKind.OPPOSED if any(sides) and not all(sides) else ConflictKind.OVERLAP


def _resolve(underlying: str, wishes: list[Wish], rule: ConflictRule, spot: bool) -> Resolution:
    """Resolve one group by its rule, then apply the spot policy."""
    kind = None
    winner = None
    if len(wishes) > 1:
        shorts = sum([wish.notional.is_signed() for wish in wishes])
        kind = ConflictKind.OVERLAP if shorts in (0, len(wishes)) else ConflictKind.OPPOSED
        if rule is not ConflictRule.COMBINE:
            winner = min(wishes, key=_largest_key if rule is ConflictRule.LARGEST else _first_key)
    if winner is None:
        amounts = {wish.follow_id: wish.notional for wish in wishes}
        net = sum(amounts.values(), ZERO)
    else:
        amounts = dict.fromkeys([wish.follow_id for wish in wishes], ZERO)
        net = amounts[winner.follow_id] = winner.notional
    if spot:
        amounts, net = _longs_only(amounts, net)
    return Resolution(underlying, kind, rule, wishes, winner, amounts, net)


def _longs_only(amounts: dict[int, Decimal], net: Decimal) -> tuple[dict[int, Decimal], Decimal]:
    """Let shorts reduce the longs pro rata and hold nothing; a net below 0 leaves nothing."""
    longs = sum([amount for amount in amounts.values() if amount > 0], ZERO)
    if longs == net:
        return amounts, net
    if net <= 0:
        return dict.fromkeys(amounts, ZERO), ZERO
    return {follow: amount * net / longs if amount > 0 else ZERO for follow, amount in amounts.items()}, net


def _largest_key(wish: Wish) -> tuple[Decimal, Decimal, int, int]:
    return -abs(wish.notional), -wish.weight, wish.place, wish.follow_id


def _first_key(wish: Wish) -> tuple[datetime, Decimal, int, int]:
    return wish.opened_at or _NEVER, -wish.weight, wish.place, wish.follow_id
