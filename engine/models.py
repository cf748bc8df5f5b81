"""The state of each portfolio's copy cycle, decisions with their reasons, commands, and the exit watch."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from allocation.models import Follow
from core.clock import utc_now
from core.decimals import PRICE_DIGITS, QUANTITY_DIGITS
from engine.change_models import AnsweredChange
from engine.fidelity_models import CopiedSlice, FillFidelity, FollowFidelity
from engine.import_models import StateImport
from engine.style_models import StyleDismissal
from execution.models import Order
from positions.models import Position

__all__ = [
    "AnsweredChange",
    "Command",
    "CopiedSlice",
    "CycleState",
    "Decision",
    "ExitGap",
    "ExitShard",
    "ExitTrigger",
    "ExitWatcher",
    "FillFidelity",
    "FollowFidelity",
    "StateImport",
    "StyleDismissal",
]


class CycleState(models.Model):
    """When a portfolio's copy cycle is due and when it last ran. ``wanted_at`` is set to wake it."""

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.CASCADE, primary_key=True, related_name="cycle"
    )
    wanted_at = models.DateTimeField(null=True, blank=True)
    wanted_why = models.CharField(max_length=120, blank=True, default="")
    ran_at = models.DateTimeField(null=True, blank=True)
    next_at = models.DateTimeField(default=utc_now, db_index=True)
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="When a worker was asked to run it, until it has run."
    )
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
        EXITS = "exits", "Change what closes a position"
        EXIT_DEFAULTS = "exit_defaults", "Change what closes new positions"
        EMERGENCY_STOP = "emergency_stop", "Emergency stop"
        RESUME = "resume", "Resume after a stop"
        DRILL = "drill", "Emergency-stop drill"
        LIVE_CONNECT = "live_connect", "Connect an account"
        LIVE_PROMOTE = "live_promote", "Trade live"
        LIVE_RAMP = "live_ramp", "Raise the number of live positions"
        LIVE_STOP = "live_stop", "Stop trading live"
        LIVE_DISCONNECT = "live_disconnect", "Disconnect the account"
        LIVE_SETTLE = "live_settle", "Settle a finding"

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


class ExitTrigger(models.Model):
    """A rule that closes a position, or a part of it, from the price that hit it to the end of its order.

    waiting → working → done, or void where nothing was left to close. It stands, and orders are placed anew,
    until what it asks for is closed. One stands per position; a later one that closes everything takes the
    place of one that closes a part.
    """

    class Kind(models.TextChoices):
        STOP_LOSS = "stop_loss", "Stop loss"
        TRAILING = "trailing", "Trailing stop"
        TAKE_PROFIT = "take_profit", "Take profit"
        TIME_STOP = "time_stop", "Time stop"

    class Status(models.TextChoices):
        WAITING = "waiting", "Waiting for another order"
        WORKING = "working", "Its order works"
        DONE = "done", "Done"
        VOID = "void", "Nothing left to close"

    class FoundBy(models.TextChoices):
        WATCH = "watch", "The exit watch"
        SWEEP = "sweep", "The sweep behind it"
        VENUE = "venue", "A stop at the venue"

    STANDING = ("waiting", "working")

    position = models.ForeignKey(Position, on_delete=models.CASCADE, related_name="exit_triggers")
    portfolio = models.ForeignKey(Portfolio, on_delete=models.CASCADE, related_name="exit_triggers")
    episode = models.PositiveIntegerField(default=1, help_text="Of the guard that was hit.")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    fraction = models.DecimalField(max_digits=13, decimal_places=12, default=1, help_text="Of what is held.")
    price = models.DecimalField(**PRICE_DIGITS, help_text="The price that was seen.")
    level = models.DecimalField(**PRICE_DIGITS, null=True, blank=True, help_text="What it waited for.")
    seen_at = models.DateTimeField(help_text="Wall time at which the price reached us.")
    world_at = models.DateTimeField(help_text="World time of the price.")
    place = models.CharField(max_length=32, blank=True, default="", help_text="Where on the tick tape.")
    found_by = models.CharField(max_length=8, choices=FoundBy.choices, default=FoundBy.WATCH)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.WAITING)
    order = models.ForeignKey(
        Order,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="exit_triggers",
        help_text="The newest order it placed.",
    )
    orders_placed = models.PositiveSmallIntegerField(default=0)
    keeps = models.DecimalField(
        **QUANTITY_DIGITS,
        null=True,
        blank=True,
        help_text="What a part leaves of the position, base units; known from its first order on.",
    )
    closed_quantity = models.DecimalField(
        **QUANTITY_DIGITS, default=0, help_text="What its ended orders have closed, base units."
    )
    retry_at = models.DateTimeField(
        null=True, blank=True, help_text="No new order before this: the venue refused the last one."
    )
    text = models.CharField(max_length=200, blank=True, default="", help_text="How it stands, in words.")
    created_at = models.DateTimeField(default=utc_now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["portfolio", "-id"], name="exit_trigger_newest"),
            models.Index(
                fields=["id"], condition=Q(status__in=["waiting", "working"]), name="exit_trigger_standing"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["position"],
                condition=Q(status__in=["waiting", "working"]),
                name="exit_trigger_stands_once",
            ),
            models.CheckConstraint(
                condition=Q(fraction__gt=0, fraction__lte=1), name="exit_trigger_fraction"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} at {self.price}"


class ExitShard(models.Model):
    """Who watches one part of the instruments, and how far the tape of that part is dealt with.

    Whoever holds the lease (``holder``, ``epoch``) until ``lease_until`` by the database's clock may store
    triggers and levels; each new holder raises the epoch, so that one who lost the lease can store nothing.
    """

    number = models.PositiveSmallIntegerField(primary_key=True)
    holder = models.CharField(max_length=80, blank=True, default="")
    epoch = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True, blank=True)
    place = models.CharField(
        max_length=32, default="0-0", help_text="Everything up to here is evaluated and stored."
    )
    watched_at = models.DateTimeField(
        null=True, blank=True, help_text="Wall time of the last sign that prices are evaluated."
    )

    def __str__(self) -> str:
        return f"shard {self.number}"


class ExitWatcher(models.Model):
    """A process that watches exits, so that several share the shards evenly."""

    name = models.CharField(max_length=80, primary_key=True)
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class ExitGap(models.Model):
    """A time in which nobody watched a part of the instruments (BEY-6); its prices were evaluated later."""

    shard = models.PositiveSmallIntegerField()
    from_at = models.DateTimeField()
    until_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"shard {self.shard} {self.from_at:%H:%M:%S}"
