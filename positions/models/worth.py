"""What a portfolio is worth, now and over time."""

from __future__ import annotations

from decimal import Decimal

from django.db import models

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS

ZERO = Decimal(0)


class Valuation(models.Model):
    """A portfolio's worth now, its peak and its start of day; percentages are per fund unit, free of flows.

    ``unit_value`` = equity ÷ units starts at 1.
    """

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="valuation"
    )
    equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    peak_equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    peak_unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    peak_at = models.DateTimeField(null=True, blank=True)
    day_start_at = models.DateTimeField(
        null=True, blank=True, help_text="World time of the UTC day's first valuation."
    )
    day_start_equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    day_start_unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    day_start_deposits_net = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(null=True, blank=True)
    world_at = models.DateTimeField(null=True, blank=True)
    point_at = models.DateTimeField(null=True, blank=True, help_text="Wall time of the curve's newest point.")

    def __str__(self) -> str:
        return f"{self.equity}"


class EquityPoint(models.Model):
    """One point of a portfolio's equity curve."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="equity_points")
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    equity = models.DecimalField(**MONEY_DIGITS)
    unit_value = models.DecimalField(max_digits=24, decimal_places=12)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["portfolio", "run", "world_at"], name="equity_curve")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "run", "world_at"], name="equity_one_point_per_moment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.equity} @ {self.world_at:%Y-%m-%d %H:%M}"
