"""Worlds, instruments and marks in the admin, to look at."""

from __future__ import annotations

from django.contrib import admin

from accounts.admin import ReadOnlyAdmin
from markets.models import (
    Candle,
    Instrument,
    Mark,
    MarketContext,
    PriceMarket,
    PriceSample,
    VenueInstrument,
    World,
)


@admin.register(World)
class WorldAdmin(ReadOnlyAdmin):
    """The live world and the replays."""

    list_display = ("name", "label", "run", "speed", "world_start_at", "world_end_at", "anchored_at", "loops")
    list_filter = ("loops",)
    search_fields = ("name", "label")


@admin.register(Instrument)
class InstrumentAdmin(ReadOnlyAdmin):
    """What can be traded, with the venue's rules."""

    list_display = (
        "code",
        "underlying",
        "multiplier",
        "quantity_step",
        "price_places",
        "min_notional",
        "max_leverage",
    )
    list_filter = ("quote", "max_leverage")
    search_fields = ("code", "underlying")


@admin.register(PriceMarket)
class PriceMarketAdmin(ReadOnlyAdmin):
    """Where the price of what Hyperliquid does not list comes from."""

    list_display = ("instrument", "venue", "policy", "symbol", "active", "read_at")
    list_filter = ("venue", "policy", "active")
    search_fields = ("instrument__code", "symbol")


@admin.register(MarketContext)
class MarketContextAdmin(ReadOnlyAdmin):
    """How much trades, and how deep the book is."""

    list_display = ("instrument", "day_volume", "impact_spread", "read_at")


@admin.register(Mark)
class MarkAdmin(ReadOnlyAdmin):
    """The last prices."""

    list_display = ("instrument", "world", "price", "run", "quoted_at", "received_at")
    list_filter = ("world",)
    list_select_related = ("instrument", "world")
    search_fields = ("instrument__code", "instrument__underlying")
    ordering = ("world", "instrument")


@admin.register(PriceSample)
class PriceSampleAdmin(ReadOnlyAdmin):
    """The live world's hourly prices."""

    list_display = ("instrument", "world", "at", "price")
    list_filter = ("world",)
    search_fields = ("instrument__code",)
    ordering = ("-at", "instrument")


@admin.register(Candle)
class CandleAdmin(ReadOnlyAdmin):
    """Five-minute candles."""

    list_display = (
        "instrument",
        "world",
        "run",
        "opened_at",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "ticks",
        "source",
        "closed",
    )
    list_filter = ("world", "source", "closed")
    search_fields = ("instrument__code",)
    ordering = ("-opened_at", "instrument")


@admin.register(VenueInstrument)
class VenueInstrumentAdmin(ReadOnlyAdmin):
    """Rules of trading venues."""

    list_display = (
        "venue",
        "sandbox",
        "policy",
        "instrument",
        "symbol",
        "quantity_step",
        "price_step",
        "min_notional",
        "active",
        "read_at",
    )
    list_filter = ("venue", "sandbox", "policy", "active")
    search_fields = ("instrument__code", "symbol")
    ordering = ("venue", "policy", "instrument")
