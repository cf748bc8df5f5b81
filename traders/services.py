"""Finding or making traders, previewing them before a follow, and pausing their sync."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from accounts.models import User
from core.clock import WorldTime
from core.errors import InputError, RetryLater
from core.types import TraderKind
from markets.budget import asking
from markets.domain.allowance import BudgetPriority
from markets.models import LIVE
from markets.services import world_ensure
from traders.cache import history_cache, history_cached, reads_cache, reads_cached
from traders.domain.quarantine import read_flaw
from traders.domain.reads import ReadResult, RecentPnl, TraderPosition
from traders.identities import NEVER_USED, TraderIdentity, strategy_identity, trader_identify
from traders.models import QuarantinedRead, Trader
from traders.reading import read_loop
from traders.recordings import recorded_traders
from traders.sources.base import SourceHistory
from traders.strategies.pairs import pair_sets_all

REPLAY_INTERVAL_S: Final = 20  # reading a record costs nothing, and 20 s are hours of a replay
PREVIEW_WAIT_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class PreviewPosition:
    """One open position in a preview.

    :param notional: signed, quote currency, at the source's mark (at entry where it names none)
    :param exposure: notional as a multiple of the trader's equity, None when equity is not above zero
    """

    code: str
    quantity: Decimal
    entry_price: Decimal
    mark_price: Decimal | None
    notional: Decimal
    exposure: Decimal | None
    opened_at: datetime | None


@dataclass(frozen=True, slots=True)
class TraderPreview:
    """What a person sees before following a trader (FOL-1)."""

    identity: TraderIdentity
    equity: Decimal
    positions: tuple[PreviewPosition, ...]
    recent_pnl: tuple[RecentPnl, ...]
    world_at: datetime
    asked_at: datetime
    trader_id: int | None
    notes: tuple[str, ...] = ()


def trader_find_or_create(
    *, kind: str, key: str, now: datetime, name: str = "", owner: User | None = None
) -> Trader:
    """Return the trader of this kind and key, shared or the owner's own; a new one is due at once (FOL-2).

    Its market world is started if it does not run yet. A new trader gets ``name``, or the name of its record,
    or a short form of its address.

    :param owner: who asks: a trader behind private credentials is found for its owner alone
    :raises InputError: see :func:`trader_identify`
    """
    identity = trader_identify(kind=kind, key=key, owner=owner)
    world_ensure(name=identity.world, now=now)
    live = identity.world == LIVE
    trader, _ = Trader.objects.get_or_create(
        kind=identity.kind,
        key=identity.key,
        world=identity.world,
        owner=identity.owner,
        defaults={
            "name": name.strip()[:80] or identity.name,
            "monogram": identity.monogram,
            "detail": identity.detail,
            "note": identity.note,
            "credential": identity.credential,
            "next_sync_at": now,
            "sync_interval_s": settings.SYNC_INTERVAL_SECONDS if live else REPLAY_INTERVAL_S,
        },
    )
    return trader


def trader_preview(*, kind: str, key: str, now: datetime, owner: User | None = None) -> TraderPreview:
    """Return equity, open positions and recent P&L of a trader, followed or not; read at most once in 10 s.

    :param owner: who asks: a trader behind private credentials is shown to its owner alone
    :raises InputError: no such trader, or an address that has never traded
    :raises RetryLater: its source gives no usable answer now
    """
    identity = trader_identify(kind=kind, key=key, owner=owner)
    clock = world_ensure(name=identity.world, now=now).clock()
    asker = str(owner.pk) if owner else ""
    with asking(priority=BudgetPriority.PREVIEW, asker=asker):
        result = _read_once(identity, clock=clock, now=now)
    read = result.read
    if read is None:
        reason = result.failure.reason if result.failure else "no answer"
        raise RetryLater(f"{identity.name} cannot be read right now ({reason}). Try again in a minute.")
    with asking(priority=BudgetPriority.PREVIEW, asker=asker):
        history = _history_once(identity, clock=clock, now=now)
    if not history.ever_traded and not read.positions and read.equity == 0:
        raise InputError(NEVER_USED.get(identity.kind, "Nothing is known of this trader yet."), field="key")
    known = Trader.objects.filter(kind=kind, key=identity.key, world=identity.world, owner=identity.owner)
    return TraderPreview(
        identity=identity,
        equity=read.equity,
        positions=tuple(_preview_position(position, read.equity) for position in read.positions),
        recent_pnl=history.recent_pnl,
        world_at=read.world_at,
        asked_at=result.asked_at,
        trader_id=known.values_list("pk", flat=True).first(),
        notes=read.notes,
    )


def catalogue() -> tuple[TraderIdentity, ...]:
    """Return the traders that can be followed without any account: recorded ones, then strategies."""
    recorded = (trader_identify(kind=TraderKind.REPLAY, key=trader.key) for trader in recorded_traders())
    return (*recorded, *(strategy_identity(key, None) for key in pair_sets_all()))


def trader_sync_pause(*, trader_ids: Sequence[int]) -> int:
    """Stop syncing traders that nobody follows any more; return how many."""
    return _change(Trader.objects.filter(pk__in=trader_ids), status=Trader.Status.PAUSED)


def trader_sync_resume(*, trader_ids: Sequence[int], now: datetime) -> int:
    """Sync paused traders again, due at once; return how many were paused.

    What was quarantined before the pause is dismissed: they start with a clean slate.
    """
    with transaction.atomic():
        paused = Trader.objects.filter(pk__in=trader_ids, status=Trader.Status.PAUSED)
        doubted = QuarantinedRead.objects.filter(confirmed_at__isnull=True, dismissed_at__isnull=True)
        doubted.filter(trader__in=paused).update(dismissed_at=now)
        return _change(
            paused,
            status=Trader.Status.ACTIVE,
            next_sync_at=now,
            due_at=None,
            claimed_until=None,
            failing_since=None,
            failures_in_row=0,
            rate_limits_in_row=0,
            last_error="",
        )


def trader_wake(*, trader_ids: Sequence[int], now: datetime) -> int:
    """Make traders due at once; return how many. Failing ones keep their pause, paused ones stay so."""
    rows = Trader.objects.filter(pk__in=trader_ids, failures_in_row=0).exclude(status=Trader.Status.PAUSED)
    return _change(rows, next_sync_at=now)


def trader_wake_recorded(*, world: str, keys: Sequence[str], now: datetime) -> int:
    """Make recorded traders of a replay due at once, because their record changes; return how many."""
    rows = Trader.objects.filter(kind=TraderKind.REPLAY, world=world, key__in=keys)
    return _change(rows.exclude(status=Trader.Status.PAUSED), next_sync_at=now)


def trader_wake_posted(*, trader_id: int, now: datetime) -> int:
    """Make an agent due at once, because it posted; also after failures, which a post may end."""
    rows = Trader.objects.filter(pk=trader_id).exclude(status=Trader.Status.PAUSED)
    return _change(rows, next_sync_at=now)


def _change(rows: QuerySet[Trader], **columns: Any) -> int:
    """Change traders, locked by id first so that it never waits crosswise with the storing of looks."""
    with transaction.atomic():
        locked = rows.order_by("pk").select_for_update().values("pk")
        return Trader.objects.filter(pk__in=locked).update(**columns)


def _read_once(identity: TraderIdentity, *, clock: WorldTime, now: datetime) -> ReadResult:
    loop = read_loop()
    source = loop.source(identity.kind)
    if source.networked:
        cached = reads_cached(kind=identity.kind, keys=[identity.key], now=now)
        if identity.key in cached:
            return cached[identity.key]
    result = loop.read(identity.kind, [identity.key], clock=clock, now=now, max_wait_s=PREVIEW_WAIT_S)[0]
    if result.read is not None and (flaw := read_flaw(read=result.read)):
        raise RetryLater(f"{identity.name} gave an answer that cannot be ({flaw}). Try again in a minute.")
    if source.networked:
        reads_cache(results=[(identity.kind, result)])
    return result


def _history_once(identity: TraderIdentity, *, clock: WorldTime, now: datetime) -> SourceHistory:
    loop = read_loop()
    source = loop.source(identity.kind)
    cached = history_cached(kind=identity.kind, key=identity.key) if source.networked else None
    if cached is not None:
        return cached
    history = loop.history(identity.kind, identity.key, clock=clock, now=now)
    if source.networked:
        history_cache(kind=identity.kind, key=identity.key, history=history)
    return history


def _preview_position(position: TraderPosition, equity: Decimal) -> PreviewPosition:
    price = position.entry_price if position.mark_price is None else position.mark_price
    notional = position.quantity * price
    return PreviewPosition(
        code=position.code,
        quantity=position.quantity,
        entry_price=position.entry_price,
        mark_price=position.mark_price,
        notional=notional,
        exposure=notional / equity if equity > 0 else None,
        opened_at=position.opened_at,
    )
