"""Copy cycles and decisions in the admin, to look at."""

from __future__ import annotations

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts.admin import PortfolioAdmin, ReadOnlyAdmin
from accounts.models import AuditEntry, Portfolio, User
from accounts.roles import ADMIN_STOPS_PORTFOLIOS, role_allows
from core.clock import utc_now
from core.ids import uuid_new
from engine.commands import command_accept
from engine.fidelity_models import CopiedSlice, FillFidelity, FollowFidelity
from engine.import_models import StateImport
from engine.models import (
    AnsweredChange,
    Command,
    CycleState,
    Decision,
    ExitGap,
    ExitShard,
    ExitTrigger,
    ExitWatcher,
)
from engine.style_models import StyleDismissal

_WHOSE = ("=portfolio__id", "portfolio__name", "portfolio__owner__email")


@admin.register(CycleState)
class CycleStateAdmin(ReadOnlyAdmin):
    """When each portfolio's cycle ran and is due."""

    list_display = (
        "portfolio",
        "ran_at",
        "next_at",
        "wanted_at",
        "wanted_why",
        "asked_at",
        "run",
        "forced_all",
        "error",
    )
    list_filter = ("forced_all", ("wanted_at", admin.EmptyFieldListFilter), "run")
    list_select_related = ("portfolio",)
    search_fields = (*_WHOSE, "wanted_why", "error")
    ordering = ("portfolio",)


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What was decided, and why."""

    list_display = ("id", "portfolio", "at", "kind", "underlying", "text", "reason", "order")
    list_filter = ("kind", "at")
    list_select_related = ("portfolio", "order")
    search_fields = ("=id", *_WHOSE, "underlying", "text", "reason")


@admin.register(AnsweredChange)
class AnsweredChangeAdmin(ReadOnlyAdmin):
    """What traders changed, each with the decision it got first."""

    list_display = ("id", "follow", "world_at", "change", "underlying", "before", "after", "decision")
    list_filter = ("change", "decided_at")
    list_select_related = ("follow__portfolio", "follow__trader", "decision")
    search_fields = ("=id", "underlying", "follow__trader__name", "decision__text")


@admin.register(StateImport)
class StateImportAdmin(ReadOnlyAdmin):
    """State files that people took over."""

    list_display = ("id", "owner", "status", "portfolio", "created_at", "done_at")
    list_filter = ("status", "created_at")
    list_select_related = ("owner", "portfolio")
    search_fields = ("=id", "owner__email", "portfolio__name")


@admin.register(Command)
class CommandAdmin(ReadOnlyAdmin):
    """What people asked for, and what came of it."""

    list_display = (
        "id", "portfolio", "kind", "status", "answer", "asked_by", "via", "accepted_at", "finished_at",
        "attempts",
    )  # fmt: skip
    list_filter = ("status", "kind", "via", "accepted_at")
    list_select_related = ("portfolio", "asked_by")
    search_fields = ("=id", *_WHOSE, "key", "answer")


@admin.register(ExitTrigger)
class ExitTriggerAdmin(ReadOnlyAdmin):
    """What exit rules closed, and why."""

    list_display = (
        "id", "portfolio", "position", "kind", "price", "level", "fraction", "status", "order", "found_by",
        "seen_at", "ended_at",
    )  # fmt: skip
    list_filter = ("status", "kind", "found_by", "seen_at")
    list_select_related = ("portfolio", "position", "order")
    search_fields = ("=id", *_WHOSE, "position__underlying", "text")


@admin.register(ExitShard)
class ExitShardAdmin(ReadOnlyAdmin):
    """Who watches which part of the instruments."""

    list_display = ("number", "holder", "epoch", "lease_until", "place", "watched_at")
    search_fields = ("holder",)
    ordering = ("number",)


@admin.register(ExitWatcher)
class ExitWatcherAdmin(ReadOnlyAdmin):
    """The processes that watch exits."""

    list_display = ("name", "seen_at")
    search_fields = ("name",)
    ordering = ("name",)


@admin.register(ExitGap)
class ExitGapAdmin(ReadOnlyAdmin):
    """When nobody watched a part of the instruments."""

    list_display = ("id", "shard", "from_at", "until_at")
    search_fields = ("=shard",)
    ordering = ("-id",)


@admin.register(CopiedSlice)
class CopiedSliceAdmin(ReadOnlyAdmin):
    """What each slice of a copying order answers to."""

    list_display = (
        "order_slice",
        "follow",
        "underlying",
        "wished",
        "sent",
        "unsized_bps",
        "own_price",
        "price_kind",
        "done",
    )
    list_filter = ("price_kind", "done")
    list_select_related = ("order_slice", "follow__trader")
    search_fields = ("=follow__portfolio__id", "=follow__trader__id", "=underlying")
    ordering = ("-order_slice",)


@admin.register(FillFidelity)
class FillFidelityAdmin(ReadOnlyAdmin):
    """Fills against their traders' own prices; positive is worse for the portfolio."""

    list_display = (
        "world_at",
        "follow",
        "fill",
        "quantity",
        "delay_bps",
        "execution_bps",
        "fee_bps",
        "whole_bps",
    )
    list_select_related = ("follow__trader", "fill")
    search_fields = ("=follow__portfolio__id", "=follow__trader__id", "=fill__order__id")
    ordering = ("-id",)


@admin.register(FollowFidelity)
class FollowFidelityAdmin(ReadOnlyAdmin):
    """Each follow's fidelity over thirty days."""

    list_display = (
        "follow",
        "run",
        "fills",
        "whole_p50_bps",
        "whole_p95_bps",
        "unsized_p50_bps",
        "updated_at",
    )
    list_select_related = ("follow__trader",)
    search_fields = ("=follow__portfolio__id", "=follow__trader__id", "follow__trader__name")


@admin.register(StyleDismissal)
class StyleDismissalAdmin(ReadOnlyAdmin):
    """Alarms of style that owners took for the new normal."""

    list_display = ("at", "follow", "alarm")
    list_select_related = ("follow__trader", "alarm")
    search_fields = ("=follow__portfolio__id", "=follow__trader__id")
    ordering = ("-at",)


admin.site.unregister(Portfolio)


@admin.register(Portfolio)
class StoppablePortfolioAdmin(PortfolioAdmin):
    """Portfolios, with the one thing an administrator may do to them: stop them (RSK-3)."""

    actions = ("emergency_stop",)  # type: ignore[assignment]  # all other tables have none

    def has_stop_permission(self, request: HttpRequest) -> bool:
        """Administrators alone stop what belongs to others."""
        return role_allows(user=request.user, may=ADMIN_STOPS_PORTFOLIOS)

    @admin.action(description="Emergency stop: cancel, close, freeze", permissions=["stop"])
    def emergency_stop(self, request: HttpRequest, queryset: QuerySet[Portfolio]) -> HttpResponse | None:
        """Ask once more, then freeze each portfolio and have everything closed."""
        portfolios = list(queryset.select_related("owner").order_by("pk"))
        if "confirmed" not in request.POST:
            context = {"title": "Emergency stop", "portfolios": portfolios}
            context |= self.admin_site.each_context(request)
            return TemplateResponse(request, "admin/emergency_stop.html", context)
        for portfolio in portfolios:
            command_accept(
                portfolio=portfolio,
                kind=Command.Kind.EMERGENCY_STOP.value,
                data={"confirm": portfolio.name, "reason": request.POST.get("reason", "")},
                key=f"admin {uuid_new()}",
                asked_by=cast("User", request.user),
                via=AuditEntry.Via.ADMIN,
                now=utc_now(),
            )
        names = ", ".join(portfolio.name for portfolio in portfolios)
        self.message_user(request, f"Frozen, being closed: {names}.", messages.WARNING)
        return None
