"""What an API token may do, and the answers kept so that a repeated request is carried out once."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from knox.models import AuthToken

from accounts.domain.scopes import Scope
from accounts.models.people import Portfolio, User
from core.clock import utc_now

_SCOPES = [scope.value for scope in Scope]


class ApiToken(models.Model):
    """What one API token may do. The token itself is knox's row, stored as a digest; both end together.

    ``name`` is empty where a program got it for e-mail and password.
    """

    token = models.OneToOneField(AuthToken, on_delete=models.CASCADE, related_name="grant")
    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60, blank=True, default="")
    scopes = ArrayField(models.CharField(max_length=10), help_text="What it may be used for.")
    portfolio = models.ForeignKey(
        Portfolio,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="api_tokens",
        help_text="The only one it reaches; empty: every portfolio of its owner.",
    )
    created_at = models.DateTimeField(default=utc_now, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=_SCOPES, scopes__len__gt=0), name="api_token_scopes_known"
            ),
            models.UniqueConstraint(
                fields=["owner", "name"], condition=~Q(name=""), name="api_token_name_unique_per_owner"
            ),
        ]

    def __str__(self) -> str:
        return self.name or "sign-in of a program"


class KeptAnswer(models.Model):
    """One request under an ``Idempotency-Key`` of its person, and the answer it got.

    ``status`` is empty while the request works, and stays so where the process died meanwhile: then nobody
    knows whether it was carried out, and it is not carried out again.
    """

    owner = models.ForeignKey(User, on_delete=models.CASCADE, related_name="kept_answers")
    key = models.CharField(max_length=80)
    fingerprint = models.CharField(max_length=64, help_text="Of method, address and body, keyed.")
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    sealed = models.TextField(blank=True, default="", help_text="The answer's body, encrypted.")
    claimed_at = models.DateTimeField(default=utc_now)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["claimed_at"], name="kept_answer_oldest")]
        constraints = [
            models.UniqueConstraint(fields=["owner", "key"], name="kept_answer_once_per_key"),
            models.CheckConstraint(
                condition=Q(status__isnull=True, ended_at__isnull=True, sealed="")
                | Q(status__isnull=False, ended_at__isnull=False),
                name="kept_answer_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status or 'working'}"
