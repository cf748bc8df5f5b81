"""Every change of a followed trader, with the decision it got (BEY-3)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from allocation.models import Follow
from core.clock import utc_now
from core.decimals import QUANTITY_DIGITS
from engine.domain.trader_changes import Change

CHANGE_CHOICES = [(change.value, change.value.capitalize()) for change in Change]


class AnsweredChange(models.Model):
    """One change of one underlying by a followed trader, and what was decided on it first.

    What followed from a delay is in later decisions of the same trader and underlying. Quantities are the
    trader's own, signed, in units of the underlying. Without a decision there is no row.
    """

    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, related_name="changes")
    decision = models.ForeignKey("engine.Decision", on_delete=models.PROTECT, related_name="changes")
    snapshot_id = models.BigIntegerField(help_text="Of the trader; kept for longer than the snapshot itself.")
    underlying = models.CharField(max_length=48)
    change = models.CharField(max_length=10, choices=CHANGE_CHOICES)
    before = models.DecimalField(**QUANTITY_DIGITS)
    after = models.DecimalField(**QUANTITY_DIGITS)
    run = models.PositiveIntegerField(default=1)
    world_at = models.DateTimeField(help_text="World time of the snapshot that showed it.")
    seen_at = models.DateTimeField(help_text="Wall time at which that snapshot was stored.")
    decided_at = models.DateTimeField(default=utc_now)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["follow", "-id"], name="change_newest"),
            models.Index(fields=["follow", "snapshot_id"], name="change_by_snapshot"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["follow", "snapshot_id", "underlying"], name="change_answered_once"
            ),
            models.CheckConstraint(
                condition=Q(change__in=[change.value for change in Change]), name="change_is_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.change} {self.underlying}"
