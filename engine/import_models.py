"""State files that people brought, from the preview to the report of what was taken over (DAT-1)."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from core.clock import utc_now


class StateImport(models.Model):
    """One file, what was understood of it, and the portfolio it became. The report is kept for good."""

    class Status(models.TextChoices):
        PREVIEWED = "previewed", "Previewed"
        DONE = "done", "Taken over"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="imports")
    text = models.TextField(help_text="The file, as it came.")
    report = models.JSONField(default=dict, help_text="What would be, or was, taken over; decimals as text.")
    status = models.CharField(max_length=9, choices=Status.choices, default=Status.PREVIEWED)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.SET_NULL, null=True, blank=True, related_name="imports"
    )
    created_at = models.DateTimeField(default=utc_now)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["owner", "-id"], name="import_newest")]
        constraints = [
            models.CheckConstraint(
                condition=~Q(status="done") | Q(done_at__isnull=False), name="import_done_has_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"import {self.pk}"
