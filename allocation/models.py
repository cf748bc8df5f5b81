"""Follows, the capital account with its ledger, and reservations.

The capital account is the one row per portfolio through which every change of money passes. Its
columns always add up: cash = free + reserved + committed, each at least 0, and
cash − deficit = Σ ledger entries. ``version`` rises with every booking; who decided on an older
version may not act (see ``engine.copy_cycle``).
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS
from traders.models import Trader

ZERO = Decimal(0)


class Follow(models.Model):
    """One portfolio follows one trader. Its share of capital is 1/N of the active follows (ALL-1)."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        PAUSED = "paused", "Paused"
        LEAVING = "leaving", "Leaving"
        REMOVED = "removed", "Removed"

    class JoinMode(models.TextChoices):
        NEW_ONLY = "new_only", "Copy new trades only"
        INCLUDE_OPEN = "include_open", "Also copy open positions within 2 % of their entry"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="follows")
    trader = models.ForeignKey(Trader, on_delete=models.PROTECT, related_name="follows")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.ACTIVE)
    join_mode = models.CharField(max_length=12, choices=JoinMode.choices, default=JoinMode.NEW_ONLY)
    place = models.PositiveSmallIntegerField(
        help_text="Order in which the traders were added or arranged, from 1."
    )
    hue = models.PositiveSmallIntegerField(
        help_text="Colour of this trader on the page, 1 to 10; kept while followed."
    )
    weight = models.DecimalField(
        max_digits=5, decimal_places=4, default=ZERO, help_text="Share of equity, 0 to 1."
    )
    custom_weight = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Share the owner chose, 0.01 to 1; used while the portfolio's weighting is custom (ALL-2).",
    )
    paused_weight = models.DecimalField(
        max_digits=5,
        decimal_places=4,
        default=ZERO,
        help_text="Its weight when it was paused: the copy stop-loss of what is left counts against it.",
    )
    paused_by_owner = models.BooleanField(
        default=False, help_text="Its owner paused it, so lifting its copy stop-loss does not resume it."
    )
    stop_base = models.DecimalField(
        **MONEY_DIGITS, default=ZERO, help_text="Its result from which the copy stop-loss counts."
    )
    joined = models.BooleanField(
        default=False, help_text="True once the positions open at joining were told apart."
    )
    resumed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=utc_now, editable=False)
    removed_at = models.DateTimeField(null=True, blank=True)
    decided_basis_id = models.BigIntegerField(
        null=True, blank=True, help_text="Trader snapshot whose quantities the last cycle decided on."
    )

    class Meta:
        ordering = ["place", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "trader"], condition=~Q(status="removed"), name="follow_once_per_trader"
            ),
            models.UniqueConstraint(
                fields=["portfolio", "hue"], condition=~Q(status="removed"), name="follow_hue_unique"
            ),
            models.CheckConstraint(condition=Q(weight__gte=0, weight__lte=1), name="follow_weight_fraction"),
            models.CheckConstraint(
                condition=Q(paused_weight__gte=0, paused_weight__lte=1), name="follow_paused_weight_fraction"
            ),
            models.CheckConstraint(condition=Q(hue__gte=1, hue__lte=10), name="follow_at_most_ten"),
            models.CheckConstraint(
                condition=Q(custom_weight__isnull=True) | Q(custom_weight__gte="0.01", custom_weight__lte=1),
                name="follow_custom_weight_fraction",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.portfolio_id} follows {self.trader_id}"


class FollowLeg(models.Model):
    """What a portfolio last adopted of one trader's position in one underlying.

    ``trader_quantity`` is the copied part of the trader's quantity at that moment (ignored part left
    out, in units of the underlying), ``target_notional`` what we wanted for it and ``target_quantity``
    where its slice was sent. ``ignored_quantity`` is the part that is not copied: it was open when the
    follow started or resumed, or our own exit closed it (EXE-8).
    """

    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, related_name="legs")
    underlying = models.CharField(max_length=48)
    trader_quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    ignored_quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    target_notional = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    target_quantity = models.DecimalField(
        **QUANTITY_DIGITS,
        default=ZERO,
        help_text="Signed quantity its slice was last sent toward, after rule and limits.",
    )
    added_price = models.DecimalField(
        **PRICE_DIGITS,
        null=True,
        blank=True,
        help_text="What the trader paid for the part it last added, per unit of the underlying (EXE-4).",
    )
    updated_at = models.DateTimeField(default=utc_now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["follow", "underlying"], name="leg_unique_per_follow")]

    def __str__(self) -> str:
        return f"{self.follow_id} {self.underlying}"


class BlockedUnderlying(models.Model):
    """An underlying this portfolio never opens; closing is always allowed."""

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="blocked_underlyings")
    underlying = models.CharField(max_length=48)
    created_at = models.DateTimeField(default=utc_now, editable=False)

    class Meta:
        ordering = ["underlying"]
        constraints = [models.UniqueConstraint(fields=["portfolio", "underlying"], name="blocked_once")]

    def __str__(self) -> str:
        return self.underlying


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


class PortfolioLimits(models.Model):
    """A portfolio's own limits and breakers, instead of its profile's and the server's defaults.

    The limits count while the profile is "own"; the thresholds of the breakers count whenever a row exists.
    Fractions of 1 unless the name says otherwise.
    """

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="own_limits"
    )
    max_position = models.DecimalField(max_digits=5, decimal_places=4)
    max_asset_weight = models.DecimalField(max_digits=5, decimal_places=4)
    max_positions = models.PositiveSmallIntegerField()
    max_correlated = models.DecimalField(max_digits=5, decimal_places=4)
    max_gross = models.DecimalField(max_digits=5, decimal_places=4)
    max_open_orders = models.PositiveSmallIntegerField()
    daily_loss = models.DecimalField(max_digits=5, decimal_places=4)
    drawdown = models.DecimalField(max_digits=5, decimal_places=4)
    losses_in_a_row = models.PositiveSmallIntegerField()
    emergency_loss = models.DecimalField(max_digits=5, decimal_places=4)
    copy_stop = models.DecimalField(max_digits=5, decimal_places=4)
    updated_at = models.DateTimeField(default=utc_now)

    class Meta:
        verbose_name_plural = "portfolio limits"
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    max_position__gt=0, max_asset_weight__gt=0, max_correlated__gt=0, max_gross__gt=0
                ),
                name="own_limits_positive",
            ),
            models.CheckConstraint(
                condition=Q(daily_loss__gt=0, drawdown__gt=0, emergency_loss__gt=0, copy_stop__gt=0),
                name="own_breakers_positive",
            ),
            models.CheckConstraint(
                condition=Q(daily_loss__lte=1, drawdown__lte=1, emergency_loss__lte=1, copy_stop__lte=1),
                name="own_breakers_fractions",
            ),
            models.CheckConstraint(
                condition=Q(max_positions__gte=1, max_open_orders__gte=1, losses_in_a_row__gte=1),
                name="own_limits_count",
            ),
        ]

    def __str__(self) -> str:
        return f"limits of {self.portfolio_id}"


class BreakerTrip(models.Model):
    """One time a breaker tripped (RSK-2); it stands until ``reset_at``.

    Several may stand at once; the portfolio's status is the strictest of their effects. Exits always pass.
    """

    class Kind(models.TextChoices):
        DAILY_LOSS = "daily_loss", "Daily loss"
        DRAWDOWN = "drawdown", "Drawdown"
        LOSSES_IN_A_ROW = "losses_in_a_row", "Losses in a row"
        EMERGENCY_LOSS = "emergency_loss", "Emergency liquidation"
        EMERGENCY_STOP = "emergency_stop", "Emergency stop"
        COPY_STOP = "copy_stop", "Copy stop-loss"
        MARGIN = "margin", "Maintenance margin"
        DEFICIT = "deficit", "Deficit"
        BOOKS = "books", "Books differ"
        VENUE = "venue", "Venue reports something odd"

    class Effect(models.TextChoices):
        REDUCING = "reducing", "No entries"
        HALTED = "halted", "Halted"
        FOLLOW = "follow", "One trader paused"

    class Resets(models.TextChoices):
        DAY = "day", "At the day roll"
        PERSON = "person", "By a person"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="breaker_trips")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    follow = models.ForeignKey(Follow, on_delete=models.CASCADE, null=True, blank=True, related_name="trips")
    effect = models.CharField(max_length=8, choices=Effect.choices)
    resets = models.CharField(max_length=6, choices=Resets.choices)
    reason = models.CharField(max_length=240)
    value = models.DecimalField(
        max_digits=24,
        decimal_places=12,
        null=True,
        blank=True,
        help_text="What was measured: a fraction or a count.",
    )
    threshold = models.DecimalField(max_digits=24, decimal_places=12, null=True, blank=True)
    run = models.PositiveIntegerField(default=1)
    tripped_at = models.DateTimeField(default=utc_now)
    world_at = models.DateTimeField()
    reset_at = models.DateTimeField(null=True, blank=True)
    reset_world_at = models.DateTimeField(null=True, blank=True)
    reset_by = models.CharField(max_length=254, blank=True, default="", help_text="Who, or day roll.")
    reset_reason = models.CharField(max_length=240, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["portfolio", "-id"], name="breaker_newest")]
        constraints = [
            models.UniqueConstraint(
                fields=["portfolio", "kind", "follow"],
                condition=Q(reset_at__isnull=True),
                nulls_distinct=False,
                name="breaker_stands_once",
            ),
            models.CheckConstraint(
                condition=Q(effect="follow", follow__isnull=False)
                | (~Q(effect="follow") & Q(follow__isnull=True)),
                name="breaker_follow_where_meant",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.portfolio_id}"
