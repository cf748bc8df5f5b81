"""What owners said of their traders' changes of style (BEY-7)."""

from __future__ import annotations

from django.db import models

from allocation.models import Follow
from core.clock import utc_now
from traders.models import StyleAlarm


class StyleDismissal(models.Model):
    """For this follow the alarm is over: what it tells of is the trader's new normal."""

    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, related_name="style_dismissals")
    alarm = models.ForeignKey(StyleAlarm, on_delete=models.CASCADE, related_name="dismissals")
    at = models.DateTimeField(default=utc_now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["follow", "alarm"], name="style_dismissed_once")]

    def __str__(self) -> str:
        return f"{self.follow_id} {self.alarm_id}"
