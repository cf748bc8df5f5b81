"""Storing decisions: each once per set of inputs, with the reason a person reads (BEY-3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import Portfolio
from engine.alerting import limits_tell
from engine.models import Decision
from execution.models import Order
from markets.models import World


@dataclass(frozen=True, slots=True)
class DecisionNote:
    """A decision about to be stored. ``fingerprint`` empty means: always store."""

    kind: str
    text: str
    reason: str = ""
    underlying: str = ""
    follow_ids: Sequence[int] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    order: Order | None = None


def world_time(*, world_name: str, now: datetime) -> tuple[datetime, int]:
    """Return a world's time and run at wall time ``now``; wall time and run 1 before a world is fixed."""
    world = World.objects.filter(pk=world_name).first() if world_name else None
    return (world.clock().at(now), world.run) if world else (now, 1)


def decision_store(*, portfolio: Portfolio, note: DecisionNote, now: datetime) -> Decision | None:
    """Store one decision made outside the copy cycle; see ``decisions_store``."""
    world_at, run = world_time(world_name=portfolio.world, now=now)
    stored = decisions_store(portfolio_id=portfolio.pk, notes=[note], now=now, world_at=world_at, run=run)
    return stored[0] if stored else None


def decisions_store(
    *, portfolio_id: int, notes: Sequence[DecisionNote], now: datetime, world_at: datetime, run: int
) -> list[Decision]:
    """Store decisions; one whose fingerprint equals the newest of its kind and underlying is left out.

    Returns the rows that were stored.
    """
    known = _newest_fingerprints(portfolio_id=portfolio_id, notes=notes)
    fresh = [
        note
        for note in notes
        if not note.fingerprint or known.get((note.kind, note.underlying)) != note.fingerprint
    ]
    told = [Told(portfolio_id=portfolio_id, note=note, world_at=world_at, run=run) for note in fresh]
    return decisions_tell(told=told, now=now)


@dataclass(frozen=True, slots=True)
class Told:
    """A decision of one of many portfolios, with its world's time and run."""

    portfolio_id: int
    note: DecisionNote
    world_at: datetime
    run: int


def decisions_tell(*, told: Sequence[Told], now: datetime) -> list[Decision]:
    """Store decisions of any number of portfolios at once, whatever their fingerprints; return the rows."""
    rows = Decision.objects.bulk_create(
        Decision(
            portfolio_id=item.portfolio_id,
            kind=item.note.kind,
            underlying=item.note.underlying,
            text=item.note.text[:200],
            reason=item.note.reason[:400],
            data=dict(item.note.data),
            fingerprint=item.note.fingerprint,
            order=item.note.order,
            run=item.run,
            at=now,
            world_at=item.world_at,
        )
        for item in told
    )
    links = Decision.follows.through
    links.objects.bulk_create(
        links(decision_id=row.pk, follow_id=follow_id)
        for row, item in zip(rows, told, strict=True)
        for follow_id in dict.fromkeys(item.note.follow_ids)
    )
    limits_tell(decisions=rows, at=now)
    return rows


def _newest_fingerprints(*, portfolio_id: int, notes: Sequence[DecisionNote]) -> dict[tuple[str, str], str]:
    """Return the newest stored fingerprint per kind and underlying that ``notes`` speak of."""
    wanted = [note for note in notes if note.fingerprint]
    if not wanted:
        return {}
    rows = (
        Decision.objects.filter(
            portfolio_id=portfolio_id,
            kind__in={note.kind for note in wanted},
            underlying__in={note.underlying for note in wanted},
        )
        .exclude(fingerprint="")
        .order_by("kind", "underlying", "-id")
        .distinct("kind", "underlying")
        .values_list("kind", "underlying", "fingerprint")
    )
    return {(kind, underlying): mark for kind, underlying, mark in rows}
