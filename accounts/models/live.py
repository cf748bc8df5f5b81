"""Accounts at real venues that portfolios trade with, what they hold, and what was found there.

A portfolio is never live by itself: it is connected to one account, runs in shadow, is promoted by its owner,
and may be stopped. One account serves one portfolio.
"""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import Q

from accounts.models.credentials import Credential
from accounts.models.people import POLICY_CHOICES, Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, QUANTITY_DIGITS, ZERO

RAMP: Final = (2, 3, 5)  # how many positions may be open live, raised by a person; then the profile's


class LiveAccount(models.Model):
    """The account at a venue that a portfolio is connected to.

    shadow → promoting → live → stopping → stopped, and from stopped back to shadow. In shadow the portfolio
    trades on paper by the venue's rules and fees; promoting and stopping close what is open first. Nothing
    is opened in promoting, stopping and stopped.
    """

    class State(models.TextChoices):
        SHADOW = "shadow", "Shadow"
        PROMOTING = "promoting", "Closing the shadow's positions, then live"
        LIVE = "live", "Live"
        STOPPING = "stopping", "Closing, then stopped"
        STOPPED = "stopped", "Stopped"

    ON_PAPER = ("shadow", "promoting")
    AT_VENUE = ("live", "stopping")

    portfolio = models.OneToOneField(
        Portfolio, on_delete=models.PROTECT, primary_key=True, related_name="live"
    )
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="live_accounts")
    venue = models.CharField(max_length=24)
    sandbox = models.BooleanField(default=False)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES)
    quote = models.CharField(max_length=8, help_text="What cash is held in at the venue: USDC, USDT, USD.")
    account_id = models.CharField(max_length=120, help_text="The account as the venue names it.")
    state = models.CharField(max_length=10, choices=State.choices, default=State.SHADOW)
    assigned = models.DecimalField(**MONEY_DIGITS, help_text="Cash of the account that the portfolio uses.")
    elsewhere = models.DecimalField(
        **MONEY_DIGITS,
        null=True,
        blank=True,
        help_text="Cash of the account that is not the portfolio's: as it was seen last, once live.",
    )
    max_positions = models.PositiveSmallIntegerField(
        null=True, blank=True, default=RAMP[0], help_text="Empty: as many as the limits allow."
    )
    ramped_at = models.DateTimeField(null=True, blank=True, help_text="The number of positions holds since.")
    ramped_by = models.CharField(max_length=254, blank=True, default="")
    connected_at = models.DateTimeField(default=utc_now)
    shadow_since = models.DateTimeField(default=utc_now)
    shadow_shortened = models.CharField(
        max_length=240, blank=True, default="", help_text="Why its owner ended the shadow early."
    )
    confirmed_at = models.DateTimeField(null=True, blank=True, help_text="Its owner typed the name then.")
    confirmed_by = models.CharField(max_length=254, blank=True, default="")
    promoted_at = models.DateTimeField(null=True, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True)
    problems = models.JSONField(default=list, help_text="What the last check of the account found, in words.")
    checked_at = models.DateTimeField(null=True, blank=True)
    equity = models.DecimalField(
        **MONEY_DIGITS, null=True, blank=True, help_text="Of the whole account, as its venue told it last."
    )
    looked_at = models.DateTimeField(null=True, blank=True, help_text="Its holdings were read then.")
    polled_at = models.DateTimeField(null=True, blank=True, help_text="Its orders were read then.")
    claimed_at = models.DateTimeField(null=True, blank=True, help_text="A worker is at it since.")
    retry_at = models.DateTimeField(null=True, blank=True, help_text="Its venue is away: not asked before.")
    failures = models.PositiveSmallIntegerField(default=0, help_text="Times in a row it could not be asked.")
    error = models.CharField(max_length=300, blank=True, default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["venue", "sandbox", "account_id"],
                condition=~Q(state="stopped"),
                name="live_account_of_one_portfolio",
            ),
            models.CheckConstraint(
                condition=Q(max_positions__isnull=True) | Q(max_positions__in=RAMP), name="live_ramp_step"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["shadow", "promoting", "stopped"])
                | Q(promoted_at__isnull=False, confirmed_at__isnull=False),
                name="live_confirmed_by_a_person",
            ),
            models.CheckConstraint(condition=Q(assigned__gt=0), name="live_assigned_positive"),
            models.CheckConstraint(condition=~Q(account_id=""), name="live_account_named"),
        ]

    def __str__(self) -> str:
        return f"{self.venue}{' sandbox' if self.sandbox else ''} of {self.portfolio_id}"


class LiveHolding(models.Model):
    """What an account held of one thing when it was last looked at, ours and not ours told apart.

    :param code: of the instrument, or the coin where no instrument is known for it
    """

    class Kind(models.TextChoices):
        COIN = "coin", "Coins"
        PERP = "perp", "Perpetual position"
        ORDER = "order", "Open order"

    account = models.ForeignKey(LiveAccount, on_delete=models.CASCADE, related_name="holdings")
    kind = models.CharField(max_length=5, choices=Kind.choices)
    code = models.CharField(max_length=80)
    quantity = models.DecimalField(**QUANTITY_DIGITS, help_text="Signed, as the venue told it.")
    ours = models.DecimalField(**QUANTITY_DIGITS, default=ZERO, help_text="The part our books hold.")
    text = models.CharField(max_length=160, blank=True, default="")

    class Meta:
        ordering = ["account", "kind", "code"]
        constraints = [
            models.UniqueConstraint(fields=["account", "kind", "code"], name="live_holding_once"),
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.quantity}"


class LiveFinding(models.Model):
    """Something at the venue that our books do not explain. It is told and never booked by itself.

    One stands per account, kind and thing; it is settled by a person, or because it is gone.
    """

    class Kind(models.TextChoices):
        MISSING = "missing", "Less is there than our books hold"
        CASH_MISSING = "cash_missing", "Less cash is there than our books hold"
        CASH_CAME = "cash_came", "Cash came in"
        CASH_LEFT = "cash_left", "Cash that is not the portfolio's went out"

    SERIOUS = ("missing", "cash_missing")

    account = models.ForeignKey(LiveAccount, on_delete=models.CASCADE, related_name="findings")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    code = models.CharField(max_length=48)
    books = models.DecimalField(**QUANTITY_DIGITS, help_text="What we expected there.")
    seen = models.DecimalField(**QUANTITY_DIGITS, help_text="What the venue told.")
    text = models.CharField(max_length=300)
    looks = models.PositiveIntegerField(default=1, help_text="Times in a row it was seen.")
    found_at = models.DateTimeField(default=utc_now)
    confirmed_at = models.DateTimeField(null=True, blank=True, help_text="A second look saw it, too.")
    settled_at = models.DateTimeField(null=True, blank=True)
    settled_how = models.CharField(max_length=240, blank=True, default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account", "kind", "code"],
                condition=Q(settled_at__isnull=True),
                name="live_finding_stands_once",
            ),
        ]

    def __str__(self) -> str:
        return self.text
