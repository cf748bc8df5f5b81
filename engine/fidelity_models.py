"""Fidelity: what each slice of a copying order answers to, and how its fills compare (BEY-2)."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import F, Q

from allocation.models import Follow
from core.clock import utc_now
from core.decimals import PRICE_DIGITS, QUANTITY_DIGITS, ColumnDigits
from engine.domain.fidelity import PriceKind
from execution.models import Fill, OrderSlice

KIND_LABELS = {
    PriceKind.FILL: "Its own trades",
    PriceKind.ENTRY: "Its entry price",
    PriceKind.ADDED: "What moved its average entry",
    PriceKind.SEEN: "The mark when its change was first read",
    PriceKind.JOINED: "Its entry, from before you followed",
    PriceKind.NOBODY: "No trade of its own: the mark decided on",
}


BPS_DIGITS: Final[ColumnDigits] = {"max_digits": 14, "decimal_places": 4}
SECONDS_DIGITS: Final[ColumnDigits] = {"max_digits": 12, "decimal_places": 3}


class CopiedSlice(models.Model):
    """What one trader did that its part of an order copies, kept when the order is stored.

    Quantities are signed changes of its slice, in units of our instrument; prices per such unit.
    """

    order_slice = models.OneToOneField(
        OrderSlice, on_delete=models.CASCADE, primary_key=True, related_name="copied"
    )
    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, related_name="copied_slices")
    underlying = models.CharField(max_length=48)
    run = models.PositiveIntegerField(default=1)
    wished = models.DecimalField(
        **QUANTITY_DIGITS, help_text="Change that the trader's scaled target asked for."
    )
    sent = models.DecimalField(
        **QUANTITY_DIGITS, help_text="Change that this order and internal transfers make."
    )
    unsized_bps = models.DecimalField(
        **BPS_DIGITS, null=True, blank=True, help_text="Part of the wish not copied."
    )
    own_price = models.DecimalField(**PRICE_DIGITS, help_text="The trader's own.")
    price_kind = models.CharField(
        max_length=8, choices=[(kind.value, label) for kind, label in KIND_LABELS.items()]
    )
    acted_from_at = models.DateTimeField(
        null=True, blank=True, help_text="World time before which the trader did not act."
    )
    acted_until_at = models.DateTimeField(
        null=True, blank=True, help_text="World time by which the trader had acted."
    )
    done = models.BooleanField(default=False, help_text="All its fills are measured and no more can come.")

    class Meta:
        ordering = ["order_slice"]
        indexes = [
            models.Index(fields=["order_slice"], condition=Q(done=False), name="copied_unmeasured"),
            models.Index(fields=["follow", "underlying", "-order_slice"], name="copied_newest"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(own_price__gt=0), name="copied_own_price_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.follow_id} {self.underlying} at {self.own_price}"


class FillFidelity(models.Model):
    """One fill of one trader's part of an order against the trader's own price; positive is worse for us."""

    fill = models.ForeignKey(Fill, on_delete=models.CASCADE, related_name="fidelity")
    copied = models.ForeignKey(CopiedSlice, on_delete=models.CASCADE, related_name="fidelity")
    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, related_name="fidelity")
    run = models.PositiveIntegerField(default=1)
    world_at = models.DateTimeField(help_text="World time of the fill.")
    quantity = models.DecimalField(**QUANTITY_DIGITS, help_text="The trader's part of the fill, signed.")
    delay_bps = models.DecimalField(**BPS_DIGITS, help_text="Mark decided on against the trader's own price.")
    execution_bps = models.DecimalField(
        **BPS_DIGITS, help_text="Our price against the mark decided on: spread and slippage."
    )
    fee_bps = models.DecimalField(**BPS_DIGITS)
    whole_bps = models.DecimalField(**BPS_DIGITS)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["follow", "run", "world_at"], name="fidelity_recent")]
        constraints = [
            models.UniqueConstraint(fields=["fill", "copied"], name="fidelity_once"),
            models.CheckConstraint(
                condition=Q(whole_bps=F("delay_bps") + F("execution_bps") + F("fee_bps")),
                name="fidelity_parts_are_the_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.whole_bps} bps"


class FollowFidelity(models.Model):
    """A trader's fidelity over the last 30 days of world time: medians of its parts, and p95 of the whole.

    Fills that copy no trade of its own, or one from before it was followed, are not in it.
    """

    follow = models.OneToOneField(
        Follow, on_delete=models.CASCADE, primary_key=True, related_name="fidelity_summary"
    )
    run = models.PositiveIntegerField(default=1)
    fills = models.PositiveIntegerField()
    whole_p50_bps = models.DecimalField(**BPS_DIGITS)
    whole_p95_bps = models.DecimalField(**BPS_DIGITS)
    delay_p50_bps = models.DecimalField(**BPS_DIGITS)
    execution_p50_bps = models.DecimalField(**BPS_DIGITS)
    fee_p50_bps = models.DecimalField(**BPS_DIGITS)
    unsized_p50_bps = models.DecimalField(**BPS_DIGITS, null=True, blank=True)
    lag_least_p50_s = models.DecimalField(
        **SECONDS_DIGITS,
        null=True,
        blank=True,
        help_text="From the trader's act to our fill, world time: at least.",
    )
    lag_most_p50_s = models.DecimalField(
        **SECONDS_DIGITS, null=True, blank=True, help_text="The same: at most."
    )
    updated_at = models.DateTimeField(default=utc_now)

    def __str__(self) -> str:
        return f"{self.whole_p50_bps} bps over {self.fills} fills"
