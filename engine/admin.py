"""Copy cycles and decisions in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from engine.models import Command, CycleState, Decision

_WHOSE = ("=portfolio__id", "portfolio__name", "portfolio__owner__email")


@admin.register(CycleState)
class CycleStateAdmin(ReadOnlyAdmin):
    """When each portfolio's cycle ran and is due."""

    list_display = ("portfolio", "ran_at", "next_at", "wanted_at", "wanted_why", "run", "forced_all", "error")
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
