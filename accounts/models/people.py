"""Users and portfolios. A portfolio is only ever fetched through its owner (``accounts.selectors``)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.base_user import BaseUserManager
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower

from core.clock import utc_now
from core.types import ConflictRule, Policy

POLICY_CHOICES = [
    (Policy.SPOT.value, "Spot: no shorts, no leverage"),
    (Policy.PERP.value, "Perpetuals: long and short"),
]
RULE_CHOICES = [
    (ConflictRule.COMBINE.value, "Combine: net the wishes"),
    (ConflictRule.LARGEST.value, "Largest: the largest wish wins"),
    (ConflictRule.FIRST.value, "First: who opened first wins"),
]
OWN_PROFILE = "own"
PROFILE_CHOICES = [
    ("conservative", "Conservative"),
    ("balanced", "Balanced"),
    ("aggressive", "Aggressive"),
    (OWN_PROFILE, "My own"),
]


class UserManager(BaseUserManager["User"]):
    """Creates users by e-mail address."""

    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person who signs in with an e-mail address.

        :raises ValueError: the address is empty
        """
        if not email:
            msg = "a user needs an e-mail address"
            raise ValueError(msg)
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        """Create an administrator."""
        return self.create_user(email, password, **{**fields, "role": User.Role.ADMIN.value})


class User(AbstractUser):
    """A person. The e-mail address is the sign-in name; roles widen what they may see, never whose money."""

    class Role(models.TextChoices):
        USER = "user", "User"
        OPERATOR = "operator", "Operator"
        ADMIN = "admin", "Admin"

    username = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.USER)
    last_portfolio_id = models.BigIntegerField(null=True, blank=True)
    language = models.CharField(
        max_length=8,
        blank=True,
        default="",
        help_text="Of pages and messages; empty: what the browser asks for.",
    )
    time_zone = models.CharField(
        max_length=64, blank=True, default="", help_text="IANA name in which times are shown; empty: UTC."
    )
    deleted_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="Its owner deleted the account then; the books stay."
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()  # type: ignore[assignment,misc]

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique_any_case"),
            models.CheckConstraint(
                condition=models.Q(role="user", is_staff=False, is_superuser=False)
                | models.Q(role="operator", is_staff=True, is_superuser=False)
                | models.Q(role="admin", is_staff=True, is_superuser=True),
                name="user_flags_follow_role",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, with Django's own flags as the role says (``accounts.roles``)."""
        self.is_staff = self.role != self.Role.USER
        self.is_superuser = self.role == self.Role.ADMIN
        only = kwargs.get("update_fields")
        if only is not None and "role" in only:
            kwargs["update_fields"] = {*only, "is_staff", "is_superuser"}
        super().save(*args, **kwargs)


class Portfolio(models.Model):
    """One person's mirror of several traders, in one market world.

    ``world`` is empty until the first follow and never changes after it. ``status`` ACTIVE trades,
    REDUCING only closes, HALTED decides nothing new; exits always pass.
    """

    class Mode(models.TextChoices):
        PAPER = "paper", "Paper"
        LIVE = "live", "Live"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        REDUCING = "reducing", "Reducing only"
        HALTED = "halted", "Halted"

    class TradingMode(models.TextChoices):
        MULTI = "multi", "Several positions"
        SINGLE = "single", "One position at a time"
        HYBRID = "hybrid", "Several, one once half a breaker is used"

    class Weighting(models.TextChoices):
        EQUAL = "equal", "Equal shares"
        CUSTOM = "custom", "My own percentages"

    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="portfolios")
    name = models.CharField(max_length=80)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.PAPER)
    policy = models.CharField(max_length=8, choices=POLICY_CHOICES, default=Policy.SPOT.value)
    risk_profile = models.CharField(max_length=16, choices=PROFILE_CHOICES, default="conservative")
    conflict_rule = models.CharField(max_length=8, choices=RULE_CHOICES, default=ConflictRule.COMBINE.value)
    auto_rebalance = models.BooleanField(default=False)
    trading_mode = models.CharField(
        max_length=8, choices=TradingMode.choices, default=TradingMode.MULTI, help_text="RSK-4."
    )
    weighting = models.CharField(max_length=8, choices=Weighting.choices, default=Weighting.EQUAL)
    approves_conflicts = models.BooleanField(
        default=False,
        help_text="A new conflict waits for its owner; until then the old target stands (CON-4).",
    )
    dry_run = models.BooleanField(
        default=False, help_text="Everything is decided and kept, nothing is ordered (CON-4)."
    )
    world = models.CharField(max_length=48, blank=True, default="")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    status_reason = models.CharField(max_length=240, blank=True, default="")
    created_at = models.DateTimeField(default=utc_now, editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint("owner", Lower("name"), name="portfolio_name_unique_per_owner"),
            models.CheckConstraint(
                condition=models.Q(policy__in=[p.value for p in Policy]), name="portfolio_policy_known"
            ),
            models.CheckConstraint(
                condition=models.Q(conflict_rule__in=[r.value for r in ConflictRule]),
                name="portfolio_rule_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name
