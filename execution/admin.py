"""Orders, fills and the paper venue's books in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin, ReadOnlyInline
from execution.models import (
    Fill,
    Order,
    OrderEvent,
    OrderSlice,
    PaperFault,
    PaperFill,
    PaperHolding,
    PaperOrder,
    PaperStop,
    VenueOrphan,
    VenueSend,
)

_WHOSE = ("=order__id", "=order__portfolio__id", "order__portfolio__owner__email", "order__underlying")


class OrderSliceInline(ReadOnlyInline):
    """Whom the order is for."""

    model = OrderSlice
    show_change_link = False


class FillInline(ReadOnlyInline):
    """Its executions."""

    model = Fill


class OrderEventInline(ReadOnlyInline):
    """Its history."""

    model = OrderEvent
    show_change_link = False


@admin.register(Order)
class OrderAdmin(ReadOnlyAdmin):
    """Orders with their slices, fills and history."""

    list_display = (
        "id",
        "portfolio",
        "side",
        "quantity",
        "instrument",
        "limit_price",
        "purpose",
        "status",
        "filled_quantity",
        "committed",
        "created_at",
    )
    list_filter = ("status", "purpose", "side", "reduce_only", "venue", "created_at")
    list_select_related = ("portfolio", "instrument")
    search_fields = (
        "=id",
        "client_order_id",
        "venue_order_id",
        "underlying",
        "=portfolio__id",
        "portfolio__name",
        "portfolio__owner__email",
    )
    inlines = (OrderSliceInline, FillInline, OrderEventInline)


@admin.register(OrderSlice)
class OrderSliceAdmin(ReadOnlyAdmin):
    """The parts of orders."""

    list_display = ("id", "order", "follow", "quantity")
    list_select_related = ("order", "follow")
    search_fields = _WHOSE
    ordering = ("-id",)


@admin.register(OrderEvent)
class OrderEventAdmin(ReadOnlyAdmin):
    """The history of orders."""

    list_display = ("id", "order", "at", "from_status", "to_status", "detail")
    list_filter = ("to_status", "from_status")
    list_select_related = ("order",)
    search_fields = (*_WHOSE, "detail")
    ordering = ("-id",)


@admin.register(Fill)
class FillAdmin(ReadOnlyAdmin):
    """Executions as they were booked."""

    list_display = (
        "id",
        "order",
        "quantity",
        "price",
        "fee",
        "venue",
        "venue_fill_id",
        "world_at",
        "received_at",
    )
    list_filter = ("venue", "received_at")
    list_select_related = ("order",)
    search_fields = (*_WHOSE, "=venue_fill_id")
    ordering = ("-id",)


class PaperFillInline(ReadOnlyInline):
    """Executions as the paper venue reports them."""

    model = PaperFill
    show_change_link = False


@admin.register(PaperOrder)
class PaperOrderAdmin(ReadOnlyAdmin):
    """Orders as the paper venue sees them."""

    list_display = (
        "id",
        "account",
        "world",
        "side",
        "quantity",
        "instrument_code",
        "limit_price",
        "status",
        "filled_quantity",
        "accepted_at",
    )
    list_filter = ("status", "side", "world", "reduce_only")
    search_fields = ("client_order_id", "=account", "instrument_code", "end_reason")
    ordering = ("-id",)
    inlines = (PaperFillInline,)


@admin.register(PaperStop)
class PaperStopAdmin(ReadOnlyAdmin):
    """Stops that rest at the paper venue."""

    list_display = (
        "id",
        "account",
        "world",
        "side",
        "quantity",
        "instrument_code",
        "trigger_price",
        "status",
    )
    list_filter = ("status", "side", "world")
    search_fields = ("client_order_id", "=account", "instrument_code", "end_reason")
    ordering = ("-id",)


@admin.register(PaperFill)
class PaperFillAdmin(ReadOnlyAdmin):
    """The paper venue's executions."""

    list_display = ("id", "paper_order", "quantity", "price", "fee", "at", "world_at")
    list_select_related = ("paper_order",)
    search_fields = ("=id", "paper_order__client_order_id", "=paper_order__account")
    ordering = ("-id",)


@admin.register(PaperHolding)
class PaperHoldingAdmin(ReadOnlyAdmin):
    """What accounts hold at the paper venue."""

    list_display = ("account", "instrument_code", "quantity")
    list_filter = ("instrument_code",)
    search_fields = ("=account", "instrument_code")
    ordering = ("account", "instrument_code")


@admin.register(VenueOrphan)
class VenueOrphanAdmin(ReadOnlyAdmin):
    """Orders found at a venue that none of ours are."""

    list_display = ("found_at", "portfolio", "venue", "side", "quantity", "instrument_code", "outcome")
    list_filter = ("outcome", "venue")
    list_select_related = ("portfolio",)
    search_fields = ("client_order_id", "=portfolio__id", "detail")
    ordering = ("-id",)


@admin.register(PaperFault)
class PaperFaultAdmin(ReadOnlyAdmin):
    """What the paper venue was told to do wrong."""

    list_display = ("id", "account", "operation", "kind", "remaining", "skip", "delay_ms", "created_at")
    list_filter = ("operation", "kind")
    search_fields = ("=account",)
    ordering = ("-id",)


@admin.register(VenueSend)
class VenueSendAdmin(ReadOnlyAdmin):
    """What left for a real venue, kept before it was sent."""

    list_display = (
        "sent_at",
        "venue",
        "account",
        "instrument_code",
        "is_stop",
        "client_order_id",
        "venue_order_id",
        "refused",
        "ended_at",
    )
    list_filter = ("venue", "policy", "is_stop")
    search_fields = ("=client_order_id", "=venue_order_id", "=account", "=instrument_code", "refused")
    ordering = ("-sent_at",)
