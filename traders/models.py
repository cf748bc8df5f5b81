"""Traders, their snapshots, reads that were not believed, and how each sync went."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from core.clock import utc_now
from core.decimals import MONEY_DIGITS
from core.types import TraderKind

KIND_CHOICES = [
    (TraderKind.HYPERLIQUID.value, "Hyperliquid wallet"),
    (TraderKind.REPLAY.value, "Recorded trader"),
]


class Trader(models.Model):
    """Someone whose positions can be followed; shared by everyone who follows them (FOL-2).

    ``key`` is the address of a wallet, or the name of a recorded trader inside its set.
    ``owner`` is set for traders behind private credentials: only the owner sees those.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        DEGRADED = "degraded", "Degraded"
        STALE = "stale", "Stale"

    kind = models.CharField(max_length=16, choices=KIND_CHOICES)
    key = models.CharField(max_length=120)
    name = models.CharField(max_length=80)
    monogram = models.CharField(max_length=2)
    detail = models.CharField(max_length=120, blank=True, default="")
    note = models.CharField(
        max_length=400, blank=True, default="", help_text="What the reader must know of this record."
    )
    world = models.CharField(max_length=48)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True)
    created_at = models.DateTimeField(default=utc_now, editable=False)

    sync_interval_s = models.PositiveIntegerField(default=60)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    next_sync_at = models.DateTimeField(default=utc_now, db_index=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="The scheduled moment that the running attempts serve; empty when it was met.",
    )
    synced_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    failing_since = models.DateTimeField(null=True, blank=True)
    failures_in_row = models.PositiveIntegerField(default=0)
    rate_limits_in_row = models.PositiveIntegerField(default=0)
    last_error = models.CharField(max_length=300, blank=True, default="")
    latest_snapshot = models.ForeignKey(
        "TraderSnapshot", on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    basis_snapshot = models.ForeignKey(
        "TraderSnapshot",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="The snapshot in which one of its quantities last changed; targets are scaled from it.",
    )

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "key", "world"],
                condition=models.Q(owner__isnull=True),
                name="trader_public_unique",
            ),
            models.UniqueConstraint(
                fields=["owner", "kind", "key", "world"],
                condition=models.Q(owner__isnull=False),
                name="trader_private_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(sync_interval_s__gte=10, sync_interval_s__lte=600),
                name="trader_interval_10s_to_10min",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TraderSnapshot(models.Model):
    """What one good read said: equity and open positions at one moment.

    ``positions`` is a list of ``{"code", "quantity" (signed), "entry_price", "mark_price", "opened_at"}``
    with decimals as strings, ordered by code; ``opened_at`` is null where the source does not say.
    ``first_seen`` maps a code to the time at which we first saw the position that is open now.
    """

    trader = models.ForeignKey(Trader, on_delete=models.CASCADE, related_name="snapshots")
    run = models.PositiveIntegerField(default=1)
    world_at = models.DateTimeField(help_text="World time of the read.")
    received_at = models.DateTimeField(default=utc_now)
    equity = models.DecimalField(**MONEY_DIGITS)
    positions = models.JSONField(default=list)
    first_seen = models.JSONField(default=dict)
    quantities_changed = models.BooleanField(default=False)

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["trader", "-id"], name="snapshot_newest"),
            models.Index(fields=["trader", "run", "world_at"], name="snapshot_by_world_time"),
            models.Index(fields=["received_at"], name="snapshot_age"),
        ]

    def __str__(self) -> str:
        return f"{self.trader_id} @ {self.world_at:%Y-%m-%d %H:%M:%S}"


class QuarantinedRead(models.Model):
    """A read that was too odd to believe (SYN-5). It changes nothing until a second read confirms it."""

    trader = models.ForeignKey(Trader, on_delete=models.CASCADE, related_name="quarantined_reads")
    at = models.DateTimeField(default=utc_now)
    reason = models.CharField(max_length=300)
    payload = models.JSONField()
    confirmed_at = models.DateTimeField(null=True, blank=True)
    dismissed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["trader"],
                condition=models.Q(confirmed_at__isnull=True, dismissed_at__isnull=True),
                name="one_open_quarantine_per_trader",
            )
        ]

    def __str__(self) -> str:
        return self.reason


class SyncAttempt(models.Model):
    """One attempt to read a trader, for the error rate of the last hour (SYN-4)."""

    class Outcome(models.TextChoices):
        GOOD = "good", "Good"
        CACHED = "cached", "From cache"
        RATE_LIMITED = "rate_limited", "Rate limited"
        FAILED = "failed", "Failed"
        QUARANTINED = "quarantined", "Quarantined"

    trader = models.ForeignKey(Trader, on_delete=models.CASCADE, related_name="sync_attempts")
    due_at = models.DateTimeField()
    finished_at = models.DateTimeField(default=utc_now)
    outcome = models.CharField(max_length=14, choices=Outcome.choices)
    duration_ms = models.PositiveIntegerField(default=0)
    detail = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["trader", "finished_at"], name="attempt_recent"),
            models.Index(fields=["finished_at"], name="attempt_age"),
        ]

    def __str__(self) -> str:
        return f"{self.trader_id} {self.outcome}"
