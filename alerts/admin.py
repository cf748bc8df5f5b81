"""Alerts, their ways and failed tasks in the admin, to look at. Addresses are not here."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from alerts.models import Alert, AlertChannel, AlertDelivery, QuietTime, TaskFailure


@admin.register(Alert)
class AlertAdmin(ReadOnlyAdmin):
    """What people are told."""

    list_display = ("id", "owner", "kind", "title", "raised_at", "count", "standing", "open", "read_at")
    list_filter = ("kind", "standing", "open", "raised_at")
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "key", "title", "body")


@admin.register(AlertChannel)
class AlertChannelAdmin(ReadOnlyAdmin):
    """The ways people chose."""

    list_display = ("id", "owner", "service", "mask", "enabled", "failures", "sent_at", "error", "error_at")
    list_filter = ("service", "enabled")
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "name", "mask", "error")
    exclude = ("sealed",)


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(ReadOnlyAdmin):
    """What went out, waits or was given up."""

    list_display = ("id", "alert", "channel", "status", "due_at", "attempts", "sent_at", "error")
    list_filter = ("status", "due_at")
    list_select_related = ("alert", "channel")
    search_fields = ("=id", "alert__owner__email", "alert__title", "error")


@admin.register(QuietTime)
class QuietTimeAdmin(ReadOnlyAdmin):
    """Quiet hours."""

    list_display = ("owner", "begins", "ends")
    list_select_related = ("owner",)
    search_fields = ("owner__email",)
    ordering = ("owner",)


@admin.register(TaskFailure)
class TaskFailureAdmin(ReadOnlyAdmin):
    """Background work that failed."""

    list_display = ("id", "at", "task", "worker", "error")
    list_filter = ("task", "at")
    search_fields = ("=id", "task", "worker", "error", "trace")
