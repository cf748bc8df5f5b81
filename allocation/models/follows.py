"""Whom a portfolio follows, what was adopted of each, and what is never opened."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models import Portfolio
from core.clock import utc_now
from core.decimals import MONEY_DIGITS, PRICE_DIGITS, QUANTITY_DIGITS, ZERO
from traders.models import Trader


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

    class StyleAction(models.TextChoices):
        WARN = "warn", "Warn"
        BLOCK = "block", "Open nothing for it until I say so"

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
    style_action = models.CharField(
        max_length=5,
        choices=StyleAction.choices,
        default=StyleAction.WARN,
        help_text="What happens when the trader's style leaves its own history (BEY-7).",
    )
    decided_basis_id = models.BigIntegerField(
        null=True, blank=True, help_text="Trader snapshot whose quantities the last cycle decided on."
    )
    answered_basis_id = models.BigIntegerField(
        null=True, blank=True, help_text="Trader snapshot up to which each change has its decision (BEY-3)."
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
