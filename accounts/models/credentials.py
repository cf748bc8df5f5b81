"""Keys of a person's accounts elsewhere. What is secret is stored sealed; see ``accounts.sealing``."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from accounts.models.people import User
from core.clock import utc_now


class Credential(models.Model):
    """One key of one account at a venue. Its owner alone sees that it is there; nobody sees what it is.

    A key serves one purpose: to follow the account as a trader, for which it may read and nothing else, or
    to trade for a live portfolio. A key that can withdraw is never kept. A revoked key keeps its row, since
    orders and the audit log speak of it, and loses its secret.
    """

    class Purpose(models.TextChoices):
        FOLLOW = "follow", "Follow this account (read only)"
        TRADE = "trade", "Trade with this account"

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="credentials")
    purpose = models.CharField(max_length=6, choices=Purpose.choices)
    venue = models.CharField(max_length=24, help_text="The exchange as ccxt names it, e.g. 'binance'.")
    sandbox = models.BooleanField(default=False, help_text="An account of the venue's test environment.")
    name = models.CharField(max_length=80, help_text="What its owner calls it.")
    mask = models.CharField(max_length=24, help_text="The public part, shortened, to tell keys apart by.")
    sealed = models.TextField(blank=True, default="", help_text="Encrypted; empty once it is revoked.")
    account_id = models.CharField(
        max_length=120,
        blank=True,
        default="",
        help_text="The account behind it as the venue names it; two keys of one account share it.",
    )
    permissions = models.JSONField(default=list, help_text="What the venue said the key may do.")
    checked_at = models.DateTimeField(null=True, blank=True, help_text="Its permissions were read then.")
    check_error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(default=utc_now, editable=False)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) & ~Q(sealed="") | Q(revoked_at__isnull=False, sealed=""),
                name="credential_sealed_until_revoked",
            ),
            models.UniqueConstraint(
                fields=["owner", "name"],
                condition=Q(revoked_at__isnull=True),
                name="credential_name_unique_per_owner",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.venue} {self.mask}"
