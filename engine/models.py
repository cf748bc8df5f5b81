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
