"""Traders in the admin: words and rhythm can be edited, actions move the state, reads are looked at."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from accounts.admin import ReadOnlyAdmin, admin_links
from accounts.roles import ADMIN_SEES_ALL_TABLES, OPERATOR_PAUSES_SOURCES, role_allows
from core.clock import utc_now
from traders.models import (
    PushAgent,
    QuarantinedRead,
    StrategyBook,
    StrategyLeg,
    StrategySignal,
    SyncAttempt,
    Trader,
    TraderSnapshot,
)
from traders.services import trader_sync_pause, trader_sync_resume, trader_wake
from traders.style_models import StyleAlarm, StyleHour

_OF_TRADER: Final = (
    ("snapshots", "traders_tradersnapshot"),
    ("sync attempts", "traders_syncattempt"),
    ("quarantined reads", "traders_quarantinedread"),
    ("signals", "traders_strategysignal"),
    ("follows", "allocation_follow"),
)
_NOT_FOR_OPERATORS: Final = frozenset({"owner", "credential", "key", "latest_snapshot", "basis_snapshot"})
_EDITABLE: Final = ("name", "monogram", "detail", "note", "sync_interval_s")


@admin.register(Trader)
class TraderAdmin(admin.ModelAdmin):
    """Traders; created by following one, never deleted, since books refer to them."""

    list_display = (
        "name",
        "kind",
        "world",
        "status",
        "follow_count",
        "synced_at",
        "next_sync_at",
        "failures_in_row",
        "last_error",
    )
    list_filter = ("status", "kind", "world")
    list_per_page = 50
    search_fields = ("=id", "name", "key", "detail", "last_error", "owner__email")
    actions = ("pause", "resume", "resync")

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Nobody finds out whose a source is by searching for it."""
        if role_allows(user=request.user, may=ADMIN_SEES_ALL_TABLES):
            return self.search_fields
        return ("=id", "name", "detail", "last_error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Trader]:
        """Count the standing follows in the same query."""
        standing = Count("follows", filter=~Q(follows__status="removed"))
        return super().get_queryset(request).annotate(follow_count=standing)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Put the way onward first; whose it is, its key and what it holds are an administrator's to see."""
        names = [field.name for field in Trader._meta.fields if field.name != "id"]
        if role_allows(user=request.user, may=ADMIN_SEES_ALL_TABLES):
            return ["belongs_to_it", *names]
        return [name for name in names if name not in _NOT_FOR_OPERATORS]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Only words and rhythm are edited by hand."""
        return [name for name in self.get_fields(request, obj) if name not in _EDITABLE]

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Operators pause sources and have them read again; editing is an administrator's."""
        return role_allows(user=request.user, may=OPERATOR_PAUSES_SOURCES)

    def has_add_permission(self, request: HttpRequest) -> bool:
        """A trader appears when someone follows it."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Books refer to traders."""
        return False

    @admin.display(description="followed by", ordering="follow_count")
    def follow_count(self, trader: Trader) -> int:
        """Return how many portfolios follow it."""
        return int(trader.follow_count)  # type: ignore[attr-defined]

    @admin.display(description="belongs to it")
    def belongs_to_it(self, trader: Trader) -> SafeString:
        """Return links to its snapshots, attempts and follows."""
        return admin_links(targets=_OF_TRADER, query=f"trader__id__exact={trader.pk}")

    @admin.action(description="Pause the sync", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Trader]) -> None:
        """Stop reading these traders; portfolios hold what they have of them."""
        self._log(request, queryset.exclude(status=Trader.Status.PAUSED), word="Paused the sync")
        count = trader_sync_pause(trader_ids=_ids(queryset))
        self.message_user(request, f"Paused: {count}.", messages.SUCCESS)

    @admin.action(description="Resume the sync", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Trader]) -> None:
        """Read paused traders again, at once."""
        self._log(request, queryset.filter(status=Trader.Status.PAUSED), word="Resumed the sync")
        count = trader_sync_resume(trader_ids=_ids(queryset), now=utc_now())
        self.message_user(request, f"Resumed: {count}.", messages.SUCCESS)

    @admin.action(description="Sync now", permissions=["operate"])
    def resync(self, request: HttpRequest, queryset: QuerySet[Trader]) -> None:
        """Have these traders read at the next opportunity; failing and paused ones are left as they are."""
        count = trader_wake(trader_ids=_ids(queryset), now=utc_now())
        self.message_user(request, f"Due now: {count}.", messages.SUCCESS)

    def _log(self, request: HttpRequest, queryset: QuerySet[Trader], *, word: str) -> None:
        """Note in the admin's own history who did it."""
        for trader in queryset:
            self.log_change(request, trader, word)


def _ids(queryset: QuerySet[Trader]) -> list[int]:
    return list(queryset.order_by("pk").values_list("pk", flat=True))


@admin.register(TraderSnapshot)
class TraderSnapshotAdmin(ReadOnlyAdmin):
    """What good reads said."""

    list_display = ("id", "trader", "run", "world_at", "equity", "quantities_changed", "received_at")
    list_filter = ("quantities_changed", "trader__kind", "trader__world")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "=trader__key")
    ordering = ("-id",)


@admin.register(QuarantinedRead)
class QuarantinedReadAdmin(ReadOnlyAdmin):
    """Reads that were not believed at first."""

    list_display = ("id", "trader", "at", "reason", "confirmed_at", "dismissed_at")
    list_filter = (
        "trader__kind",
        ("confirmed_at", admin.EmptyFieldListFilter),
        ("dismissed_at", admin.EmptyFieldListFilter),
    )
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "=trader__key", "reason")


@admin.register(SyncAttempt)
class SyncAttemptAdmin(ReadOnlyAdmin):
    """How each sync went."""

    list_display = ("id", "trader", "due_at", "finished_at", "outcome", "duration_ms", "detail")
    list_filter = ("outcome", "trader__kind", "trader__world")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "=trader__key", "detail")


@admin.register(StrategyBook)
class StrategyBookAdmin(ReadOnlyAdmin):
    """The virtual money of strategies."""

    list_display = ("trader", "run", "started_at", "cash", "version")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "trader__key")
    ordering = ("trader",)


@admin.register(StrategyLeg)
class StrategyLegAdmin(ReadOnlyAdmin):
    """What strategies hold, and up to where their candles are decided."""

    list_display = ("book", "code", "quantity", "entry_price", "opened_at", "price", "reached_at")
    list_select_related = ("book",)
    search_fields = ("=book__trader__id", "book__trader__key", "=code")
    ordering = ("book", "code")


@admin.register(StrategySignal)
class StrategySignalAdmin(ReadOnlyAdmin):
    """What strategies said on each closed candle, why, and what their books did."""

    list_display = ("at", "trader", "code", "side", "outcome", "reason", "price", "run")
    list_filter = ("side", "trader__world")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "trader__key", "=code", "reason")
    ordering = ("-id",)


@admin.register(PushAgent)
class PushAgentAdmin(ReadOnlyAdmin):
    """Agents that post, and when they did. Their secrets are not here."""

    list_display = ("public_id", "trader", "interval_s", "sequence", "posted_at", "created_at", "revoked_at")
    list_filter = ("revoked_at",)
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "trader__owner__email")
    exclude = ("sealed",)


@admin.register(StyleAlarm)
class StyleAlarmAdmin(ReadOnlyAdmin):
    """Times at which a trader left its own history."""

    list_display = ("at", "trader", "measure", "text", "z", "run", "ended_at")
    list_filter = ("measure", "ended_at")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "trader__key", "text")


@admin.register(StyleHour)
class StyleHourAdmin(ReadOnlyAdmin):
    """What a trader's style is judged by."""

    list_display = ("hour_at", "trader", "run", "reads", "held_reads", "leverage_sum", "turnover")
    list_select_related = ("trader",)
    search_fields = ("=trader__id", "trader__name", "trader__key")
    ordering = ("-hour_at", "trader")
