"""Acting: book one plan, in one transaction that first claims the books the plan was made on.

Orders are stored with their capital behind them; they are sent only after the commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import F

from allocation.follows import follow_end, trader_is_followed
from allocation.models import CapitalAccount, Follow, FollowLeg, Reservation
from allocation.reservations import capital_reserve
from core.decimals import plain
from core.ids import fingerprint
from engine.asking import approvals_store, holder_written
from engine.changes import changes_answer
from engine.decisions import DecisionNote, decisions_store
from engine.domain.idle import idle_record
from engine.domain.plan_types import CopyPlan, Decision, OrderIntent, ResolvedConflict
from engine.fidelity import copied_slices_store
from engine.gather import Gathered
from engine.models import CycleState
from engine.publishing import portfolio_changed
from engine.sending import cycles_later, submit_later
from execution.domain.orders import OrderDraft, SliceDraft
from execution.models import Order
from execution.orders import order_create
from positions.models import ConflictRecord
from positions.services import transfers_book
from traders.locks import trader_lock
from traders.services import trader_sync_pause

CYCLE_EVERY: Final = timedelta(seconds=60)
ORDER_LIFETIME_S: Final = 60
_LEG_COLUMNS: Final = (
    "trader_quantity",
    "ignored_quantity",
    "target_notional",
    "target_quantity",
    "added_price",
)


class Superseded(Exception):
    """The books moved while the decision was made; nothing was written, run the cycle again."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What acting left to do after the commit: orders to send and orders to cancel, by id."""

    order_ids: tuple[int, ...]
    cancel_ids: tuple[int, ...]
    transfers: int


def plan_act(*, plan: CopyPlan, gathered: Gathered) -> Acted:
    """Book a plan.

    :raises Superseded: another booking came between gathering and acting; nothing was written
    """
    with transaction.atomic():
        version_claim(gathered)
        _legs_store(plan, gathered)
        _transfers_book(plan, gathered)
        order_ids = _orders_store(plan, gathered)
        copied_slices_store(plan=plan, gathered=gathered, order_ids=order_ids)
        _conflicts_store(plan, gathered)
        approvals_store(plan=plan, gathered=gathered)
        _decisions_store(plan, gathered)
        changes_answer(plan=plan, gathered=gathered)
        _follows_settle(gathered)
        _cycle_done(plan, gathered)
        portfolio_changed(portfolio_id=gathered.portfolio.pk)
    return Acted(order_ids, tuple(cancel.order_id for cancel in plan.cancels), len(plan.transfers))


def version_claim(gathered: Gathered) -> None:
    """Claim the books a decision was made on, first thing in the transaction that acts on it.

    :raises Superseded: they moved meanwhile
    """
    claimed = CapitalAccount.objects.filter(pk=gathered.portfolio.pk, version=gathered.version).update(
        version=F("version") + 1
    )
    if not claimed:
        msg = f"portfolio {gathered.portfolio.pk} was booked on after version {gathered.version}"
        raise Superseded(msg)


def _legs_store(plan: CopyPlan, gathered: Gathered) -> None:
    """Store what was adopted and what stays uncopied, and note joining follows as joined."""
    changes: dict[tuple[int, str], dict[str, Decimal | None]] = {}
    for follow_id, ignored in gathered.joins.items():
        for underlying, quantity in ignored.items():
            changes.setdefault((follow_id, underlying), {})["ignored_quantity"] = quantity
    for (follow_id, underlying), price in _added_prices(gathered).items():
        changes.setdefault((follow_id, underlying), {})["added_price"] = price
    for update in plan.ignored:
        changes.setdefault((update.follow_id, update.underlying), {})["ignored_quantity"] = update.quantity
    for change in plan.memory:
        changes.setdefault((change.follow_id, change.underlying), {}).update(asdict(change.memory))
    FollowLeg.objects.bulk_create(
        (_leg(gathered, key, columns) for key, columns in sorted(changes.items())),
        update_conflicts=True,
        unique_fields=["follow", "underlying"],
        update_fields=[*_LEG_COLUMNS, "updated_at"],
    )
    if gathered.joins:
        Follow.objects.filter(pk__in=gathered.joins).update(joined=True, resumed_at=None)
    for follow_id, basis_id in plan.decided_bases.items():
        if gathered.follows[follow_id].decided_basis_id != basis_id:
            Follow.objects.filter(pk=follow_id).update(decided_basis_id=basis_id)


def _added_prices(gathered: Gathered) -> dict[tuple[int, str], Decimal | None]:
    """Return the prices of what traders last added that are not stored yet; None where there is none now."""
    now = {(f.follow_id, u): price for f in gathered.inputs.follows for u, price in f.added.items()}
    stored = {key: leg.added_price for key, leg in gathered.legs.items() if leg.added_price is not None}
    return {key: now.get(key) for key in {**now, **stored} if now.get(key) != stored.get(key)}


def _leg(gathered: Gathered, key: tuple[int, str], columns: Mapping[str, Decimal | None]) -> FollowLeg:
    leg = FollowLeg(follow_id=key[0], underlying=key[1], updated_at=gathered.now)
    known = gathered.legs.get(key, leg)
    for name in _LEG_COLUMNS:
        setattr(leg, name, columns.get(name, getattr(known, name)))
    return leg


def _transfers_book(plan: CopyPlan, gathered: Gathered) -> None:
    for underlying in sorted({transfer.underlying for transfer in plan.transfers}):
        transfers = [t for t in plan.transfers if t.underlying == underlying]
        transfers_book(
            portfolio=gathered.portfolio,
            instrument_code=transfers[0].code,
            underlying=underlying,
            pairs=[(t.from_follow_id, t.to_follow_id, t.quantity) for t in transfers],
            mark=transfers[0].price,
            margin_rate=gathered.inputs.margin_rate,
            run=gathered.world.run,
            now=gathered.now,
            world_at=gathered.world_at,
        )


def _orders_store(plan: CopyPlan, gathered: Gathered) -> tuple[int, ...]:
    """Store the plan's orders; one whose capital is gone is denied and its decision says so."""
    stored: list[int] = []
    denials: list[DecisionNote] = []
    for intent in plan.orders:
        reservation = _reserve(intent, gathered)
        if reservation is not None and reservation.status != Reservation.Status.GRANTED:
            denials.append(_denial(intent, reservation))
            continue
        order = order_create(
            portfolio_id=gathered.portfolio.pk,
            draft=_draft(intent, gathered),
            reservation_id=reservation.pk if reservation else None,
            run=gathered.world.run,
            now=gathered.now,
        )
        stored.append(order.pk)
        transaction.on_commit(partial(submit_later, order.pk))
    _notes_store(denials, gathered)
    return tuple(stored)


def _reserve(intent: OrderIntent, gathered: Gathered) -> Reservation | None:
    if intent.reduce_only:
        return None
    return capital_reserve(
        portfolio_id=gathered.portfolio.pk,
        amount=intent.capital_needed,
        source="copy cycle",
        instrument_code=intent.code,
        now=gathered.now,
        timeout_s=settings.RESERVATION_TIMEOUT_SECONDS,
        priority=intent.priority,
    )


def _draft(intent: OrderIntent, gathered: Gathered) -> OrderDraft:
    return OrderDraft(
        instrument_code=intent.code,
        underlying=intent.underlying,
        policy=gathered.inputs.policy,
        margin_rate=gathered.inputs.margin_rate,
        side=intent.side,
        quantity=intent.quantity,
        limit_price=intent.limit_price,
        reduce_only=intent.reduce_only,
        purpose=intent.purpose,
        reason=intent.reason,
        decision_mark=intent.decision_mark,
        lifetime_s=ORDER_LIFETIME_S,
        score=intent.score,
        slices=tuple(SliceDraft(follow_id=part.follow_id, quantity=part.quantity) for part in intent.slices),
    )


def _denial(intent: OrderIntent, reservation: Reservation) -> DecisionNote:
    return DecisionNote(
        kind="refused",
        underlying=intent.underlying,
        text=f"{intent.side.title()} {plain(intent.quantity)} {intent.code} denied",
        reason=f"Not enough free capital: {reservation.reason}",
        follow_ids=[part.follow_id for part in intent.slices if part.follow_id is not None],
        data={"capital_needed": plain(intent.capital_needed)},
        fingerprint=fingerprint("capital", intent.code, intent.side, intent.quantity),
    )


def _conflicts_store(plan: CopyPlan, gathered: Gathered) -> None:
    """End conflicts that are over, and record each resolution that is new (CON-3)."""
    standing = {record.underlying: record for record in gathered.conflicts}
    fresh = [c for c in plan.conflicts if _fingerprint_of(standing.get(c.underlying)) != c.fingerprint]
    still = {conflict.underlying for conflict in plan.conflicts} - {conflict.underlying for conflict in fresh}
    over = [record.pk for underlying, record in standing.items() if underlying not in still]
    ConflictRecord.objects.filter(pk__in=over).update(ended_at=gathered.now)
    ConflictRecord.objects.bulk_create(_conflict_row(conflict, gathered) for conflict in fresh)
    _notes_store([_conflict_note(conflict, gathered) for conflict in fresh], gathered)


def _fingerprint_of(record: ConflictRecord | None) -> str:
    return record.fingerprint if record else ""


def _conflict_row(conflict: ResolvedConflict, gathered: Gathered) -> ConflictRecord:
    return ConflictRecord(
        portfolio=gathered.portfolio,
        underlying=conflict.underlying,
        kind=conflict.kind.value,
        rule=conflict.rule.value,
        holders=[holder_written(holder=holder) for holder in conflict.holders],
        before_quantity=conflict.before_quantity,
        after_quantity=conflict.after_quantity,
        after_notional=conflict.after_notional,
        mark_price=conflict.mark_price,
        capped_reason=conflict.capped_reason[:300],
        fingerprint=conflict.fingerprint,
        run=gathered.world.run,
        at=gathered.now,
        world_at=gathered.world_at,
    )


def _conflict_note(conflict: ResolvedConflict, gathered: Gathered) -> DecisionNote:
    after = gathered.inputs.markets[conflict.underlying].instrument.quantity(conflict.after_quantity)
    became = f"resolved by {conflict.rule.value}"
    if conflict.held_back:
        became = f"not resolved: {conflict.held_back}"
    return DecisionNote(
        kind="conflict",
        underlying=conflict.underlying,
        text=("Dry run: " if gathered.inputs.dry_run else "")
        + f"{conflict.underlying} {conflict.kind.value} {became}",
        reason=f"From {plain(conflict.before_quantity)} to {plain(after)}"
        + (f"; capped at {conflict.capped_reason}" if conflict.capped_reason else ""),
        follow_ids=[holder.follow_id for holder in conflict.holders],
    )


def _decisions_store(plan: CopyPlan, gathered: Gathered) -> None:
    _notes_store(
        [
            DecisionNote(
                kind=decision.kind.value,
                underlying=decision.underlying,
                text=decision.text,
                reason=decision.reason,
                follow_ids=decision.follow_ids,
                data=_numbers(decision),
                fingerprint=decision.fingerprint,
            )
            for decision in plan.decisions
        ],
        gathered,
    )


def _numbers(decision: Decision) -> dict[str, str]:
    """Return the numbers behind a decision; an entry's with its score and how that came about."""
    numbers = {"before": plain(decision.before), "after": plain(decision.after)}
    if decision.score is None:
        return numbers
    return {**numbers, "score": plain(decision.score), "ranked_by": decision.score_text}


def _notes_store(notes: list[DecisionNote], gathered: Gathered) -> None:
    if notes:
        decisions_store(
            portfolio_id=gathered.portfolio.pk,
            notes=notes,
            now=gathered.now,
            world_at=gathered.world_at,
            run=gathered.world.run,
        )


def _follows_settle(gathered: Gathered) -> None:
    """End the follows that were being left and hold nothing any more; traders are locked by ascending id."""
    for follow in sorted(gathered.follows.values(), key=lambda follow: follow.trader_id):
        if follow.status == Follow.Status.LEAVING and not _has_part(gathered, follow.pk):
            follow_end(follow=follow, now=gathered.now)
            trader_lock(trader_id=follow.trader_id)  # nobody begins to follow it meanwhile
            if not trader_is_followed(trader_id=follow.trader_id):
                trader_sync_pause(trader_ids=[follow.trader_id])  # nobody is left to read it for


def _has_part(gathered: Gathered, follow_id: int) -> bool:
    """Tell whether a follow has a slice that is not zero, or an order that may still make one."""
    held = any(follow_id in holding.slices for holding in gathered.inputs.holdings.values())
    open_orders = Order.objects.filter(portfolio=gathered.portfolio, status__in=Order.OPEN_STATUSES)
    return held or open_orders.filter(slices__follow_id=follow_id).exists()


def _cycle_done(plan: CopyPlan, gathered: Gathered) -> None:
    """Note that the cycle ran and what it left idle; a wish that came after it was read stays."""
    cycle = gathered.cycle
    states = CycleState.objects.filter(portfolio=gathered.portfolio)
    ran: dict[str, Any] = {
        "ran_at": gathered.now,
        "next_at": gathered.now + CYCLE_EVERY,
        "error": "",
        "idle": idle_record(idle=plan.idle),
    }
    served = states.filter(wanted_at=cycle.wanted_at).update(
        **ran, wanted_at=None, wanted_why="", forced_all=False, asked_at=None
    )
    if not served:  # a wish came meanwhile, and nobody was asked since a worker was at it
        states.update(**ran)
        transaction.on_commit(partial(cycles_later, [cycle.portfolio_id]))
