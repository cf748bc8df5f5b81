"""A portfolio's own limits and thresholds, and the trips of its breakers."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from allocation.models.follows import Follow
from core.clock import utc_now


class PortfolioLimits(models.Model):
    """A portfolio's own limits and breakers, instead of its profile's and the server's defaults.

    The limits count while the profile is "own"; the thresholds of the breakers count whenever a row exists.
    Fractions of 1 unless the name says otherwise.
    """

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="own_limits"
    )
    max_position = models.DecimalField(max_digits=5, decimal_places=4)
    max_asset_weight = models.DecimalField(max_digits=5, decimal_places=4)
    max_positions = models.PositiveSmallIntegerField()
    max_correlated = models.DecimalField(max_digits=5, decimal_places=4)
    max_gross = models.DecimalField(max_digits=5, decimal_places=4)
    max_open_orders = models.PositiveSmallIntegerField()
    daily_loss = models.DecimalField(max_digits=5, decimal_places=4)
    drawdown = models.DecimalField(max_digits=5, decimal_places=4)
    losses_in_a_row = models.PositiveSmallIntegerField()
    emergency_loss = models.DecimalField(max_digits=5, decimal_places=4)
    copy_stop = models.DecimalField(max_digits=5, decimal_places=4)
    updated_at = models.DateTimeField(default=utc_now)

    class Meta:
        verbose_name_plural = "portfolio limits"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    max_position__gt=0, max_asset_weight__gt=0, max_correlated__gt=0, max_gross__gt=0
                ),
                name="own_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(daily_loss__gt=0, drawdown__gt=0, emergency_loss__gt=0, copy_stop__gt=0),
                name="own_breakers_positive",
            ),
            models.CheckConstraint(
                condition=Q(daily_loss__lte=1, drawdown__lte=1, emergency_loss__lte=1, copy_stop__lte=1),
                name="own_breakers_fractions",
            ),
            models.CheckConstraint(
                condition=Q(max_positions__gte=1, max_open_orders__gte=1, losses_in_a_row__gte=1),
                name="own_limits_count",
            ),
        ]

    def __str__(self) -> str:
        return f"limits of {self.portfolio_id}"


class BreakerTrip(models.Model):
    """One time a breaker tripped (RSK-2); it stands until ``reset_at``.

    Several may stand at once; the portfolio's status is the strictest of their effects. Exits always pass.
    """

    class Kind(models.TextChoices):
        DAILY_LOSS = "daily_loss", "Daily loss"
        DRAWDOWN = "drawdown", "Drawdown"
        LOSSES_IN_A_ROW = "losses_in_a_row", "Losses in a row"
        EMERGENCY_LOSS = "emergency_loss", "Emergency liquidation"
        EMERGENCY_STOP = "emergency_stop", "Emergency stop"
        COPY_STOP = "copy_stop", "Copy stop-loss"
        MARGIN = "margin", "Maintenance margin"
        DEFICIT = "deficit", "Deficit"
        BOOKS = "books", "Books differ"
        VENUE = "venue", "Venue reports something odd"

    class Effect(models.TextChoices):
        REDUCING = "reducing", "No entries"
        HALTED = "halted", "Halted"
        FOLLOW = "follow", "One trader paused"

    class Resets(models.TextChoices):
        DAY = "day", "At the day roll"
        PERSON = "person", "By a person"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="breaker_trips")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, null=True, blank=True, related_name="trips")
    effect = models.CharField(max_length=8, choices=Effect.choices)
    resets = models.CharField(max_length=6, choices=Resets.choices)
    reason = models.CharField(max_length=240)
    value = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        help_text="What was measured: a fraction or a count.",
    )
    threshold = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    run = models.PositiveIntegerField(default=1)
    tripped_at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    reset_at = models.DateTimeField(null=True, blank=True)
    reset_world_at = models.DateTimeField(null=True, blank=True)
    reset_by = models.CharField(max_length=254, blank=True, default="", help_text="Who, or day roll.")
    reset_reason = models.CharField(max_length=240, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["portfolio", "-id"], name="breaker_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "kind", "follow"],
                condition=Q(reset_at__isnull=True),
                nulls_distinct=False,
                name="breaker_stands_once",
            ),
            models.CheckConstraint(
                condition=Q(effect="follow", follow__isnull=False)
                | (~Q(effect="follow") & Q(follow__isnull=True)),
                name="breaker_follow_where_meant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.portfolio_id}"
