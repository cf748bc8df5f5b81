"""What following a trader would mean for one portfolio, by the rules that copy it later (FOL-1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from accounts.credentials import credentials_of
from accounts.models import Credential, Portfolio
from allocation.domain.books import BasisLeg, TraderBook, book_at_marks
from allocation.domain.copied import JoinMode, ignored_on_join
from allocation.follows import MAX_FOLLOWS, follows_current
from allocation.models import Follow
from core.decimals import ONE, ZERO, dollars
from core.instruments import underlying_of
from engine.domain.feasibility import ENOUGH, SCALED, Feasibility, FeasibleLeg
from engine.feasibility import trader_feasibility
from markets.models import LIVE, World
from markets.recordings import ALPHA_ARENA, COINBASE_2018, HYPERLIQUID_WALLETS
from positions.models import Valuation
from traders.domain.accounts import SPOT_ONLY, VENUES, WITH_CONTRACTS
from traders.services import PreviewPosition, TraderPreview, catalogue


@dataclass(frozen=True, slots=True)
class CopyLine:
    """One open position of a trader and what the portfolio would hold of it.

    :param ours: signed notional for this trader alone, quote currency; None where that cannot be told
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
class Feasible:
    """How much of the book could be copied, in percent, what takes the rest, and what it would need."""

    percent: Decimal
    reasons: tuple[tuple[str, Decimal], ...]
    capital: str


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """A trader's book scaled to its share of the portfolio.

    :param share: capital the trader would be assigned; ``parts`` names everyone active afterwards
    :param scale: factor on every position so that the trader stays within its share; 1 when it does not bind
    :param feasible: None where nothing is open, or the portfolio cannot follow the trader
    """

    lines: tuple[CopyLine, ...]
    share: Decimal
    weight_pct: Decimal
    scale: Decimal
    gross: Decimal
    parts: tuple[tuple[str, str, int], ...]
    feasible: Feasible | None

    @property
    def scale_pct(self) -> Decimal:
        """The factor in percent."""
        return self.scale * 100


def copy_plan(*, portfolio: Portfolio, preview: TraderPreview, now: datetime) -> CopyPlan:
    """Say what the portfolio would hold of the previewed book, by the code that would copy it."""
    follows = follows_current(portfolio_id=portfolio.pk)
    others = [f for f in follows if f.status == Follow.Status.ACTIVE and f.trader_id != preview.trader_id]
    found = None
    if not follow_barrier(portfolio=portfolio, preview=preview):
        found = trader_feasibility(portfolio=portfolio, preview=preview, now=now)
    weight = found.weight if found else ONE / (len(others) + 1)
    equity = Valuation.objects.get(portfolio=portfolio).equity
    parts = [(other.trader.name, other.trader.monogram, other.hue) for other in others]
    used = {follow.hue for follow in follows}
    hue = next((number for number in range(1, MAX_FOLLOWS + 1) if number not in used), MAX_FOLLOWS)
    return CopyPlan(
        lines=_lines(preview, found),
        share=found.share if found else weight * equity,
        weight_pct=weight * 100,
        scale=found.scale if found else ONE,
        gross=sum((abs(p.exposure or ZERO) for p in preview.positions), ZERO),
        parts=(*parts, (preview.identity.name, preview.identity.monogram, hue)),
        feasible=_feasible(found) if found and found.legs else None,
    )


def _feasible(found: Feasibility) -> Feasible:
    return Feasible(
        percent=found.fraction * 100,
        reasons=tuple((cause, part * 100) for cause, part in found.reasons),
        capital=_capital(found),
    )


def _capital(found: Feasibility) -> str:
    """Say what it would take to copy 90 %."""
    if found.fraction >= ENOUGH:
        return "With this capital at least 90 % of it can be copied."
    if found.capital_enough is not None:
        return f"With about ${found.capital_enough:,.0f} in this portfolio 90 % of it could be copied."
    if found.capital_sought:
        return "More capital alone does not bring it to 90 %: what stands in the way is a rule or a limit."
    return "How much capital 90 % would take is not worked out for so many positions."


def _lines(preview: TraderPreview, found: Feasibility | None) -> tuple[CopyLine, ...]:
    """Lay out the positions; several of one underlying are copied as one, which stands at the first."""
    legs = {leg.underlying: leg for leg in found.legs} if found else {}
    joining = _joining(preview)
    lines, seen = [], dict[str, str]()
    for position in preview.positions:
        underlying = underlying_of(position.code)[0]
        leg = legs.get(underlying)
        ours = leg.copied if leg else None
        note = _note(leg) if leg else ""
        if found and leg is None:
            note = "No size: the trader has no equity"
        if underlying in seen:
            ours, note = None, f"Copied as one with {seen[underlying]}"
        seen.setdefault(underlying, position.code)
        mark = position.mark_price
        lines.append(
            CopyLine(
                position=position,
                side="LONG" if position.quantity > 0 else "SHORT",
                pnl=None if mark is None else position.quantity * (mark - position.entry_price),
                ours=ours,
                joins=underlying in joining,
                note=note,
            )
        )
    return tuple(lines)


def _note(leg: FeasibleLeg) -> str:
    """Name what takes most, beside the one factor on all positions, which is told once for all."""
    causes = [(cause, amount) for cause, amount in leg.reasons if cause != SCALED]
    if not causes:
        return ""
    cause, amount = causes[0]
    return cause if leg.copied == 0 else f"{cause}: {dollars(amount)} less"


def _joining(preview: TraderPreview) -> set[str]:
    """Return the underlyings whose price is within 2 % of the trader's entry."""
    book = _book(preview)
    return set(book.legs) - set(ignored_on_join(book=book, mode=JoinMode.INCLUDE_OPEN))


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
class AccountChoice:
    """One of a person's own keys whose account can be followed.

    :param whole: its trader's key with everything that is read; ``spot`` without contracts, "" where that is
        the same
    :param problem: why it cannot be used, empty when it can
    """

    name: str
    detail: str
    whole: str
    spot: str
    chosen: bool
    problem: str


def accounts_read(*, portfolio: Portfolio, chosen: str) -> list[AccountChoice]:
    """Return the accounts that the portfolio's owner has a key for following of, oldest first."""
    keys = credentials_of(user=portfolio.owner).filter(purpose=Credential.Purpose.FOLLOW, venue__in=VENUES)
    choices = []
    for key in keys.order_by("pk"):
        whole = f"{key.venue}:{key.pk}"
        spot = f"{whole}:{SPOT_ONLY}" if key.venue in WITH_CONTRACTS else ""
        choices.append(
            AccountChoice(
                name=key.name,
                detail=f"{VENUES[key.venue]} {key.mask}{', test environment' if key.sandbox else ''}",
                whole=whole,
                spot=spot,
                chosen=chosen in {whole, spot} and bool(chosen),
                problem=key.check_error,
            )
        )
    return choices


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
