"""Follows, capital, ledger and reservations in the admin, to look at."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.admin import ReadOnlyAdmin, ReadOnlyInline
from allocation.models import (
    BlockedUnderlying,
    BreakerTrip,
    CapitalAccount,
    Follow,
    FollowLeg,
    LedgerEntry,
    PortfolioLimits,
    Reservation,
    ReservationTally,
)

_WHOSE = ("=portfolio__id", "portfolio__name", "portfolio__owner__email")


class FollowLegInline(ReadOnlyInline):
    """What was last adopted of the trader."""

    model = FollowLeg
    show_change_link = False


@admin.register(Follow)
class FollowAdmin(ReadOnlyAdmin):
    """Who follows whom."""

    list_display = (
        "id",
        "portfolio",
        "trader",
        "status",
        "weight",
        "place",
        "join_mode",
        "joined",
        "created_at",
    )
    list_filter = ("status", "join_mode", "joined", "trader__kind")
    list_select_related = ("portfolio", "trader")
    search_fields = (*_WHOSE, "trader__name", "=trader__key")
    inlines = (FollowLegInline,)


@admin.register(FollowLeg)
class FollowLegAdmin(ReadOnlyAdmin):
    """What each portfolio adopted of each trader's positions."""

    list_display = (
        "id",
        "follow",
        "underlying",
        "trader_quantity",
        "ignored_quantity",
        "target_notional",
        "updated_at",
    )
    list_select_related = ("follow",)
    search_fields = ("=follow__id", "underlying", "follow__portfolio__owner__email", "follow__trader__name")
    ordering = ("-updated_at",)


@admin.register(BlockedUnderlying)
class BlockedUnderlyingAdmin(ReadOnlyAdmin):
    """What portfolios never open."""

    list_display = ("underlying", "portfolio", "created_at")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "underlying")


class InDeficit(admin.SimpleListFilter):
    """Accounts that lost more than they had free."""

    title = "deficit"
    parameter_name = "in_deficit"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """Return the two choices."""
        return [("yes", "In deficit"), ("no", "None")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[CapitalAccount]) -> QuerySet[CapitalAccount]:
        """Return the accounts of the chosen kind."""
        match self.value():
            case "yes":
                return queryset.filter(deficit__gt=0)
            case "no":
                return queryset.filter(deficit=0)
        return queryset


@admin.register(CapitalAccount)
class CapitalAccountAdmin(ReadOnlyAdmin):
    """The cash of each portfolio."""

    list_display = (
        "portfolio",
        "cash",
        "free",
        "reserved",
        "committed",
        "deployed",
        "deficit",
        "deposits_net",
        "version",
    )
    list_filter = (InDeficit, "portfolio__status", "portfolio__mode")
    list_select_related = ("portfolio",)
    search_fields = _WHOSE
    ordering = ("portfolio",)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    """Every change of cash."""

    list_display = ("id", "portfolio", "kind", "amount", "reference", "at", "world_at", "note")
    list_filter = ("kind", "at")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "reference", "note")
    ordering = ("-id",)


@admin.register(Reservation)
class ReservationAdmin(ReadOnlyAdmin):
    """Capital set aside."""

    list_display = (
        "id",
        "portfolio",
        "status",
        "priority",
        "amount",
        "source",
        "instrument_code",
        "requested_at",
        "expires_at",
    )
    list_filter = ("status", "priority")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "=id", "source", "instrument_code", "reason")
    ordering = ("-requested_at",)


@admin.register(BreakerTrip)
class BreakerTripAdmin(ReadOnlyAdmin):
    """What stopped portfolios, when, and who lifted it."""

    list_display = (
        "id", "portfolio", "kind", "effect", "reason", "tripped_at", "reset_at", "reset_by", "reset_reason",
    )  # fmt: skip
    list_filter = ("kind", "effect", ("reset_at", admin.EmptyFieldListFilter), "tripped_at")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "=id", "reason", "reset_by", "reset_reason")
    ordering = ("-id",)


@admin.register(PortfolioLimits)
class PortfolioLimitsAdmin(ReadOnlyAdmin):
    """Limits and thresholds that people set themselves."""

    list_display = ("portfolio", "max_position", "max_positions", "max_gross", "daily_loss", "drawdown")
    list_select_related = ("portfolio",)
    search_fields = _WHOSE
    ordering = ("portfolio",)


@admin.register(ReservationTally)
class ReservationTallyAdmin(ReadOnlyAdmin):
    """How many reservations were pruned."""

    list_display = ("strategy", "status", "priority", "count")
    list_filter = ("status", "priority")
    search_fields = ("strategy",)
    ordering = ("strategy", "status", "priority")
