"""Browsers a person has signed in from."""

from __future__ import annotations

from django.db import models

from accounts.models.people import User
from core.clock import utc_now


class KnownDevice(models.Model):
    """A browser that has signed in to an account, known again by a random cookie; we keep its digest."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="devices")
    digest = models.CharField(max_length=64, help_text="SHA-256 of the cookie, in hex.")
    device = models.CharField(max_length=80, help_text="What the browser calls itself, in words.")
    first_seen_at = models.DateTimeField(default=utc_now)
    last_seen_at = models.DateTimeField(default=utc_now)

    class Meta:
        ordering = ["-last_seen_at"]
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="device_known_once_per_user"),
        ]

    def __str__(self) -> str:
        return self.device
