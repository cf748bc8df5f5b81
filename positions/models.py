"""Positions with a slice per trader, the entries that made them, conflicts, and equity over time.

Signs: quantities and costs are positive for long and negative for short. ``cost`` is quantity ×
average entry price, kept instead of the average so that nothing is lost to rounding;
unrealized P&L = quantity × mark − cost.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import Q

from accounts.models import POLICY_CHOICES, RULE_CHOICES, Portfolio
from allocation.models import Follow
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS
from execution.models import Fill
from markets.models import Instrument

ZERO = Decimal(0)


class Position(models.Model):
    """What a portfolio holds of one underlying. It stays open while any slice is not zero,
    also when the slices net to a quantity of 0."""

    class Status(models.TextChoices):
        OPENING = "opening", "Opening"
        ACTIVE = "active", "Active"
        PARTIAL_EXIT = "partial_exit", "Partly closed"
        CLOSING = "closing", "Closing"
        CLOSED = "closed", "Closed"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="positions")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="positions")
    underlying = models.CharField(max_length=48)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES)
    status = models.CharField(max_length=12, choices=Status.choices, default=Status.OPENING)
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    cost = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    margin = models.DecimalField(
        **MONEY_DIGITS, default=ZERO, help_text="Committed behind a perpetual position."
    )
    margin_rate = models.DecimalField(max_digits=9, decimal_places=8, default=1, help_text="1 ÷ leverage.")
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO, help_text="Before fees and funding.")
    fees = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO, help_text="Positive was received.")
    funded_until = models.DateTimeField(
        null=True, blank=True, help_text="World time up to which funding is booked."
    )
    run = models.PositiveIntegerField(default=1)
    opened_at = models.DateTimeField(default=utc_now)
    opened_world_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_world_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["portfolio", "-closed_at", "-id"],
                condition=Q(status="closed"),
                name="position_closed_newest",
            )
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "underlying"],
                condition=~Q(status="closed"),
                name="one_open_position_per_underlying",
            ),
            models.CheckConstraint(
                condition=~Q(status="closed") | Q(quantity=0, cost=0, margin=0),
                name="position_closed_is_empty",
            ),
            models.CheckConstraint(
                condition=~Q(policy="spot") | Q(quantity__gte=0), name="position_spot_never_short"
            ),
            models.CheckConstraint(condition=Q(margin__gte=0), name="position_margin_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.instrument_id}"


class PositionSlice(models.Model):
    """One trader's part of a position (follow null: the owner's own part). Σ slices = position."""

    position = models.ForeignKey(Position, on_delete=models.CASCADE, related_name="slices")
    follow = models.ForeignKey(Follow, on_delete=models.PROTECT, null=True, blank=True, related_name="slices")
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    cost = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fees = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["position", "follow"], nulls_distinct=False, name="slice_unique")
        ]

    def __str__(self) -> str:
        return f"{self.follow_id} {self.quantity}"


class SliceEntry(models.Model):
    """One change of one slice: by a fill, by a transfer between traders, by handing over, or by funding."""

    class Kind(models.TextChoices):
        FILL = "fill", "Fill"
        TRANSFER = "transfer", "Internal transfer"
        HANDOVER = "handover", "Handed over"
        FUNDING = "funding", "Funding"

    slice = models.ForeignKey(PositionSlice, on_delete=models.CASCADE, related_name="entries")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO, help_text="Signed change of the slice.")
    notional = models.DecimalField(
        **MONEY_DIGITS,
        default=ZERO,
        help_text="Signed like the quantity; a slice's realized − cost = −Σ notional.",
    )
    price = models.DecimalField(**PRICE_DIGITS, default=ZERO)
    realized_pnl = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fee = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    funding = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fill = models.ForeignKey(
        Fill, on_delete=models.PROTECT, null=True, blank=True, related_name="slice_entries"
    )
    transfer_id = models.UUIDField(null=True, blank=True, help_text="Shared by the two sides of a transfer.")
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "slice entries"
        constraints = [
            models.UniqueConstraint(
                fields=["slice", "fill"], condition=Q(fill__isnull=False), name="fill_once_per_slice"
            ),
            models.CheckConstraint(
                condition=~Q(kind="fill") | Q(fill__isnull=False), name="fill_entry_names_its_fill"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity}"


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


class Valuation(models.Model):
    """A portfolio's worth now, its peak and its start of day; percentages are per fund unit, free of flows.

    ``unit_value`` = equity ÷ units starts at 1.
    """

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="valuation"
    )
    equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    peak_equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    peak_unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    peak_at = models.DateTimeField(null=True, blank=True)
    day_start_at = models.DateTimeField(
        null=True, blank=True, help_text="World time of the UTC day's first valuation."
    )
    day_start_equity = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    day_start_unit_value = models.DecimalField(max_digits=24, decimal_places=12, default=1)
    day_start_deposits_net = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(null=True, blank=True)
    world_at = models.DateTimeField(null=True, blank=True)
    point_at = models.DateTimeField(null=True, blank=True, help_text="Wall time of the curve's newest point.")

    def __str__(self) -> str:
        return f"{self.equity}"


class EquityPoint(models.Model):
    """One point of a portfolio's equity curve."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="equity_points")
    run = models.PositiveIntegerField(default=1)
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    equity = models.DecimalField(**MONEY_DIGITS)
    unit_value = models.DecimalField(max_digits=24, decimal_places=12)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["portfolio", "run", "world_at"], name="equity_curve")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "run", "world_at"], name="equity_one_point_per_moment"
            )
        ]

    def __str__(self) -> str:
        return f"{self.equity} @ {self.world_at:%Y-%m-%d %H:%M}"
