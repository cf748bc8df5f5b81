"""Traders, their snapshots, reads that were not believed, how each sync went, and the books of strategies."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from accounts.models import Credential
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS
from core.types import TraderKind
from traders.domain.signals import SignalSide
from traders.style_models import StyleAlarm, StyleHour

__all__ = [
    "QuarantinedRead",
    "StrategyBook",
    "StrategyLeg",
    "StrategySignal",
    "StyleAlarm",
    "StyleHour",
    "SyncAttempt",
    "Trader",
    "TraderSnapshot",
]

KIND_CHOICES = [
    (TraderKind.HYPERLIQUID.value, "Hyperliquid wallet"),
    (TraderKind.REPLAY.value, "Recorded trader"),
    (TraderKind.STRATEGY.value, "Built-in strategy"),
    (TraderKind.EXCHANGE.value, "Exchange account"),
    (TraderKind.EVM.value, "On-chain wallet"),
    (TraderKind.PUSH.value, "Agent that posts its positions"),
]
SIDE_CHOICES = [(side.value, side.value.capitalize()) for side in SignalSide]


class Trader(models.Model):
    """Someone whose positions can be followed; shared by everyone who follows them (FOL-2).

    ``key`` is the address of a wallet (``chain:0xaddress`` on a chain), the name of a recorded trader inside
    its set, ``strategy:set``, or ``venue:credential`` of an exchange account.
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
    credential = models.ForeignKey(
        Credential,
        on_delete=models.RESTRICT,
        null=True,
        blank=True,
        related_name="traders",
        help_text="The owner's key that it is read with.",
    )
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
            models.CheckConstraint(
                condition=~models.Q(kind=TraderKind.EXCHANGE)
                | models.Q(owner__isnull=False, credential__isnull=False),
                name="trader_exchange_has_owner_and_key",
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
    notes = models.JSONField(default=list, help_text="What a person should know of this read.")
    origin = models.JSONField(default=dict, help_text="What its source needs to know at the next read.")
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


class StrategyBook(models.Model):
    """The virtual money of a trader that is a strategy; advanced candle by candle, each exactly once.

    Whoever stores an advance raises ``version`` from the one it read, so that of two at once one counts.
    """

    trader = models.OneToOneField(
        Trader, on_delete=models.CASCADE, primary_key=True, related_name="strategy_book"
    )
    run = models.PositiveIntegerField(help_text="Run of the world; a new run begins a new book.")
    started_at = models.DateTimeField(help_text="World time from which its candles count.")
    cash = models.DecimalField(**MONEY_DIGITS)
    version = models.PositiveBigIntegerField(default=1)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(cash__gte=0), name="strategy_cash_positive")]

    def __str__(self) -> str:
        return f"book of {self.trader_id}"


class StrategyLeg(models.Model):
    """What a strategy's book has of one instrument, and up to where its candles are decided."""

    book = models.ForeignKey(StrategyBook, on_delete=models.CASCADE, related_name="legs")
    code = models.CharField(max_length=48)
    reached_at = models.DateTimeField(help_text="World time up to which candles are decided.")
    price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True, help_text="Close decided last.")
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=0)
    entry_price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True)
    opened_at = models.DateTimeField(null=True, blank=True, help_text="World time.")

    class Meta:
        ordering = ["code"]
        constraints = [
            models.UniqueConstraint(fields=["book", "code"], name="strategy_leg_once"),
            models.CheckConstraint(
                condition=models.Q(quantity=0, entry_price__isnull=True, opened_at__isnull=True)
                | models.Q(quantity__gt=0, entry_price__isnull=False, opened_at__isnull=False),
                name="strategy_leg_flat_or_entered",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.code}"


class StrategySignal(models.Model):
    """What a strategy said on one closed candle, why, and what its book did. Of a replay, the run's alone."""

    trader = models.ForeignKey(Trader, on_delete=models.CASCADE, related_name="signals")
    run = models.PositiveIntegerField()
    at = models.DateTimeField(help_text="World time at which the candle closed.")
    received_at = models.DateTimeField(default=utc_now, help_text="Wall time at which it was decided.")
    code = models.CharField(max_length=48)
    side = models.CharField(max_length=4, choices=SIDE_CHOICES)
    reason = models.CharField(max_length=500)
    readings = models.JSONField(default=dict)
    price = models.DecimalField(**PRICE_DIGITS, null=True, blank=True, help_text="The candle's close.")
    quantity = models.DecimalField(
        **QUANTITY_DIGITS, default=0, help_text="Units the book bought, negative where sold."
    )
    outcome = models.CharField(max_length=200, help_text="What the book did.")

    class Meta:
        ordering = ["-at", "code"]
        indexes = [
            models.Index(fields=["received_at"], name="signal_age"),
            models.Index(fields=["trader", "-at", "code"], name="signal_newest"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["trader", "code", "run", "at"], name="signal_once_a_candle")
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.code} at {self.at:%Y-%m-%d %H:%M}"


class PushAgent(models.Model):
    """An outside agent that posts its positions, and its last post. The trader is private to its owner.

    ``sealed`` is the secret it signs with; a revoked agent has lost it. ``sequence`` only rises.
    """

    trader = models.OneToOneField(
        Trader, on_delete=models.CASCADE, primary_key=True, related_name="push_agent"
    )
    public_id = models.UUIDField(unique=True, help_text="In the address it posts to.")
    sealed = models.TextField(blank=True, default="", help_text="Encrypted; empty once it is revoked.")
    interval_s = models.PositiveIntegerField(default=300, help_text="It promises to post this often.")
    sequence = models.PositiveBigIntegerField(default=0, help_text="Of the last post; 0 before the first.")
    digest = models.CharField(max_length=64, blank=True, default="", help_text="SHA-256 of its body.")
    payload = models.JSONField(null=True, blank=True, help_text="What was read from it.")
    at = models.DateTimeField(null=True, blank=True, help_text="When it was so, as the agent says.")
    posted_at = models.DateTimeField(null=True, blank=True, help_text="When it came.")
    paced_at = models.DateTimeField(default=utc_now, help_text="Room for posts is used up to then.")
    created_at = models.DateTimeField(default=utc_now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(revoked_at__isnull=True) & ~models.Q(sealed="")
                | models.Q(revoked_at__isnull=False, sealed=""),
                name="agent_sealed_until_revoked",
            ),
            models.CheckConstraint(
                condition=models.Q(sequence=0, at__isnull=True, posted_at__isnull=True, payload__isnull=True)
                | models.Q(sequence__gt=0, at__isnull=False, posted_at__isnull=False, payload__isnull=False),
                name="agent_post_whole",
            ),
            models.CheckConstraint(
                condition=models.Q(interval_s__gte=10, interval_s__lte=86_400),
                name="agent_interval_10s_to_day",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)
