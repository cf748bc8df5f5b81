"""Stops of ours that rest at a venue, beside the exit watch (EXT-2)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import PRICE_DIGITS, QUANTITY_DIGITS
from execution.models import SIDE_CHOICES, Order
from positions.models.books import Position


class VenueStop(models.Model):
    """One stop, from before it is sent to its end.

    placing → resting → leaving → cancelled, refused or gone; touched from any of the first three. A stop that
    is moved leaves only once the new one rests, so a position is never without one for longer than needed:
    at most one is placing and one resting per position, any number leave, and all of them are reduce-only.

    A row is committed before the venue hears of it. Touched, it becomes the order of the same client id.
    """

    class Status(models.TextChoices):
        PLACING = "placing", "Being placed"
        RESTING = "resting", "Rests at the venue"
        LEAVING = "leaving", "Being taken back"
        TRIGGERED = "triggered", "Touched"
        CANCELLED = "cancelled", "Taken back"
        REFUSED = "refused", "Refused by the venue"
        GONE = "gone", "Not known to the venue"

    GUARDING = ("placing", "resting")
    STANDING = ("placing", "resting", "leaving")

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="venue_stops")
    position = models.ForeignKey(Position, on_delete=models.CASCADE, related_name="venue_stops")
    episode = models.PositiveIntegerField(help_text="Of the guard it stands for.")
    kind = models.CharField(max_length=12, help_text="Which rule's level it is.")
    venue = models.CharField(max_length=24)
    client_order_id = models.CharField(max_length=34, unique=True)
    side = models.CharField(max_length=4, choices=SIDE_CHOICES)
    quantity = models.DecimalField(**QUANTITY_DIGITS)
    trigger_price = models.DecimalField(**PRICE_DIGITS)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PLACING)
    reason = models.CharField(max_length=300, blank=True, default="")
    order = models.OneToOneField(
        Order, on_delete=models.PROTECT, null=True, blank=True, help_text="What it became when touched."
    )
    created_at = models.DateTimeField(default=utc_now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["id"],
                condition=Q(status__in=["placing", "resting", "leaving"]),
                name="venue_stop_standing",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["position"], condition=Q(status="placing"), name="venue_stop_placing_once"
            ),
            models.UniqueConstraint(
                fields=["position"], condition=Q(status="resting"), name="venue_stop_rests_once"
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0, trigger_price__gt=0), name="venue_stop_makes_sense"
            ),
            models.CheckConstraint(
                condition=Q(status="triggered") | Q(order__isnull=True), name="venue_stop_order_if_touched"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} at {self.trigger_price} {self.status}"
