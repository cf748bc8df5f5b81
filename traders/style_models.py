"""A trader's style by the hour, and alarms where it left its own history (BEY-7)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.clock import utc_now
from traders.domain.style import Measure

MEASURE_LABELS = {
    Measure.LEVERAGE: "Leverage",
    Measure.TURNOVER: "Turnover",
    Measure.HOLDING: "Holding time",
    Measure.INSTRUMENTS: "Instruments",
}


class StyleHour(models.Model):
    """What a trader's reads of one full hour of world time came to; see ``traders.domain.style``."""

    trader = models.ForeignKey("traders.Trader", on_delete=models.CASCADE, related_name="style_hours")
    run = models.PositiveIntegerField()
    hour_at = models.DateTimeField(help_text="World time at which the hour began.")
    reads = models.PositiveIntegerField()
    held_reads = models.PositiveIntegerField()
    leverage_sum = models.FloatField()
    turnover = models.FloatField()
    closed_h = models.JSONField(default=list)
    splits = models.JSONField(default=dict)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["trader", "run", "hour_at"], name="style_hour_once"),
        ]
        indexes = [models.Index(fields=["hour_at"], name="style_hour_age")]

    def __str__(self) -> str:
        return f"{self.trader_id} {self.hour_at:%d %b %H:00}"


class StyleAlarm(models.Model):
    """One time that a measure of a trader left its history, until it came back."""

    trader = models.ForeignKey("traders.Trader", on_delete=models.CASCADE, related_name="style_alarms")
    run = models.PositiveIntegerField()
    measure = models.CharField(
        max_length=12, choices=[(m.value, label) for m, label in MEASURE_LABELS.items()]
    )
    text = models.CharField(max_length=200, help_text="What changed, from what to what.")
    before = models.FloatField(help_text="Median of its history.")
    after = models.FloatField(help_text="Its last 24 hours.")
    z = models.FloatField(help_text="Robust z-score of the last 24 hours.")
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["trader", "measure"],
                condition=Q(ended_at__isnull=True),
                name="style_alarm_stands_once",
            ),
        ]

    def __str__(self) -> str:
        return self.text
