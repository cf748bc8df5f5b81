"""Taking over a state file: previewed first, then confirmed into a new paper portfolio (DAT-1).

What it holds becomes the owner's own part, as executions without fee at what it cost: the books are exact,
and no trader changes it. Cash and positions at cost must come to what the file says, and the books audit must
find nothing, or nothing is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.db import transaction

from accounts.models import Portfolio, User
from allocation.capital import amount_checked
from allocation.models import CapitalAccount
from allocation.own_limits import limits_of
from allocation.reservations import capital_reserve
from core.decimals import ONE, ZERO, plain
from core.errors import BooksDiffer, InputError, NotFound
from core.types import OrderSide, Policy
from engine.decisions import DecisionNote, decision_store
from engine.domain.state_file import state_read
from engine.domain.state_positions import fills_of
from engine.domain.state_types import FilePosition, StateFile
from engine.gather import margin_rate_of
from engine.import_models import StateImport
from engine.models import CycleState
from engine.portfolios import portfolio_open
from execution.domain.orders import OrderDraft, SliceDraft, capital_needed
from execution.orders import order_create
from execution.venues.paper_adopting import paper_adopt
from markets.models import LIVE, Instrument, Mark, World
from positions.audit import books_audit
from positions.booking import fill_book
from positions.exit_settings import GuardEdit, guard_edit
from positions.models import Position
from positions.valuation import valuations_update

KEPT_MAX: Final = 50  # previews of one person that were never confirmed
REASON: Final = "Taken over from a state file"


def state_preview(*, owner: User, text: str, now: datetime) -> StateImport:
    """Keep a file with what would be made of it; nothing else is stored.

    :raises InputError: it cannot be read at all
    """
    state = state_read(text=text)
    old = StateImport.objects.filter(owner=owner, status=StateImport.Status.PREVIEWED).order_by("-pk")
    StateImport.objects.filter(pk__in=list(old.values_list("pk", flat=True)[KEPT_MAX - 1 :])).delete()
    return StateImport.objects.create(owner=owner, text=text, report=_report(state), created_at=now)


def import_get(*, user: Any, import_id: int) -> StateImport:
    """Return one of the person's own imports.

    :raises NotFound: there is none of this number, or it is somebody else's
    """
    found = StateImport.objects.filter(owner=user, pk=import_id).select_related("portfolio").first()
    if found is None:
        raise NotFound(f"You have no import with the number {import_id}.")
    return found


@transaction.atomic
def state_confirm(*, found: StateImport, name: str, now: datetime) -> Portfolio:
    """Take over what was previewed, into a new paper portfolio; again, it is the same portfolio.

    :raises InputError: it has faults that must be mended first, or the name makes no sense or is used
    :raises BooksDiffer: what would be stored is not what the file says; nothing was stored
    """
    row = StateImport.objects.select_for_update(of=("self",)).get(pk=found.pk)
    if row.status == StateImport.Status.DONE:
        if row.portfolio is None:
            raise InputError("It was taken over before, and that portfolio is gone.")
        return row.portfolio
    state = state_read(text=row.text)
    report = _report(state)
    if not report["possible"]:
        raise InputError(
            "It cannot be taken over as it is; the preview says what has to be mended.", field="file"
        )
    portfolio = _portfolio(row.owner, state, name, now)
    notes = [_position_take(portfolio, state, position, now) for position in state.positions]
    _prove(portfolio, state)
    valuations_update(portfolio_ids=[portfolio.pk], now=now)
    note = DecisionNote(
        kind="import",
        text=REASON,
        reason=f"{len(state.positions)} positions and cash of ${plain(state.cash)}",
    )
    decision_store(portfolio=portfolio, note=note, now=now)
    row.status, row.done_at, row.portfolio = StateImport.Status.DONE, now, portfolio
    row.report = {**report, "exits": [text for text in notes if text]}
    row.save(update_fields=["status", "done_at", "portfolio", "report"])
    return portfolio


def _world(state: StateFile) -> World | None:
    return World.objects.filter(pk=state.world or LIVE).first()


def _report(state: StateFile) -> dict[str, Any]:
    """Return what would be taken over and what stands against it, as the pages and the API show it."""
    findings = [{"place": f.place, "text": f.text, "fatal": f.fatal} for f in state.findings]
    world = _world(state)
    marks: Mapping[str, Decimal] = {}
    codes = [position.code for position in state.positions]
    if world is None:
        findings.append(_fault("world", f"The world “{state.world or LIVE}” does not run here."))
    else:
        rows = Mark.objects.filter(world=world, instrument__in=codes)
        marks = dict(rows.values_list("instrument_id", "price"))
        findings += _instrument_faults(codes, marks)
    if state.deposit <= 0:
        findings.append(_fault("cash", "There is nothing to take over: no cash and no holdings."))
    return {
        "version": state.version,
        "policy": state.policy,
        "world": world.name if world else "",
        "cash": plain(state.cash),
        "cost": plain(sum((position.cost for position in state.positions), ZERO)),
        "deposit": plain(state.deposit),
        "positions": [_shown(position, marks.get(position.code)) for position in state.positions],
        "traders": list(state.traders),
        "history": dict(state.history),
        "findings": findings,
        "exits": [],
        "possible": not any(finding["fatal"] for finding in findings),
    }


def _instrument_faults(codes: Sequence[str], marks: Mapping[str, Decimal]) -> list[dict[str, Any]]:
    """Return which instruments are not here, and which share an underlying that can be held once alone."""
    known = dict(Instrument.objects.filter(code__in=codes).values_list("code", "underlying"))
    faults = [
        _fault(f"positions.{code}", "There is no such instrument here, or it has no price.")
        for code in codes
        if code not in known or code not in marks
    ]
    seen: dict[str, str] = {}
    for code, underlying in known.items():
        if underlying in seen:
            faults.append(
                _fault(f"positions.{code}", f"It is the same underlying as {seen[underlying]}; keep one.")
            )
        seen[underlying] = code
    return faults


def _fault(place: str, text: str) -> dict[str, Any]:
    return {"place": place, "text": text, "fatal": True}


def _shown(position: FilePosition, mark: Decimal | None) -> dict[str, Any]:
    return {
        "code": position.code,
        "quantity": plain(position.quantity),
        "entry_price": plain(position.entry_price),
        "cost": plain(position.cost),
        "mark": None if mark is None else plain(mark),
        "stop": None if position.stop is None else plain(position.stop),
        "target": None if position.target is None else plain(position.target),
        "traders": list(position.traders),
    }


def _portfolio(owner: User, state: StateFile, name: str, now: datetime) -> Portfolio:
    """Open the portfolio in the file's world, with the cash that it begins with."""
    portfolio = portfolio_open(
        owner=owner, initial_cash=amount_checked(state.deposit), now=now, name=name, policy=state.policy
    )
    world = _world(state)
    assert world is not None  # noqa: S101 - the report says so before
    portfolio.world = world.name
    portfolio.save(update_fields=["world"])
    CycleState.objects.filter(portfolio=portfolio).update(run=world.run)
    return portfolio


def _position_take(portfolio: Portfolio, state: StateFile, position: FilePosition, now: datetime) -> str:
    """Book one position as the owner's own; return what became of its stop and target."""
    world = World.objects.get(pk=portfolio.world)
    instrument = Instrument.objects.get(pk=position.code)
    policy = Policy(state.policy)
    margin_rate = ONE
    if policy is Policy.PERP:
        margin_rate = margin_rate_of(policy=policy, limits=limits_of(portfolio=portfolio))
    fills = fills_of(quantity=position.quantity, cost=position.cost)
    size, worst = abs(position.quantity), max(price for _quantity, price in fills)
    needed = capital_needed(quantity=size, price=worst, margin_rate=margin_rate, fee_rate=ZERO)
    free = CapitalAccount.objects.values_list("free", flat=True).get(pk=portfolio.pk)
    if free <= 0:
        raise InputError(f"There is no cash behind {position.code}; a perpetual needs margin.", field="file")
    reservation = capital_reserve(
        portfolio_id=portfolio.pk, amount=min(needed, free), source="state file",
        instrument_code=position.code, now=now, timeout_s=30,
    )  # fmt: skip
    draft = OrderDraft(
        instrument_code=position.code,
        underlying=instrument.underlying,
        policy=policy,
        side=OrderSide.BUY if position.quantity > 0 else OrderSide.SELL,
        quantity=size,
        limit_price=worst,
        reduce_only=False,
        purpose="entry",
        slices=[SliceDraft(None, position.quantity)],
        decision_mark=worst,
        margin_rate=margin_rate,
        reason=REASON,
        origin="person",
    )
    order = order_create(
        portfolio_id=portfolio.pk, draft=draft, reservation_id=reservation.pk, run=world.run, now=now
    )
    order.portfolio = portfolio
    made = paper_adopt(order=order, fills=fills, now=now, world_at=world.clock().at(now))
    for fill in made:
        fill_book(order_id=order.pk, fill=fill, now=now)
    return _exits_take(portfolio, position, now=now, world_at=world.clock().at(now))


def _exits_take(portfolio: Portfolio, position: FilePosition, *, now: datetime, world_at: datetime) -> str:
    """Take over a stop and a target; what the portfolio's own rules refuse is told, and they stand."""
    row = Position.objects.get(portfolio=portfolio, instrument=position.code)
    wanted: list[tuple[str, GuardEdit]] = []
    if position.stop is not None:
        wanted.append((f"stop {plain(position.stop)}", GuardEdit(row.pk, stop_price=position.stop)))
    if position.target is not None:
        step = {"price": plain(position.target), "fraction_pct": "100"}
        wanted.append((f"target {plain(position.target)}", GuardEdit(row.pk, rules={"take_profit": [step]})))
    told = []
    for what, edit in wanted:
        try:
            with transaction.atomic():
                guard_edit(portfolio=portfolio, edit=edit, now=now, world_at=world_at)
        except InputError as refusal:
            told.append(f"{position.code}: {what} was not taken over. {refusal.message}")
        else:
            told.append(f"{position.code}: {what} is taken over.")
    return " ".join(told)


def _prove(portfolio: Portfolio, state: StateFile) -> None:
    """See that the books are what the file says, to the last decimal.

    :raises BooksDiffer: they are not
    """
    account = CapitalAccount.objects.get(pk=portfolio.pk)
    booked = {p.instrument_id: (p.quantity, p.cost) for p in Position.objects.filter(portfolio=portfolio)}
    stated = {p.code: (p.quantity, p.cost) for p in state.positions}
    findings = books_audit(portfolio_id=portfolio.pk)
    if account.cash != state.cash or booked != stated or account.deficit or findings:
        raise BooksDiffer(
            f"The file says cash {plain(state.cash)} and {len(stated)} positions, the books would say "
            f"{plain(account.cash)} and {len(booked)}; {len(findings)} differences. Nothing was taken over."
        )
