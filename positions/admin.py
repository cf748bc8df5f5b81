"""Positions, their slices and entries, conflicts and equity in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin, ReadOnlyInline
from positions.models import (
    ConflictApproval,
    ConflictOverride,
    ConflictRecord,
    EquityPoint,
    ExitDefaults,
    ExitGuard,
    Position,
    PositionSlice,
    SliceEntry,
    Valuation,
    VenueStop,
)

_WHOSE = ("=portfolio__id", "portfolio__name", "portfolio__owner__email")


class PositionSliceInline(ReadOnlyInline):
    """Whose the position is."""

    model = PositionSlice


@admin.register(Position)
class PositionAdmin(ReadOnlyAdmin):
    """Positions with their slices."""

    list_display = (
        "id",
        "portfolio",
        "underlying",
        "instrument",
        "status",
        "quantity",
        "cost",
        "margin",
        "realized_pnl",
        "fees",
        "funding",
        "opened_at",
        "closed_at",
    )
    list_filter = ("status", "policy", "opened_at")
    list_select_related = ("portfolio", "instrument")
    search_fields = ("=id", *_WHOSE, "underlying")
    inlines = (PositionSliceInline,)


class SliceEntryInline(ReadOnlyInline):
    """How the slice came to be."""

    model = SliceEntry
    show_change_link = False


@admin.register(PositionSlice)
class PositionSliceAdmin(ReadOnlyAdmin):
    """The parts of positions, with the entries that made them."""

    list_display = ("id", "position", "follow", "quantity", "cost", "realized_pnl", "fees", "funding")
    list_select_related = ("position", "follow")
    search_fields = ("=position__id", "position__underlying", "position__portfolio__owner__email")
    ordering = ("-id",)
    inlines = (SliceEntryInline,)


@admin.register(SliceEntry)
class SliceEntryAdmin(ReadOnlyAdmin):
    """Every change of every slice."""

    list_display = (
        "id",
        "slice",
        "kind",
        "quantity",
        "price",
        "realized_pnl",
        "fee",
        "funding",
        "fill",
        "at",
        "world_at",
    )
    list_filter = ("kind", "at")
    list_select_related = ("slice", "fill")
    search_fields = ("=slice__id", "=slice__position__id", "slice__position__underlying")
    ordering = ("-id",)


@admin.register(ConflictOverride)
class ConflictOverrideAdmin(ReadOnlyAdmin):
    """Conflict rules of single underlyings."""

    list_display = ("portfolio", "underlying", "rule")
    list_filter = ("rule",)
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "underlying")


@admin.register(ConflictRecord)
class ConflictRecordAdmin(ReadOnlyAdmin):
    """How conflicts were resolved."""

    list_display = (
        "id",
        "portfolio",
        "underlying",
        "kind",
        "rule",
        "before_quantity",
        "after_quantity",
        "after_notional",
        "capped_reason",
        "at",
        "ended_at",
    )
    list_filter = ("kind", "rule", ("ended_at", admin.EmptyFieldListFilter))
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "underlying", "capped_reason")


@admin.register(Valuation)
class ValuationAdmin(ReadOnlyAdmin):
    """What portfolios are worth."""

    list_display = (
        "portfolio",
        "equity",
        "unit_value",
        "peak_equity",
        "day_start_equity",
        "run",
        "at",
        "world_at",
    )
    list_select_related = ("portfolio",)
    search_fields = _WHOSE
    ordering = ("portfolio",)


@admin.register(EquityPoint)
class EquityPointAdmin(ReadOnlyAdmin):
    """The equity curves."""

    list_display = ("id", "portfolio", "run", "world_at", "equity", "unit_value", "at")
    list_filter = ("run",)
    list_select_related = ("portfolio",)
    search_fields = _WHOSE
    ordering = ("-id",)


@admin.register(ConflictApproval)
class ConflictApprovalAdmin(ReadOnlyAdmin):
    """Conflicts that waited for their owner."""

    list_display = ("id", "portfolio", "underlying", "kind", "status", "rule", "asked_at", "decided_by")
    list_filter = ("status", "kind", "asked_at")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "=id", "underlying", "decided_by")
    ordering = ("-id",)


@admin.register(ExitDefaults)
class ExitDefaultsAdmin(ReadOnlyAdmin):
    """What guards portfolios' new positions."""

    list_display = (
        "portfolio", "stop_loss_pct", "trail_from_pct", "trail_by_pct", "time_stop_days", "stops_at_venue",
        "updated_at",
    )  # fmt: skip
    list_select_related = ("portfolio",)
    search_fields = _WHOSE
    ordering = ("portfolio",)


@admin.register(ExitGuard)
class ExitGuardAdmin(ReadOnlyAdmin):
    """The levels at which positions are closed."""

    list_display = (
        "position_id", "instrument", "world", "sign", "entry_price", "peak_price", "stop_price",
        "trail_price", "steps_done", "own", "version", "changed_at", "ended_at",
    )  # fmt: skip
    list_filter = ("own", "sign", ("ended_at", admin.EmptyFieldListFilter), "world")
    list_select_related = ("instrument", "world")
    search_fields = ("=position__id", "=position__portfolio__id", "instrument__code")
    ordering = ("-position",)


@admin.register(VenueStop)
class VenueStopAdmin(ReadOnlyAdmin):
    """Stops of ours that rest at a venue."""

    list_display = (
        "id", "portfolio", "position_id", "kind", "side", "quantity", "trigger_price", "status", "reason",
        "created_at", "ended_at",
    )  # fmt: skip
    list_filter = ("status", "kind", "venue", "side")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "=position__id", "client_order_id")
