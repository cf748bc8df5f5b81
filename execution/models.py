"""Orders with their history and fills, and the paper venue's own books.

An order is a committed row with its client order id before anything is sent. ``PaperOrder``, ``PaperStop``,
``PaperFill`` and ``PaperHolding`` belong to the paper venue alone: nothing outside ``execution.venues.paper``
touches them, so that it can be asked about an order like any other venue.
"""

from __future__ import annotations

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from accounts.models import POLICY_CHOICES, Portfolio
from allocation.models import Follow, Reservation
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS
from core.types import OrderSide
from markets.models import Instrument

ZERO = Decimal(0)
SIDE_CHOICES = [(side.value, side.value.title()) for side in OrderSide]


class Order(models.Model):
    """One order. Statuses move only along ``execution.domain.orders.TRANSITIONS``."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUBMITTED = "submitted", "Submitted"
        PARTIALLY_FILLED = "partially_filled", "Partially filled"
        FILLED = "filled", "Filled"
        CANCELLED = "cancelled", "Cancelled"
        REJECTED = "rejected", "Rejected"
        EXPIRED = "expired", "Expired"
        UNKNOWN = "unknown", "Unknown"

    class Purpose(models.TextChoices):
        ENTRY = "entry", "Entry"
        SCALE_IN = "scale_in", "Scale in"
        REDUCE = "reduce", "Reduce"
        CLOSE = "close", "Close"
        LIQUIDATION = "liquidation", "Liquidation"

    class Origin(models.TextChoices):
        COPY = "copy", "Copying a trader"
        SIGNAL = "signal", "A strategy's signal"
        PERSON = "person", "Its owner"
        BREAKER = "breaker", "A breaker"
        EXIT = "exit", "An exit rule"
        OUTSIDE = "outside", "Another program"

    OPEN_STATUSES = ("pending", "submitted", "partially_filled", "unknown")

    portfolio = models.ForeignKey(Portfolio, on_delete=models.PROTECT, related_name="orders")
    instrument = models.ForeignKey(Instrument, on_delete=models.PROTECT, related_name="orders")
    underlying = models.CharField(max_length=48)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES, help_text="Spot or perpetual market.")
    margin_rate = models.DecimalField(
        max_digits=9, decimal_places=8, default=1, help_text="1 ÷ leverage: margin per cost of what it opens."
    )
    client_order_id = models.CharField(max_length=34, unique=True)
    venue = models.CharField(max_length=24)
    venue_order_id = models.CharField(max_length=80, blank=True, default="")
    side = models.CharField(max_length=4, choices=SIDE_CHOICES)
    quantity = models.DecimalField(**QUANTITY_DIGITS, help_text="Base units, always positive.")
    limit_price = models.DecimalField(**PRICE_DIGITS)
    reduce_only = models.BooleanField(default=False)
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    origin = models.CharField(max_length=8, choices=Origin.choices, default=Origin.COPY)
    market = models.BooleanField(
        default=False,
        help_text="A person asked for a market order; its limit only protects from a broken book.",
    )
    command_id = models.UUIDField(null=True, blank=True, help_text="The command that asked for it.")
    score = models.DecimalField(
        max_digits=6,
        decimal_places=4,
        null=True,
        blank=True,
        help_text="Rank of a candidate, 0 to 1 (EXE-2).",
    )
    reason = models.CharField(max_length=300, blank=True, default="")
    status = models.CharField(max_length=18, choices=Status.choices, default=Status.PENDING)
    status_reason = models.CharField(max_length=300, blank=True, default="")
    filled_quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    filled_notional = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    fees = models.DecimalField(**MONEY_DIGITS, default=ZERO)
    reservation = models.OneToOneField(Reservation, on_delete=models.PROTECT, null=True, blank=True)
    committed = models.DecimalField(
        **MONEY_DIGITS, default=ZERO, help_text="Capital held behind this order now."
    )
    decision_mark = models.DecimalField(**PRICE_DIGITS, help_text="Mark at which it was decided.")
    run = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=utc_now)
    submit_claimed_at = models.DateTimeField(null=True, blank=True)
    submitted_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(
        help_text="Wall time after which what is left is cancelled and decided anew."
    )
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["portfolio", "-id"], name="order_newest"),
            models.Index(
                fields=["status", "id"],
                condition=Q(status__in=["pending", "submitted", "partially_filled", "unknown"]),
                name="order_open",
            ),
            models.Index(fields=["finished_at"], name="order_finished"),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(quantity__gt=0), name="order_quantity_positive"),
            models.CheckConstraint(condition=Q(limit_price__gt=0), name="order_price_positive"),
            models.CheckConstraint(
                condition=Q(margin_rate__gt=0, margin_rate__lte=1), name="order_margin_rate_fraction"
            ),
            models.CheckConstraint(condition=Q(committed__gte=0), name="order_committed_not_negative"),
            models.CheckConstraint(condition=Q(filled_quantity__gte=0), name="order_filled_not_negative"),
            models.CheckConstraint(
                condition=~Q(status="filled") | Q(filled_quantity__gte=F("quantity")),
                name="order_filled_is_full",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["pending", "submitted", "partially_filled", "unknown"])
                | Q(committed=0),
                name="order_ended_holds_nothing",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.instrument_id}"


class OrderSlice(models.Model):
    """The part of an order that is wanted for one follow (null: for the owner's own slice).

    ``quantity`` is signed like the slice it changes: positive buys, negative sells. Σ = ± order quantity.
    """

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="slices")
    follow = models.ForeignKey(Follow, on_delete=models.PROTECT, null=True, blank=True)
    quantity = models.DecimalField(**QUANTITY_DIGITS)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["order", "follow"], nulls_distinct=False, name="order_slice_unique"
            )
        ]

    def __str__(self) -> str:
        return f"{self.order_id} {self.quantity}"


class OrderEvent(models.Model):
    """One change of an order's status, kept for good."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField(default=utc_now)
    from_status = models.CharField(max_length=18, blank=True, default="")
    to_status = models.CharField(max_length=18)
    detail = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.from_status} → {self.to_status}"


class Fill(models.Model):
    """One execution of an order, kept by the venue's own id so that a repeat is ignored.

    The id is that of a trade at the venue: where two of our orders met each other, both have it.
    """

    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="fills")
    venue = models.CharField(max_length=24)
    venue_fill_id = models.CharField(max_length=80)
    quantity = models.DecimalField(**QUANTITY_DIGITS, help_text="Base units, always positive.")
    price = models.DecimalField(**PRICE_DIGITS)
    fee = models.DecimalField(**MONEY_DIGITS, help_text="Quote currency; positive is paid.")
    fee_quantity = models.DecimalField(
        **QUANTITY_DIGITS, default=ZERO, help_text="Base units that the venue kept as its fee, besides."
    )
    booked_quantity = models.DecimalField(
        **QUANTITY_DIGITS,
        null=True,
        blank=True,
        help_text="What went into the position, where that is not all of it.",
    )
    world_at = models.DateTimeField()
    received_at = models.DateTimeField(default=utc_now)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["order", "venue_fill_id"], name="fill_booked_once"),
            models.CheckConstraint(condition=Q(quantity__gt=0), name="fill_quantity_positive"),
            models.CheckConstraint(condition=Q(price__gt=0), name="fill_price_positive"),
            models.CheckConstraint(
                condition=Q(fee_quantity__gte=0)
                & (
                    Q(booked_quantity__isnull=True)
                    | Q(booked_quantity__gt=0, booked_quantity__lte=F("quantity"))
                ),
                name="fill_keeps_a_part",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} @ {self.price}"


class PaperOrder(models.Model):
    """An order as the paper venue sees it."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        FILLED = "filled", "Filled"
        CANCELLED = "cancelled", "Cancelled"
        EXPIRED = "expired", "Expired"
        REJECTED = "rejected", "Rejected"

    client_order_id = models.CharField(max_length=34, unique=True)
    account = models.CharField(max_length=40, help_text="Whose account at the venue, e.g. 'portfolio:7'.")
    world = models.CharField(max_length=48)
    instrument_code = models.CharField(max_length=48)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES, help_text="Spot or perpetual market.")
    side = models.CharField(max_length=4, choices=SIDE_CHOICES)
    quantity = models.DecimalField(**QUANTITY_DIGITS)
    limit_price = models.DecimalField(**PRICE_DIGITS)
    reduce_only = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.OPEN)
    end_reason = models.CharField(max_length=200, blank=True, default="")
    filled_quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    untold_quantity = models.DecimalField(
        **QUANTITY_DIGITS, default=ZERO, help_text="Executed already, told only later (a fault)."
    )
    accepted_at = models.DateTimeField(default=utc_now)
    matchable_at = models.DateTimeField(help_text="Accepted plus simulated latency.")
    expires_at = models.DateTimeField()
    match_steps = models.PositiveIntegerField(default=0)
    mark_seen_at = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Arrival of the mark it was last matched on; one mark is matched once.",
    )

    class Meta:
        indexes = [
            models.Index(fields=["world", "id"], condition=Q(status="open"), name="paper_order_open"),
            models.Index(fields=["account", "id"], name="paper_order_account"),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.instrument_code}"


class PaperStop(models.Model):
    """A stop that rests at the paper venue; touched, it becomes the ``PaperOrder`` of the same client id."""

    class Status(models.TextChoices):
        ARMED = "armed", "Armed"
        TRIGGERED = "triggered", "Triggered"
        CANCELLED = "cancelled", "Cancelled"
        REJECTED = "rejected", "Rejected"

    client_order_id = models.CharField(max_length=34, unique=True)
    account = models.CharField(max_length=40)
    world = models.CharField(max_length=48)
    instrument_code = models.CharField(max_length=48)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES)
    side = models.CharField(max_length=4, choices=SIDE_CHOICES)
    quantity = models.DecimalField(**QUANTITY_DIGITS)
    trigger_price = models.DecimalField(**PRICE_DIGITS)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ARMED)
    end_reason = models.CharField(max_length=200, blank=True, default="")
    accepted_at = models.DateTimeField(default=utc_now)
    matchable_at = models.DateTimeField(help_text="Accepted plus simulated latency.")

    class Meta:
        indexes = [models.Index(fields=["world", "id"], condition=Q(status="armed"), name="paper_stop_armed")]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.instrument_code} at {self.trigger_price}"


class PaperFill(models.Model):
    """An execution as the paper venue reports it; ``id`` is the venue's fill id."""

    paper_order = models.ForeignKey(PaperOrder, on_delete=models.CASCADE, related_name="fills")
    quantity = models.DecimalField(**QUANTITY_DIGITS)
    price = models.DecimalField(**PRICE_DIGITS)
    fee = models.DecimalField(**MONEY_DIGITS)
    world_at = models.DateTimeField()
    at = models.DateTimeField(default=utc_now)
    told_at = models.DateTimeField(
        null=True, blank=True, help_text="When it will be told, where a fault holds it back."
    )

    class Meta:
        ordering = ["id"]
        indexes = [
            models.Index(fields=["told_at"], condition=Q(told_at__isnull=False), name="paper_fill_untold")
        ]

    def __str__(self) -> str:
        return f"{self.quantity} @ {self.price}"


class PaperHolding(models.Model):
    """What one account holds of one instrument at the paper venue: Σ of its signed fills."""

    account = models.CharField(max_length=40)
    instrument_code = models.CharField(max_length=48)
    quantity = models.DecimalField(
        **QUANTITY_DIGITS, default=ZERO, help_text="Positive long, negative short."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "instrument_code"], name="paper_holding_once")
        ]

    def __str__(self) -> str:
        return f"{self.account} {self.quantity} {self.instrument_code}"


class VenueOrphan(models.Model):
    """An order found working at a venue on one of our accounts that our books do not know (EXE-6)."""

    class Outcome(models.TextChoices):
        FOUND = "found", "Found"
        CANCELLED = "cancelled", "Cancelled"
        ENDED = "ended", "Ended by itself"
        FAILED = "failed", "Could not be cancelled"

    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="orphans")
    venue = models.CharField(max_length=24)
    client_order_id = models.CharField(max_length=80)
    venue_order_id = models.CharField(max_length=80, blank=True, default="")
    instrument_code = models.CharField(max_length=48, blank=True, default="")
    side = models.CharField(max_length=4, blank=True, default="")
    quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    filled_quantity = models.DecimalField(**QUANTITY_DIGITS, default=ZERO)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.FOUND)
    detail = models.CharField(max_length=300, blank=True, default="")
    found_at = models.DateTimeField(default=utc_now)
    settled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["venue", "client_order_id"], name="orphan_found_once")]

    def __str__(self) -> str:
        return f"{self.venue} {self.client_order_id}"


class PaperFault(models.Model):
    """A fault the paper venue is told to have, for tests and drills; it counts down to none.

    ``account`` "*" means every account. Nothing in the product creates one.
    """

    class Operation(models.TextChoices):
        SUBMIT = "submit", "Submit"
        FETCH = "fetch", "Fetch"
        CANCEL = "cancel", "Cancel"
        MATCH = "match", "Match"

    class Kind(models.TextChoices):
        TIMEOUT_AFTER = "timeout_after", "Do it, then give no answer"
        TIMEOUT_BEFORE = "timeout_before", "Give no answer and do nothing"
        LATE = "late", "Answer late"
        TWICE = "twice", "Fill twice"
        REPEAT = "repeat", "Report a fill twice"
        FORGET = "forget", "Know nothing of the order"
        REFUSE = "refuse", "Refuse"
        UNAVAILABLE = "unavailable", "Be away"

    account = models.CharField(max_length=40, default="*")
    operation = models.CharField(max_length=6, choices=Operation.choices)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    delay_ms = models.PositiveIntegerField(default=0)
    remaining = models.PositiveIntegerField(default=1, help_text="How many more times.")
    skip = models.PositiveIntegerField(default=0, help_text="How many calls pass unharmed before the first.")
    created_at = models.DateTimeField(default=utc_now)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.operation} {self.kind} × {self.remaining}"


class VenueSend(models.Model):
    """An order or a stop that was, or may have been, sent to a real venue. Kept before it is sent.

    By it a second sending of the same client id is told from the first, and the fills of an account, which
    some venues tell by their own order ids alone, are matched to our orders. Belongs to the live venues.
    """

    client_order_id = models.CharField(max_length=34, primary_key=True)
    venue = models.CharField(max_length=24)
    account = models.CharField(max_length=40)
    instrument_code = models.CharField(max_length=48)
    policy = models.CharField(max_length=8)
    is_stop = models.BooleanField(default=False)
    sent_at = models.DateTimeField(help_text="Of the newest sending.")
    valid_until = models.DateTimeField(help_text="The venue takes nothing of that sending later.")
    venue_order_id = models.CharField(max_length=40, blank=True, default="")
    refused = models.CharField(max_length=200, blank=True, default="", help_text="Why the venue said no.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="It was seen to have ended by then.")

    class Meta:
        indexes = [models.Index(fields=["account", "ended_at"], name="venue_send_by_account")]

    def __str__(self) -> str:
        return self.client_order_id
