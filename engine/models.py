"""The state of each portfolio's copy cycle, and every decision with its reason."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from execution.models import Order


class CycleState(models.Model):
    """When a portfolio's copy cycle is due and when it last ran. ``wanted_at`` is set to wake it."""

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="cycle"
    )
    wanted_at = models.DateTimeField(null=True, blank=True)
    wanted_why = models.CharField(max_length=120, blank=True, default="")
    ran_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(default=utc_now, db_index=True)
    run = models.PositiveIntegerField(default=1, help_text="World run in which it last ran.")
    forced_all = models.BooleanField(
        default=False, help_text="A setting or the set of follows changed: place all anew."
    )
    error = models.CharField(max_length=300, blank=True, default="")
    reconciled_at = models.DateTimeField(
        null=True, blank=True, help_text="When orders and fills were last compared with the venue."
    )
    idle = models.JSONField(
        default=list, help_text="What the traders wanted and is not there, by cause; as of the last cycle."
    )

    def __str__(self) -> str:
        return f"cycle of {self.portfolio_id}"


class Decision(models.Model):
    """One decision, to do something or not to, with a reason a person can read (BEY-3).

    ``fingerprint`` says what it was decided on; the same decision on the same inputs is stored once.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="decisions")
    kind = models.CharField(max_length=16)
    underlying = models.CharField(max_length=48, blank=True, default="")
    text = models.CharField(max_length=200, help_text="What happened, in a few words.")
    reason = models.CharField(max_length=400, blank=True, default="")
    follows = models.ManyToManyField(Follow, blank=True, related_name="decisions")
    order = models.ForeignKey(
        Order, on_delete=models.SET_NULL, null=True, blank=True, related_name="decisions"
    )
    data = models.JSONField(
        default=dict, help_text="Numbers behind it: before, after, limits; decimals as strings."
    )
    fingerprint = models.CharField(max_length=40, blank=True, default="")
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["portfolio", "-id"], name="decision_newest"),
            models.Index(
                fields=["portfolio", "underlying", "kind", "-id"],
                condition=~Q(fingerprint=""),
                name="decision_same_inputs",
            ),
        ]

    def __str__(self) -> str:
        return self.text


class Command(models.Model):
    """What a person asked the platform to do, until it is answered (VIEW-3). Kept for audit.

    accepted → running → done | refused | failed. The row is committed before the answer "accepted"; a
    message only hints that it is there. ``key`` comes from who asks: the same key is the same command.
    """

    class Kind(models.TextChoices):
        MODE = "mode", "Set the trading mode"
        CLOSE = "close", "Close a position or part of it"
        ENTRY = "entry", "Place a limit entry"
        CANCEL = "cancel", "Cancel an order"
        APPROVE = "approve", "Approve a conflict"
        REJECT = "reject", "Reject a conflict"
        FOLLOW_PAUSE = "follow_pause", "Pause a trader"
        FOLLOW_RESUME = "follow_resume", "Resume a trader"
        BREAKER_RESET = "breaker_reset", "Reset a breaker"
        LIMITS = "limits", "Change the limits"
        EMERGENCY_STOP = "emergency_stop", "Emergency stop"
        RESUME = "resume", "Resume after a stop"
        DRILL = "drill", "Emergency-stop drill"

    class Status(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        REFUSED = "refused", "Refused"
        FAILED = "failed", "Failed"

    id = models.UUIDField(primary_key=True)
    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="commands")
    asked_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, null=True, blank=True)
    via = models.CharField(max_length=12)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    data = models.JSONField(default=dict, help_text="The checked request; decimals as strings.")
    key = models.CharField(max_length=80)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACCEPTED)
    answer = models.CharField(max_length=400, blank=True, default="", help_text="What came of it, in words.")
    result = models.JSONField(default=dict)
    attempts = models.PositiveSmallIntegerField(default=0)
    accepted_at = models.DateTimeField(default=utc_now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-accepted_at"]
        indexes = [
            models.Index(fields=["portfolio", "-accepted_at"], name="command_newest"),
            models.Index(
                fields=["accepted_at"], condition=Q(status__in=["accepted", "running"]), name="command_open"
            ),
        ]
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "key"], name="command_once_per_key"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.status}"
