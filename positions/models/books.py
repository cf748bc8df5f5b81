"""Positions with a slice per trader, and the entries that made them.

Signs: quantities and costs are positive for long and negative for short. ``cost`` is quantity ×
average entry price, kept instead of the average so that nothing is lost to rounding;
unrealized P&L = quantity × mark − cost.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from accounts.models import POLICY_CHOICES, Portfolio
from allocation.models import Follow
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS
from execution.models import Fill
from markets.models import Instrument

ZERO = Decimal(0)


class Position(models.Model):
    """What a portfolio holds of one underlying. It stays open while any slice is not zero,
    also when the slices net to a quantity of 0."""

    class Status(models.TextChoices):
        OPENING = "opening", "Opening"
        ACTIVE = "active", "Active"
        PARTIAL_EXIT = "partial_exit", "Partly closed"
        CLOSING = "closing", "Closing"
        CLOSED = "closed", "Closed"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="positions")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="positions")
    underlying = models.CharField(max_length=48)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPENING)
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    cost = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    margin = models.DecimalField(
        **MONEY_DIGITS, default=ZERO, help_text="Committed behind a perpetual position."
    )
    margin_rate = models.DecimalField(max_digits=9, decimal_places=8, default=1, help_text="1 ÷ leverage.")
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO, help_text="Before fees and funding.")
    fees = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO, help_text="Positive was received.")
    funded_until = models.DateTimeField(
        null=True, blank=True, help_text="World time up to which funding is booked."
    )
    run = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(default=utc_now)
    opened_world_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_world_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["portfolio", "-closed_at", "-id"],
                condition=Q(status="closed"),
                name="position_closed_newest",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "underlying"],
                condition=~Q(status="closed"),
                name="one_open_position_per_underlying",
            ),
            models.CheckConstraint(
                condition=~Q(status="closed") | Q(quantity=0, cost=0, margin=0),
                name="position_closed_is_empty",
            ),
            models.CheckConstraint(
                condition=~Q(policy="spot") | Q(quantity__gte=0), name="position_spot_never_short"
            ),
            models.CheckConstraint(condition=Q(margin__gte=0), name="position_margin_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.instrument_id}"


class PositionSlice(models.Model):
    """One trader's part of a position (follow null: the owner's own part). Σ slices = position."""

    position = models.ForeignKey(Position, on_delete=models.CASCADE, related_name="slices")
    follow = models.ForeignKey(Follow, on_delete=models.PROTECT, null=True, blank=True, related_name="slices")
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    cost = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fees = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["position", "follow"], nulls_distinct=False, name="slice_unique")
        ]

    def __str__(self) -> str:
        return f"{self.follow_id} {self.quantity}"


class SliceEntry(models.Model):
    """One change of one slice: by a fill, by a transfer between traders, by handing over, or by funding."""

    class Kind(models.TextChoices):
        FILL = "fill", "Fill"
        TRANSFER = "transfer", "Internal transfer"
        HANDOVER = "handover", "Handed over"
        FUNDING = "funding", "Funding"

    slice = models.ForeignKey(PositionSlice, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO, help_text="Signed change of the slice.")
    notional = models.DecimalField(
        **MONEY_DIGITS,
        default=ZERO,
        help_text="Signed like the quantity; a slice's realized − cost = −Σ notional.",
    )
    price = models.DecimalField(**PRICE_DIGITS, default=ZERO)
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fee = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fill = models.ForeignKey(
        Fill, on_delete=models.PROTECT, null=True, blank=True, related_name="slice_entries"
    )
    transfer_id = models.UUIDField(null=True, blank=True, help_text="Shared by the two sides of a transfer.")
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "slice entries"
        constraints = [
            models.UniqueConstraint(
                fields=["slice", "fill"], condition=Q(fill__isnull=False), name="fill_once_per_slice"
            ),
            models.CheckConstraint(
                condition=~Q(kind="fill") | Q(fill__isnull=False), name="fill_entry_names_its_fill"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity}"
