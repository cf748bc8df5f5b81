"""The audit log's one table."""

from __future__ import annotations

from django.db import models

from core.clock import utc_now


class AuditEntry(models.Model):
    """One thing that somebody did or tried, kept for good (SEC-2).

    The database itself refuses to change, delete or truncate these rows, for every role. Hence no foreign
    keys: what is named here may be gone one day, the entry stays.
    """

    class Via(models.TextChoices):
        PAGE = "page", "Page"
        API = "api", "API"
        COMMAND_LINE = "command_line", "Command line"
        ADMIN = "admin", "Admin"
        SYSTEM = "system", "System"

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"

    at = models.DateTimeField(default=utc_now, editable=False)
    actor_id = models.BigIntegerField(null=True, blank=True, help_text="User; empty for the system.")
    actor_name = models.CharField(
        max_length=254, help_text="E-mail address then, or what part of the system."
    )
    via = models.CharField(max_length=12, choices=Via.choices)
    portfolio_id = models.BigIntegerField(null=True, blank=True)
    action = models.CharField(max_length=48, help_text="What, e.g. position.close.")
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    text = models.CharField(max_length=300, blank=True, default="", help_text="In words, for a person.")
    data = models.JSONField(default=dict, help_text="What was asked, decimals as strings; never a secret.")
    command_id = models.UUIDField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["portfolio_id", "-id"], name="audit_newest")]

    def __str__(self) -> str:
        return f"{self.action} {self.outcome}"
