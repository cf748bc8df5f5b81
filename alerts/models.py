"""What people are told, and how: alerts, channels, deliveries, quiet hours; and tasks that failed."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from accounts.models import Portfolio, User
from core.clock import utc_now


class AlertKind(models.TextChoices):
    """What an alert is about; how urgent each is stands in ``alerts.domain.kinds``."""

    EMERGENCY = "emergency", _("Emergency stop or liquidation")
    BREAKER = "breaker", _("Breaker tripped")
    LIMIT = "limit", _("Limit reached")
    ORDER = "order", _("Order failed")
    UNKNOWN_ORDER = "unknown_order", _("Order without an answer")
    CONFLICT = "conflict", _("Conflict waiting for you")
    TRADER = "trader", _("Trader cannot be read, or can again")
    STYLE = "style", _("Trader changed its style")
    BOOKS = "books", _("Books differ")
    LIVE = "live", _("Account or key at a venue")
    SIGN_IN = "sign_in", _("Sign-in from a new device")
    WORKERS = "workers", _("Worker silent")
    BUDGET = "budget", _("Request budget used up")
    AUDIT = "audit", _("Books audit")


class Alert(models.Model):
    """One thing one person is told of; also the outbox its deliveries hang from.

    What happens again under the same ``key`` while the row is open is counted and not told anew. A row of
    something that lasts (``standing``) stays open until that ends; any other until its window is over.
    """

    Kind = AlertKind

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="alerts")
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    kind = models.CharField(max_length=16, choices=AlertKind.choices)
    key = models.CharField(max_length=120, help_text="The same thing again has the same key.")
    title = models.CharField(max_length=200)
    body = models.CharField(max_length=600, blank=True, default="")
    raised_at = models.DateTimeField(default=utc_now)
    last_at = models.DateTimeField(default=utc_now, help_text="When it happened last.")
    count = models.PositiveIntegerField(default=1)
    missed = models.PositiveIntegerField(
        default=0, help_text="How often it had happened since the message about it before this one."
    )
    told = models.PositiveIntegerField(default=0, help_text="How many of the count a message told.")
    standing = models.BooleanField(default=False)
    open = models.BooleanField(default=True)
    read_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["owner", "-id"], name="alert_newest"),
            models.Index(fields=["owner"], condition=Q(read_at__isnull=True), name="alert_unread"),
            models.Index(fields=["last_at"], name="alert_last"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["owner", "key"], condition=Q(open=True), name="alert_open_once"),
            models.CheckConstraint(condition=Q(kind__in=AlertKind.values), name="alert_kind_known"),
            models.CheckConstraint(condition=Q(told__lte=F("count")), name="alert_told_at_most_count"),
        ]

    def __str__(self) -> str:
        return self.title


class AlertChannel(models.Model):
    """One way to reach a person. Its address is sealed, since whoever knows it can write there.

    One sender at a time: it claims the row, and a claim that is a minute old is void.
    """

    class Service(models.TextChoices):
        EMAIL = "email", _("E-mail")
        TELEGRAM = "telegram", "Telegram"
        SLACK = "slack", "Slack"
        DISCORD = "discord", "Discord"
        WEBHOOK = "webhook", "Webhook"
        OTHER = "other", _("Another service")

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="alert_channels")
    service = models.CharField(max_length=8, choices=Service.choices)
    name = models.CharField(max_length=80, help_text="What its owner calls it.")
    mask = models.CharField(max_length=400, help_text="What may be shown of the address.")
    sealed = models.TextField(help_text="The address, encrypted.")
    kinds = models.JSONField(default=list, help_text="What goes there.")
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=utc_now, editable=False)
    claimed_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(default=utc_now, help_text="Nothing is sent before.")
    failures = models.PositiveIntegerField(default=0, help_text="In a row.")
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, default="")
    error_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "name"], name="alert_channel_name_unique"),
            models.CheckConstraint(condition=~Q(sealed=""), name="alert_channel_sealed"),
        ]

    def __str__(self) -> str:
        return f"{self.service} {self.mask}"


class AlertDelivery(models.Model):
    """One alert on its way through one channel."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        SENT = "sent", _("Sent")
        FAILED = "failed", _("Given up")

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.ForeignKey(AlertChannel, on_delete=models.CASCADE, related_name="deliveries")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    due_at = models.DateTimeField(help_text="Later than raised where quiet hours hold it back.")
    attempts = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "alert deliveries"
        indexes = [
            models.Index(fields=["channel", "due_at"], condition=Q(status="waiting"), name="delivery_waiting")
        ]
        constraints = [
            models.UniqueConstraint(fields=["alert", "channel"], name="delivery_once_per_channel"),
            models.CheckConstraint(
                condition=Q(status="sent", sent_at__isnull=False)
                | ~Q(status="sent") & Q(sent_at__isnull=True),
                name="delivery_sent_has_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.alert_id} by {self.channel_id}: {self.status}"


class QuietTime(models.Model):
    """When a person is left alone, by the clock on the wall in their own time zone."""

    owner = models.OneToOneField(User, on_delete=models.CASCADE, primary_key=True, related_name="quiet_time")
    begins = models.TimeField()
    ends = models.TimeField()

    def __str__(self) -> str:
        return f"{self.begins:%H:%M} to {self.ends:%H:%M}"


class TaskFailure(models.Model):
    """Background work that ended with an error: where, never with which values."""

    at = models.DateTimeField(default=utc_now)
    task = models.CharField(max_length=80)
    worker = models.CharField(max_length=120, blank=True, default="")
    error = models.CharField(max_length=120, help_text="The class of the error.")
    trace = models.TextField(help_text="Files, lines and functions; no variable and no message.")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["at"], name="task_failure_at")]

    def __str__(self) -> str:
        return f"{self.task}: {self.error}"
