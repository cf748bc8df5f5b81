"""What following a trader would mean for one portfolio, by the rules that copy it later (FOL-1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from accounts.models import Portfolio
from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join
from allocation.domain.limits import gross_cap
from allocation.domain.targets import TraderTargets, trader_targets
from allocation.follows import MAX_FOLLOWS, follows_current
from allocation.models import Follow
from allocation.own_limits import limits_of
from core.decimals import ONE, ZERO
from core.instruments import underlying_of
from core.types import Policy
from markets.models import LIVE, Instrument, World
from markets.recordings import ALPHA_ARENA, COINBASE_2018, HYPERLIQUID_WALLETS
from positions.models import Valuation
from traders.services import PreviewPosition, TraderPreview, catalogue

DEFAULT_MIN_NOTIONAL: Final = Decimal(10)


@dataclass(frozen=True, slots=True)
class CopyLine:
    """One open position of a trader and what the portfolio would hold of it.

    :param ours: signed notional for this trader alone, quote currency; None where its equity allows no ratio
    :param joins: it would be copied now under "open positions within 2 %", rather than with its next change
    :param note: why less than wished, in words; empty when nothing stands in the way
    """

    position: PreviewPosition
    side: str
    pnl: Decimal | None
    ours: Decimal | None
    joins: bool
    note: str


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A trader's book scaled to its share of the portfolio.

    :param share: capital the trader would be assigned; ``parts`` names everyone active afterwards
    :param scale: factor on every position so that the trader stays within its share; 1 when it does not bind
    """

    lines: tuple[CopyLine, ...]
    share: Decimal
    weight_pct: Decimal
    scale: Decimal
    gross: Decimal
    parts: tuple[tuple[str, str, int], ...]

    @property
    def scale_pct(self) -> Decimal:
        """The factor in percent."""
        return self.scale * 100


def copy_plan(*, portfolio: Portfolio, preview: TraderPreview) -> CopyPlan:
    """Scale the previewed book to an equal share among the active follows and this one."""
    others = [
        follow
        for follow in follows_current(portfolio_id=portfolio.pk)
        if follow.status == Follow.Status.ACTIVE and follow.trader_id != preview.trader_id
    ]
    weight = ONE / (len(others) + 1)
    equity = Valuation.objects.get(portfolio=portfolio).equity
    policy, limits = Policy(portfolio.policy), limits_of(portfolio=portfolio)
    book = _book(preview)
    targets = _targets(book, weight=weight, equity=equity, cap=gross_cap(limits=limits, policy=policy))
    position_cap = min(limits.max_position, limits.max_asset_weight) * equity
    minimum = _minimum_notionals(preview.positions)
    not_joined = ignored_on_join(book=book, mode=JoinMode.INCLUDE_OPEN)
    lines = tuple(
        _line(
            position,
            wanted=targets.notionals.get(underlying_of(position.code)[0]) if targets else None,
            joins=underlying_of(position.code)[0] not in not_joined,
            policy=policy,
            cap=position_cap,
            minimum=minimum.get(position.code, DEFAULT_MIN_NOTIONAL),
        )
        for position in preview.positions
    )
    parts = [(other.trader.name, other.trader.monogram, other.hue) for other in others]
    used = {follow.hue for follow in follows_current(portfolio_id=portfolio.pk)}
    hue = next((number for number in range(1, MAX_FOLLOWS + 1) if number not in used), MAX_FOLLOWS)
    return CopyPlan(
        lines=lines,
        share=weight * equity,
        weight_pct=weight * 100,
        scale=targets.scale if targets else ONE,
        gross=sum((abs(p.exposure or ZERO) for p in preview.positions), ZERO),
        parts=(*parts, (preview.identity.name, preview.identity.monogram, hue)),
    )


def follow_barrier(*, portfolio: Portfolio, preview: TraderPreview) -> str:
    """Return why this portfolio cannot follow the trader, empty when it can; the service checks again."""
    identity, follows = preview.identity, follows_current(portfolio_id=portfolio.pk)
    if any(follow.trader_id == preview.trader_id for follow in follows):
        return f"{identity.name} is followed already."
    if portfolio.world and portfolio.world != identity.world:
        labels = dict(
            World.objects.filter(name__in=[portfolio.world, identity.world]).values_list("name", "label")
        )
        here, there = labels.get(portfolio.world, portfolio.world), labels.get(identity.world, identity.world)
        return (
            f"This portfolio lives in the world “{here}”; {identity.name} trades in “{there}”. "
            "Prices of two worlds cannot be mixed: follow this trader in another portfolio."
        )
    if len(follows) >= MAX_FOLLOWS:
        return f"You follow {MAX_FOLLOWS} traders, the most a portfolio can hold. Remove one first."
    return ""


def _book(preview: TraderPreview) -> TraderBook:
    legs = [
        BasisLeg(
            code=position.code,
            quantity=position.quantity,
            mark_price=position.entry_price if position.mark_price is None else position.mark_price,
            entry_price=position.entry_price,
            opened_at=position.opened_at,
        )
        for position in preview.positions
    ]
    return book_at_marks(equity=preview.equity, legs=legs, marks={})


def _targets(book: TraderBook, *, weight: Decimal, equity: Decimal, cap: Decimal) -> TraderTargets | None:
    if not book.usable:
        return None
    return trader_targets(weight=weight, equity=equity, gross_cap=cap, book=book, ignored={})


def _minimum_notionals(positions: Sequence[PreviewPosition]) -> dict[str, Decimal]:
    codes = [position.code for position in positions]
    return dict(Instrument.objects.filter(code__in=codes).values_list("code", "min_notional"))


def _line(
    position: PreviewPosition,
    *,
    wanted: Decimal | None,
    joins: bool,
    policy: Policy,
    cap: Decimal,
    minimum: Decimal,
) -> CopyLine:
    mark = position.mark_price
    ours, note = wanted, ""
    if wanted is None:
        note = "No size: the trader has no equity"
    elif policy is Policy.SPOT and wanted < 0:
        ours, note = ZERO, "A short: only lowers others' longs under the spot policy"
    elif abs(wanted) < minimum:
        ours, note = ZERO, f"Below the minimum of ${minimum:,.0f}"
    elif abs(wanted) > cap:
        ours, note = cap.copy_sign(wanted), f"Held at the limit of ${cap:,.0f} per position"
    return CopyLine(
        position=position,
        side="LONG" if position.quantity > 0 else "SHORT",
        pnl=None if mark is None else position.quantity * (mark - position.entry_price),
        ours=ours,
        joins=joins,
        note=note,
    )


@dataclass(frozen=True, slots=True)
class CatalogTrader:
    """A recorded trader or a strategy as the page lists it."""

    kind: str
    key: str
    name: str
    monogram: str
    detail: str
    hue: int
    chosen: bool
    followed: bool


@dataclass(frozen=True, slots=True)
class CatalogGroup:
    """Recorded traders and strategies of one world. ``other_world``: this portfolio lives in another one."""

    title: str
    note: str
    other_world: bool
    traders: tuple[CatalogTrader, ...]


_GROUPS: Final = {
    ALPHA_ARENA: ("AI traders", "Alpha Arena, October 2025"),
    HYPERLIQUID_WALLETS: ("Recorded wallets", "Hyperliquid, July 2026"),
    COINBASE_2018: ("Strategies on recorded candles", "Coinbase, April 2018"),
    LIVE: ("Strategies on live prices", "Hyperliquid"),
}


def catalog_read(*, portfolio: Portfolio, chosen: str) -> list[CatalogGroup]:
    """Return the recorded traders and strategies by world, the portfolio's own world first."""
    followed = {follow.trader.key: follow.hue for follow in follows_current(portfolio_id=portfolio.pk)}
    by_world: dict[str, list[CatalogTrader]] = {}
    for identity in catalogue():
        group = by_world.setdefault(identity.world, [])
        group.append(
            CatalogTrader(
                kind=identity.kind.value,
                key=identity.key,
                name=identity.name,
                monogram=identity.monogram,
                detail=identity.detail,
                hue=followed.get(identity.key, len(group) % MAX_FOLLOWS + 1),
                chosen=identity.key == chosen,
                followed=identity.key in followed,
            )
        )
    groups = [
        CatalogGroup(
            *_GROUPS.get(world, (world, "")),
            other_world=bool(portfolio.world) and portfolio.world != world,
            traders=tuple(traders),
        )
        for world, traders in by_world.items()
    ]
    return sorted(groups, key=lambda group: group.other_world)
