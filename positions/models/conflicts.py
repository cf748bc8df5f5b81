"""Conflict rules per underlying, how conflicts were resolved, and those that wait for their owner."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import RULE_CHOICES, Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS


class ConflictOverride(models.Model):
    """A conflict rule for one underlying, instead of the portfolio's (CON-2)."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="conflict_overrides")
    underlying = models.CharField(max_length=48)
    rule = models.CharField(max_length=8, choices=RULE_CHOICES)

    class Meta:
        ordering = ["underlying"]
        constraints = [models.UniqueConstraint(fields=["portfolio", "underlying"], name="override_once")]

    def __str__(self) -> str:
        return f"{self.underlying}: {self.rule}"


class ConflictRecord(models.Model):
    """How one conflict was resolved (CON-3): who held what, rule, before, after, why capped.

    The newest record of an underlying with ``ended_at`` empty is the conflict that stands now.
    ``holders``: list of {follow_id, side, quantity, notional, counted, opened_at}, decimals as strings.
    """

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="conflicts")
    underlying = models.CharField(max_length=48)
    kind = models.CharField(max_length=8, choices=[("overlap", "Overlap"), ("opposed", "Opposed")])
    rule = models.CharField(max_length=8, choices=RULE_CHOICES)
    holders = models.JSONField()
    before_quantity = models.DecimalField(**QUANTITY_DIGITS)
    after_quantity = models.DecimalField(**QUANTITY_DIGITS)
    after_notional = models.DecimalField(**MONEY_DIGITS)
    mark_price = models.DecimalField(**PRICE_DIGITS)
    capped_reason = models.CharField(max_length=300, blank=True, default="")
    fingerprint = models.CharField(max_length=40)
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["portfolio", "-id"], name="conflict_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "underlying"],
                condition=Q(ended_at__isnull=True),
                name="one_standing_conflict",
            )
        ]

    def __str__(self) -> str:
        return f"{self.underlying} {self.kind}"


class ConflictApproval(models.Model):
    """A conflict that waits for its owner, with what each rule would make of it (CON-4).

    While one waits the old target stands, but for reductions that every rule would make. ``previews`` is
    {rule: {"before", "after", "notional", "capped"}}, decimals as strings.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        APPROVED = "approved", "Approved"
        REJECTED = "rejected", "Rejected"
        LAPSED = "lapsed", "Lapsed"
        OVER = "over", "Over before it was decided"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="conflict_approvals")
    underlying = models.CharField(max_length=48)
    kind = models.CharField(max_length=8, choices=[("overlap", "Overlap"), ("opposed", "Opposed")])
    fingerprint = models.CharField(max_length=40, help_text="Of who wants what; a new wish asks anew.")
    holders = models.JSONField()
    previews = models.JSONField()
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    rule = models.CharField(max_length=8, choices=RULE_CHOICES, blank=True, default="")
    run = models.PositiveIntegerField(default=1)
    asked_at = models.DateTimeField(default=utc_now)
    lapses_at = models.DateTimeField(help_text="Wall time, 15 minutes after it was asked.")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["portfolio", "-id"], name="approval_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "underlying"], condition=Q(status="waiting"), name="approval_waits_once"
            ),
            models.CheckConstraint(
                condition=~Q(status="approved") | ~Q(rule=""), name="approval_names_its_rule"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.underlying} {self.status}"
