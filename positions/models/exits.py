"""What guards each open position: the defaults of its portfolio, and its own levels (EXT-1, EXT-2).

Percentages are in percent (8 is 8 %), as people write them; 0 turns a rule off. ``take_profit`` is a list of
{"gain_pct" or "price", "fraction_pct"}, decimals as strings.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import PRICE_DIGITS, ColumnDigits
from markets.models import Instrument, World
from positions.models.books import Position

PCT_DIGITS: ColumnDigits = {"max_digits": 9, "decimal_places": 4}
DAY_DIGITS: ColumnDigits = {"max_digits": 12, "decimal_places": 6}


class ExitRules(models.Model):
    """The rules, as they are written down."""

    stop_loss_pct = models.DecimalField(**PCT_DIGITS, help_text="Below the average entry price.")
    trail_from_pct = models.DecimalField(**PCT_DIGITS, help_text="Gain from which the stop trails.")
    trail_by_pct = models.DecimalField(**PCT_DIGITS, help_text="Below the best price since.")
    time_stop_days = models.DecimalField(**DAY_DIGITS, help_text="World time since it was opened.")
    take_profit = models.JSONField(default=list, blank=True)

    class Meta:
        abstract = True


class ExitDefaults(ExitRules):
    """What guards a portfolio's new positions; without a row the site's settings do."""

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="exit_defaults"
    )
    stops_at_venue = models.BooleanField(
        default=False, help_text="Let stops also rest at the venue, where it supports that."
    )
    updated_at = models.DateTimeField(default=utc_now)

    class Meta:
        verbose_name_plural = "exit defaults"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    stop_loss_pct__gte=0,
                    stop_loss_pct__lt=100,
                    trail_from_pct__gte=0,
                    trail_by_pct__gte=0,
                    trail_by_pct__lt=100,
                    time_stop_days__gte=0,
                ),
                name="exit_defaults_make_sense",
            )
        ]

    def __str__(self) -> str:
        return f"exits of {self.portfolio_id}"


class ExitGuard(ExitRules):
    """The levels at which one open position is closed, and how far its price has been (EXT-1).

    It begins with the first fill and anew where the position changes its side. Within one life
    (``episode``) the database refuses to loosen a stop (invariant 7). The exit watch moves ``peak_price``,
    ``trail_price`` and ``steps_done``; fills and people move the rest and raise ``version``, by which the
    watch sees that it must look again.
    """

    position = models.OneToOneField(
        Position, on_delete=models.CASCADE, primary_key=True, related_name="guard"
    )
    world = models.ForeignKey(World, on_delete=models.CASCADE, related_name="+")
    run = models.PositiveIntegerField(default=1)
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="+")
    sign = models.SmallIntegerField(help_text="1 long, -1 short.")
    episode = models.PositiveIntegerField(default=1)
    own = models.BooleanField(default=False, help_text="Its owner set these rules for this position.")
    entry_price = models.DecimalField(**PRICE_DIGITS, help_text="Average entry.")
    opened_world_at = models.DateTimeField()
    peak_price = models.DecimalField(**PRICE_DIGITS)
    first_stop_price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True)
    stop_price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True)
    trail_price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True)
    steps_done = models.PositiveSmallIntegerField(default=0)
    since = models.DateTimeField(help_text="Wall time; prices that arrived later are looked at.")
    levels_from = models.DateTimeField(
        help_text="Wall time; prices that arrived later can hit the levels as they stand."
    )
    place = models.CharField(
        max_length=32,
        blank=True,
        default="",
        help_text="Where on the tick tape the levels stand; prices up to there cannot hit them any more.",
    )
    place_version = models.PositiveIntegerField(
        default=0, help_text="The version that was looked at there; a newer one was not looked at yet."
    )
    version = models.PositiveIntegerField(default=1)
    changed_at = models.DateTimeField(default=utc_now, help_text="When the version was raised.")
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [
            models.Index(
                fields=["instrument", "world"], condition=Q(ended_at__isnull=True), name="guard_of_instrument"
            ),
            models.Index(fields=["changed_at"], name="guard_changed"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(sign__in=(1, -1)), name="guard_has_a_side"),
            models.CheckConstraint(
                condition=Q(entry_price__gt=0, peak_price__gt=0), name="guard_prices_positive"
            ),
            models.CheckConstraint(
                condition=Q(
                    stop_loss_pct__gte=0, stop_loss_pct__lt=100, trail_by_pct__gte=0, trail_by_pct__lt=100
                ),
                name="guard_makes_sense",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instrument_id} {self.stop_price}"
