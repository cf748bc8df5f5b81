"""Finding or making traders, previewing them before a follow, and pausing their sync."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

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
from traders.models import QuarantinedRead, Trader
from traders.reading import read_loop
from traders.recordings import recorded_trader_get, recorded_traders
from traders.sources.base import SourceHistory
from traders.strategies.pairs import pair_set_get, pair_sets_all

REPLAY_INTERVAL_S: Final = 20  # reading a record costs nothing, and 20 s are hours of a replay
PREVIEW_WAIT_S: Final = 8.0
STRATEGY_NOTE: Final = (
    "Decides on closed five-minute candles. Its own book is virtual: 10,000 at the start, bought and sold at "
    "the candle's close, without fees. What following it costs shows in your fills."
)
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class TraderIdentity:
    """A trader by what it is, whether or not anybody follows it yet."""

    kind: TraderKind
    key: str
    name: str
    monogram: str
    detail: str
    note: str
    world: str


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


def trader_identify(*, kind: str, key: str) -> TraderIdentity:
    """Check what a person typed and say which trader it names.

    :raises InputError: an unknown kind, an address that is none; a recorded trader, a strategy or a set of
        pairs that does not exist
    """
    if kind == TraderKind.REPLAY:
        recorded = recorded_trader_get(key=key.strip())
        return TraderIdentity(
            kind=TraderKind.REPLAY,
            key=recorded.key,
            name=recorded.name,
            monogram=recorded.monogram,
            detail=recorded.detail,
            note=recorded.note,
            world=recorded.world,
        )
    if kind == TraderKind.STRATEGY:
        return _strategy_identity(key)
    if kind == TraderKind.HYPERLIQUID:
        return _wallet_identity(key)
    known = ", ".join(TraderKind)
    raise InputError(f"There is no kind of trader named {kind!r}. Known kinds: {known}.", field="kind")


def trader_find_or_create(*, kind: str, key: str, now: datetime, name: str = "") -> Trader:
    """Return the shared trader of this kind and key, made due at once if it is new (FOL-2).

    Its market world is started if it does not run yet. A new trader gets ``name``, or the name of its record,
    or a short form of its address.

    :raises InputError: see :func:`trader_identify`
    """
    identity = trader_identify(kind=kind, key=key)
    world_ensure(name=identity.world, now=now)
    live = identity.world == LIVE
    trader, _ = Trader.objects.get_or_create(
        kind=identity.kind,
        key=identity.key,
        world=identity.world,
        owner=None,
        defaults={
            "name": name.strip()[:80] or identity.name,
            "monogram": identity.monogram,
            "detail": identity.detail,
            "note": identity.note,
            "next_sync_at": now,
            "sync_interval_s": settings.SYNC_INTERVAL_SECONDS if live else REPLAY_INTERVAL_S,
        },
    )
    return trader


def trader_preview(*, kind: str, key: str, now: datetime) -> TraderPreview:
    """Return equity, open positions and recent P&L of a trader, followed or not; read at most once in 10 s.

    :raises InputError: no such trader, or an address that has never traded
    :raises RetryLater: its source gives no usable answer now
    """
    identity = trader_identify(kind=kind, key=key)
    clock = world_ensure(name=identity.world, now=now).clock()
    with asking(priority=BudgetPriority.PREVIEW):
        result = _read_once(identity, clock=clock, now=now)
    read = result.read
    if read is None:
        reason = result.failure.reason if result.failure else "no answer"
        raise RetryLater(f"{identity.name} cannot be read right now ({reason}). Try again in a minute.")
    with asking(priority=BudgetPriority.PREVIEW):
        history = _history_once(identity, clock=clock, now=now)
    if not history.ever_traded and not read.positions and read.equity == 0:
        raise InputError(
            "This address has never traded on Hyperliquid. Check it for a typing error, "
            "or that it is the trading account itself rather than an API wallet.",
            field="key",
        )
    known = Trader.objects.filter(kind=kind, key=identity.key, world=identity.world, owner=None)
    return TraderPreview(
        identity=identity,
        equity=read.equity,
        positions=tuple(_preview_position(position, read.equity) for position in read.positions),
        recent_pnl=history.recent_pnl,
        world_at=read.world_at,
        asked_at=result.asked_at,
        trader_id=known.values_list("pk", flat=True).first(),
    )


def catalogue() -> tuple[TraderIdentity, ...]:
    """Return the traders that can be followed without any account: recorded ones, then strategies."""
    recorded = (trader_identify(kind=TraderKind.REPLAY, key=trader.key) for trader in recorded_traders())
    return (*recorded, *(_strategy_identity(key) for key in pair_sets_all()))


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


def _change(rows: QuerySet[Trader], **columns: Any) -> int:
    """Change traders, locked by id first so that it never waits crosswise with the storing of looks."""
    with transaction.atomic():
        locked = rows.order_by("pk").select_for_update().values("pk")
        return Trader.objects.filter(pk__in=locked).update(**columns)


def _wallet_identity(key: str) -> TraderIdentity:
    address = key.strip().lower()
    if not _ADDRESS.fullmatch(address):
        raise InputError(
            f"'{key.strip()[:60]}' is not a wallet address: it must be 0x followed by 40 digits 0-9 or a-f "
            f"(42 characters), this has {len(address)}.",
            field="key",
        )
    short = f"{address[:6]}…{address[-4:]}"
    return TraderIdentity(
        kind=TraderKind.HYPERLIQUID,
        key=address,
        name=short,
        monogram=address[2:4].upper(),
        detail=f"{short}, Hyperliquid",
        note="",
        world=LIVE,
    )


def _strategy_identity(key: str) -> TraderIdentity:
    pair_set = pair_set_get(key=key.strip())
    return TraderIdentity(
        kind=TraderKind.STRATEGY,
        key=pair_set.key,
        name=pair_set.label,
        monogram="".join(word[0] for word in pair_set.strategy.label.split())[:2].upper(),
        detail=f"Strategy on {', '.join(pair_set.pairs)}"[:120],
        note=STRATEGY_NOTE,
        world=pair_set.world,
    )


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
