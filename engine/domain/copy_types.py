"""What the copy decision is made from: plain values, gathered once, never changed.

Signs and units: quantities are signed, long positive. A trader's quantities are in units of the
*underlying*; our own (holdings, slices) in units of the portfolio's instrument. Money and
notionals are in the portfolio's quote currency. Weights, rates and thresholds are fractions of 1.
Everything is keyed by underlying; a portfolio has one position per underlying.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final

from allocation.domain.books import TraderBook
from allocation.domain.correlation import Correlations
from allocation.domain.drift import DRIFT_THRESHOLD
from allocation.domain.limits import Limits
from core.decimals import ONE, ZERO
from core.errors import BooksDiffer
from core.instruments import Instrument
from core.types import ConflictRule, OrderSide, Policy
from engine.domain.scoring import MarketPulse, PastResults
from positions.domain.approvals import Approval
from positions.domain.netting import FollowId

ENTRIES_AT_ONCE: Final = 5
MAX_CHASE: Final = Decimal("0.02")


class FollowState(StrEnum):
    """How a follow takes part in this decision.

    ACTIVE is copied. PAUSED has weight 0 and its slices only shrink with the trader. LEAVING is
    closed. LOST cannot be read: its slices are held, nothing is opened for it, its share stays its own.
    STOPPED lost its share (copy stop-loss): weight 0, its slices are closed, it stays followed.
    """

    ACTIVE = "active"
    PAUSED = "paused"
    LEAVING = "leaving"
    LOST = "lost"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LegMemory:
    """What was last adopted of one trader's position in one underlying.

    :param trader_quantity: the copied part of the trader's quantity at that moment
    :param target_notional: what that was worth to us then, before conflict rule and limits
    :param target_quantity: where its slice was sent, after rule and limits, in our units; while the
        slice is elsewhere by a sendable amount and no order is working, the change is unfinished
    """

    trader_quantity: Decimal = ZERO
    target_notional: Decimal = ZERO
    target_quantity: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class FollowInput:
    """One follow: who, in which state, its trader's book now and what was adopted of it before.

    :param place: the follow's place in the portfolio's order
    :param book: None where the trader was never read or cannot be read
    :param ignored: signed trader quantity not to copy, by underlying (see ``allocation.domain.copied``)
    :param added: what the trader paid for the part it last added, by underlying; none where it never did
    :param reopened: underlyings of which all that the trader holds was opened after ``decided_basis_id``
    :param withheld: why nothing is opened for it now, though it is copied; empty where nothing withholds it
    :param share: what the owner chose for it, a fraction of 1; None where nobody did (ALL-2)
    :param basis_id: snapshot in which one of the trader's quantities last changed
    :param decided_basis_id: the basis the last cycle decided on
    """

    follow_id: int
    trader_id: int
    name: str
    place: int
    state: FollowState
    book: TraderBook | None = None
    ignored: Mapping[str, Decimal] = field(default_factory=dict)
    memory: Mapping[str, LegMemory] = field(default_factory=dict)
    added: Mapping[str, Decimal] = field(default_factory=dict)
    reopened: frozenset[str] = frozenset()
    withheld: str = ""
    share: Decimal | None = None
    basis_id: int | None = None
    decided_basis_id: int | None = None


@dataclass(frozen=True, slots=True)
class WorkingOrder:
    """An order that may still fill.

    :param remaining: what has not filled yet, > 0
    :param forced_close: a liquidation, a breaker's or the owner's own exit: no decision of ours calls it back
    :param for_owner: the owner's own entry, which moves the owner's slice
    """

    order_id: int
    side: OrderSide
    remaining: Decimal
    forced_close: bool = False
    for_owner: bool = False

    @property
    def signed(self) -> Decimal:
        """The change of the position if all of it fills."""
        return self.remaining if self.side is OrderSide.BUY else -self.remaining


@dataclass(frozen=True, slots=True)
class Holding:
    """The open position in one underlying, and the orders working on it.

    :param slices: signed quantity by follow; None is the owner's own part
    :raises BooksDiffer: the slices do not sum to the quantity
    """

    underlying: str
    quantity: Decimal
    average_entry: Decimal = ZERO
    slices: Mapping[FollowId, Decimal] = field(default_factory=dict)
    working: tuple[WorkingOrder, ...] = ()

    def __post_init__(self) -> None:
        total = sum(self.slices.values(), ZERO)
        if total != self.quantity:
            msg = (
                f"{self.underlying}: slices sum to {total}, the position is {self.quantity}. Audit the books."
            )
            raise BooksDiffer(msg)

    @property
    def opening(self) -> tuple[WorkingOrder, ...]:
        """The working orders that open or enlarge the position."""
        return tuple(o for o in self.working if o.signed * self.quantity >= 0 and not o.forced_close)


@dataclass(frozen=True, slots=True)
class Market:
    """The portfolio venue's own instrument for an underlying, and its mark.

    :param mark: price per unit of the instrument, > 0
    :param stale: the mark is too old to open anything on
    """

    instrument: Instrument
    mark: Decimal
    stale: bool = False


@dataclass(frozen=True, slots=True)
class CopyInputs:
    """Everything one copy decision depends on.

    :param equity: the portfolio's equity at the marks given
    :param free_capital: what reservations can still be granted from
    :param margin_rate: capital an entry needs per unit of notional: 1 for spot, 1/leverage for perp
    :param fee_rate: taker fee as a fraction of notional, needed beside it
    :param correlations: how the underlyings moved together lately; what is not known counts as together
    :param blocked: underlyings that are never opened
    :param barred: underlyings of which nothing is opened just now, and why
    :param entries_blocked: why nothing at all may be opened (halted, reducing); empty when it may
    :param forced: underlyings to place anew though no trader moved: a follow, rule, profile or
        override changed
    :param pulses: what is known of each underlying's market beside its mark
    :param past: what closed slices brought, by follow and underlying
    :param max_chase: how far the price may have run past a trader's entry, as a fraction of it
    :param entries_at_once: how many orders that open may work at the same time
    :param approves_conflicts: a conflict waits for its owner
    :param approvals: what was last asked about each underlying
    :param dry_run: tell what would be done, and do nothing
    :param world_ended: the recording is over, so everything is closed
    """

    policy: Policy
    rule: ConflictRule
    limits: Limits
    equity: Decimal
    free_capital: Decimal
    follows: tuple[FollowInput, ...]
    holdings: Mapping[str, Holding]
    markets: Mapping[str, Market]
    overrides: Mapping[str, ConflictRule] = field(default_factory=dict)
    auto_rebalance: bool = False
    drift_threshold: Decimal = DRIFT_THRESHOLD
    margin_rate: Decimal = ONE
    fee_rate: Decimal = ZERO
    correlations: Correlations = field(default_factory=Correlations)
    blocked: frozenset[str] = frozenset()
    barred: Mapping[str, str] = field(default_factory=dict)
    entries_blocked: str = ""
    forced: frozenset[str] = frozenset()
    pulses: Mapping[str, MarketPulse] = field(default_factory=dict)
    past: Mapping[tuple[int, str], PastResults] = field(default_factory=dict)
    max_chase: Decimal = MAX_CHASE
    entries_at_once: int = ENTRIES_AT_ONCE
    approves_conflicts: bool = False
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    dry_run: bool = False
    world_ended: bool = False
