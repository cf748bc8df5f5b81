"""What the traders wanted and is not there, and because of what (RSK-1).

For every underlying the way from the wish to the position is walked, and what each step takes off is noted:
spot policy, bars, a price that ran away, limits, the turn, free capital, the venue's minimum. What merely
drifted, or is on its way, is not idle. Amounts are notionals in quote currency, unsigned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from allocation.domain.limits import Limit
from core.decimals import ONE, ZERO, dollars, plain, to_money
from core.types import Policy
from engine.domain.nets import Net
from engine.domain.outcomes import Case
from engine.domain.placement import Placement, Verdict
from engine.domain.plan_types import Idle

CENT: Final = Decimal("0.01")


class Beyond(StrEnum):
    """What keeps capital idle beside the limits."""

    SPOT = "spot"
    CHASE = "chase"
    STYLE = "style"
    TURN = "turn"
    CAPITAL = "capital"
    MINIMUM = "minimum"


LABELS: Final[Mapping[str, str]] = {
    Limit.POSITION.value: "Largest position",
    Limit.ASSET.value: "Weight of one asset",
    Limit.PLACES.value: "Number of positions",
    Limit.RAMP.value: "Live positions so far",
    Limit.CORRELATED.value: "Moving together",
    Limit.GROSS.value: "Total exposure",
    Limit.OPEN_ORDERS.value: "Open orders",
    Limit.BARRED.value: "Entries stopped",
    Beyond.SPOT.value: "Spot policy",
    Beyond.CHASE.value: "Price ran away",
    Beyond.STYLE.value: "Style changed",
    Beyond.TURN.value: "Waiting their turn",
    Beyond.CAPITAL.value: "Free capital",
    Beyond.MINIMUM.value: "Venue's minimum",
}


@dataclass(frozen=True, slots=True)
class IdleCapital:
    """What one cause keeps idle: in all, and of which underlyings, the largest first."""

    limit: str
    amount: Decimal
    why: str
    parts: tuple[tuple[str, Decimal], ...]

    @property
    def text(self) -> str:
        """Say it: "25 % of equity ($2,500.00) cuts BTC by $2,000.00"."""
        cut = " and ".join(f"{underlying} by {dollars(amount)}" for underlying, amount in self.parts[:3])
        more = f" and {len(self.parts) - 3} others" if len(self.parts) > 3 else ""
        return f"{self.why} cuts {cut}{more}"


def plan_idle(*, cases: Sequence[Case], cap: Decimal) -> tuple[Idle, ...]:
    """Return what is idle, per underlying and cause; nothing below a cent.

    :param cap: most gross exposure per unit of equity; below 1 it also keeps each trader from using its share
    """
    return tuple(idle for case in cases for idle in _case_idle(case, cap) if idle.amount >= CENT)


def idle_by_limit(*, idle: Iterable[Idle]) -> tuple[IdleCapital, ...]:
    """Sum it up by cause, the largest first."""
    groups: dict[str, list[Idle]] = {}
    for each in idle:
        groups.setdefault(each.limit, []).append(each)
    sums = (
        IdleCapital(
            limit=limit,
            amount=sum((each.amount for each in group), ZERO),
            why=max(group, key=lambda each: (each.amount, each.underlying)).why,
            parts=tuple(
                sorted(((e.underlying, e.amount) for e in group), key=lambda part: (-part[1], part[0]))
            ),
        )
        for limit, group in groups.items()
    )
    return tuple(sorted(sums, key=lambda each: (-each.amount, each.limit)))


def idle_record(*, idle: Iterable[Idle]) -> list[dict[str, Any]]:
    """Return the sums as JSON, for the page: decimals as strings."""
    return [
        {
            "limit": each.limit,
            "label": LABELS[each.limit],
            "amount": plain(each.amount),
            "text": each.text,
            "parts": [{"underlying": underlying, "amount": plain(part)} for underlying, part in each.parts],
        }
        for each in idle_by_limit(idle=idle)
    ]


def _case_idle(case: Case, cap: Decimal) -> list[Idle]:
    net, market = case.net, case.net.market
    if market is None:
        return []
    found = [
        *_unwanted(case),
        *_scaled_down(net, cap),
        *_undecided(net, market.mark),
        *_unsent(case.placement, net, market.mark),
    ]
    sums: dict[str, tuple[Decimal, str]] = {}
    for limit, amount, why in found:
        sums[limit] = (sums.get(limit, (ZERO, ""))[0] + amount, why)
    return [Idle(limit, net.underlying, to_money(amount), why) for limit, (amount, why) in sums.items()]


def _scaled_down(net: Net, cap: Decimal) -> list[tuple[str, Decimal, str]]:
    """What a gross cap below 1 takes off: a trader may use only that part of its share of equity.

    A trader that uses leverage wants no more than the whole of its share here: beyond it nothing is idle.
    """
    if net.resolution is None or cap >= 1 or cap <= 0:
        return []
    amounts = net.resolution.amounts
    whole = sum(
        (
            amounts.get(leg.follow_id, ZERO) * min(ONE / leg.scale, ONE / cap)
            for leg in net.legs
            if leg.follow_id is not None and leg.scale > 0
        ),
        ZERO,
    )
    taken = abs(whole) - abs(net.resolution.net)
    return [(Limit.GROSS.value, taken, f"{plain(cap * 100)} % gross exposure")]


def _unwanted(case: Case) -> list[tuple[str, Decimal, str]]:
    """What the policy takes: shorts that a spot portfolio does not hold."""
    resolution = case.net.resolution
    if case.policy is not Policy.SPOT or resolution is None:
        return []
    counting = [resolution.winner] if resolution.winner else resolution.wishes
    short = -sum((wish.notional for wish in counting), ZERO)
    return [(Beyond.SPOT, short, "A spot portfolio holds no shorts, which")] if short > 0 else []


def _undecided(net: Net, mark: Decimal) -> list[tuple[str, Decimal, str]]:
    """What bars, prices that ran away and limits take off what is wanted."""
    wanted = abs(net.wanted)
    if net.barred:
        return [(Limit.BARRED, wanted - abs(net.target) * mark, _sentence(net.barred))]
    asked = abs(net.answer.to) + sum((cut.amount for cut in net.answer.cuts), ZERO)
    found = [(cut.limit.value, cut.amount, _sentence(cut.why)) for cut in net.answer.cuts]
    withheld = [leg.withheld for leg in net.legs if leg.withheld and net.barred_leg(leg)]
    if withheld:
        found.append((Beyond.STYLE, wanted - asked, _sentence(withheld[0])))
    elif net.chased:
        found.append((Beyond.CHASE, wanted - asked, "A price that ran away from the trader's entry"))
    return found


def _unsent(placement: Placement, net: Net, mark: Decimal) -> list[tuple[str, Decimal, str]]:
    """What waits though it was allowed."""
    missing = abs(placement.wanted - placement.quantity) * mark
    if placement.verdict is Verdict.QUEUED:
        return [(Beyond.TURN, missing, "As many entries as may work at once do, which")]
    if placement.bound is not None:
        return [(placement.bound.limit.value, missing, _sentence(placement.bound.why))]
    if placement.cut_short:
        return [(Beyond.CAPITAL, missing, "Too little free capital")]
    more = (abs(net.target) - abs(net.holding.quantity)) * mark
    if placement.verdict is Verdict.SMALL and more > 0:
        return [(Beyond.MINIMUM, more, "The venue's minimum for an order")]
    return []


def _sentence(why: str) -> str:
    return f"{why[0].upper()}{why[1:]}" if why else why
