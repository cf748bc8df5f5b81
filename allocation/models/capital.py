"""The capital account with its ledger, and reservations.

The capital account is the one row per portfolio through which every change of money passes. Its
columns always add up: cash = free + reserved + committed, each at least 0, and
cash − deficit = Σ ledger entries. ``version`` rises with every booking; who decided on an older
version may not act (see ``engine.copy_cycle``).
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, ZERO


class CapitalAccount(models.Model):
    """The cash of one portfolio, in its quote currency.

    free: can be spent · reserved: granted, not yet used · committed: behind open or UNKNOWN orders
    and perpetual margin · deployed: spot holdings at cost · deficit: a loss beyond free capital.
    ``units`` are fund units: deposits buy and withdrawals sell them at the current unit value, so
    equity ÷ units is the time-weighted value of one unit.
    """

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="capital"
    )
    free = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    reserved = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    committed = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    cash = models.GeneratedField(
        expression=F("free") + F("reserved") + F("committed"),
        output_field=models.DecimalField(**MONEY_DIGITS),
        db_persist=True,
    )
    deployed = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    deficit = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    deposits_net = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    units = models.DecimalField(max_digits=36, decimal_places=16, default=ZERO)
    version = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(free__gte=0), name="capital_free_not_negative"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="capital_reserved_not_negative"),
            models.CheckConstraint(condition=Q(committed__gte=0), name="capital_committed_not_negative"),
            models.CheckConstraint(condition=Q(deployed__gte=0), name="capital_deployed_not_negative"),
            models.CheckConstraint(condition=Q(deficit__gte=0), name="capital_deficit_not_negative"),
            models.CheckConstraint(
                condition=Q(deficit=0) | Q(free=0), name="capital_deficit_only_when_nothing_free"
            ),
            models.CheckConstraint(condition=Q(units__gte=0), name="capital_units_not_negative"),
        ]

    def __str__(self) -> str:
        return f"capital of {self.portfolio_id}"


class LedgerEntry(models.Model):
    """One change of cash, never edited. Positive amounts come in, negative ones go out."""

    class Kind(models.TextChoices):
        DEPOSIT = "deposit", "Deposit"
        WITHDRAWAL = "withdrawal", "Withdrawal"
        RESET = "reset", "Reset of paper cash"
        PURCHASE = "purchase", "Spot purchase"
        SALE = "sale", "Spot sale"
        REALIZED = "realized", "Realized P&L"
        FEE = "fee", "Fee"
        FUNDING = "funding", "Funding"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="ledger")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    amount = models.DecimalField(**MONEY_DIGITS)
    units = models.DecimalField(
        max_digits=36,
        decimal_places=16,
        default=ZERO,
        help_text="Fund units bought or sold by a flow; Σ = account's units.",
    )
    reference = models.CharField(
        max_length=120, help_text="What caused it, e.g. 'fill:42'; unique with its kind."
    )
    at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True, default="")

    class Meta:
        ordering = ["id"]
        verbose_name_plural = "ledger entries"
        indexes = [models.Index(fields=["portfolio", "id"], name="ledger_by_portfolio")]
        constraints = [
            models.UniqueConstraint(fields=["portfolio", "kind", "reference"], name="ledger_booked_once"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class Reservation(models.Model):
    """Capital set aside for one purpose (CAP-1).

    waiting → granted → used | released | expired, or waiting → denied (withdrawn, too). Most are granted
    or denied at once. ``amount`` counts in the account's ``reserved`` exactly while the status is GRANTED.
    """

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting"
        GRANTED = "granted", "Granted"
        USED = "used", "Used"
        RELEASED = "released", "Released"
        EXPIRED = "expired", "Expired"
        DENIED = "denied", "Denied"

    class Priority(models.IntegerChoices):
        CRITICAL = 0, "Critical"
        HIGH = 1, "High"
        MEDIUM = 2, "Medium"
        LOW = 3, "Low"

    id = models.UUIDField(primary_key=True)
    portfolio = models.ForeignKey(
        Portfolio, on_delete=models.CASCADE, related_name="reservations", db_index=False
    )
    source = models.CharField(max_length=80)
    instrument_code = models.CharField(max_length=48)
    amount = models.DecimalField(**MONEY_DIGITS)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.MEDIUM)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    reason = models.CharField(max_length=240, blank=True, default="")
    client_key = models.CharField(
        max_length=80,
        blank=True,
        default="",
        help_text="Chosen by who asks; the same key again is the same request.",
    )
    timeout_s = models.PositiveIntegerField(default=30, help_text="Wall seconds a grant lives unused.")
    requested_at = models.DateTimeField(default=utc_now)
    wait_until = models.DateTimeField(
        null=True, blank=True, help_text="Wall time at which a request that still waits is denied."
    )
    granted_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["requested_at"]
        indexes = [
            models.Index(fields=["portfolio", "-requested_at"], name="reservation_newest"),
            models.Index(
                fields=["portfolio", "priority", "requested_at"],
                condition=Q(status="waiting"),
                name="reservation_queue",
            ),
            models.Index(fields=["expires_at"], condition=Q(status="granted"), name="reservation_expiry"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="reservation_amount_positive"),
            models.UniqueConstraint(
                fields=["portfolio", "client_key"],
                condition=~Q(client_key=""),
                name="reservation_once_per_key",
            ),
            models.CheckConstraint(
                condition=~Q(status="granted") | Q(expires_at__isnull=False), name="reservation_grant_expires"
            ),
            models.CheckConstraint(
                condition=~Q(status="waiting") | Q(wait_until__isnull=False), name="reservation_wait_ends"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status} {self.amount}"


class ReservationTally(models.Model):
    """How many reservations of each kind were pruned, so that the counters of ``/metrics`` never fall."""

    strategy = models.CharField(max_length=80)
    status = models.CharField(max_length=8, choices=Reservation.Status.choices)
    priority = models.PositiveSmallIntegerField(choices=Reservation.Priority.choices)
    count = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["strategy", "status", "priority"], name="reservation_tally_once")
        ]

    def __str__(self) -> str:
        return f"{self.strategy} {self.status}: {self.count}"
