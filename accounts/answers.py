"""Requests that are sent twice and carried out once: the claim of a key, and the answer kept for a day.

    claim    one INSERT, committed before anything is done; whoever comes second finds it
    keep     the answer, sealed, since it may show a secret this once
    release  nothing was done: the key is free again

A claim that is never kept nor released belongs to a process that died in between. Whether its request was
carried out is unknown, and unknown is not failed: it is not carried out again under this key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, transaction

from accounts.models import KeptAnswer, User
from accounts.sealing import text_open, text_seal
from core.errors import EnsembleError, KeyReused

KEPT_FOR: Final = timedelta(hours=24)
WORKS_FOR: Final = timedelta(minutes=1)  # no request takes longer
PRUNED_AT_ONCE: Final = 5_000
_ONCE: Final = "kept_answer_once_per_key"


class StillWorking(EnsembleError):
    """The first request under this key is being carried out; ask again in a moment."""


class OutcomeUnknown(EnsembleError):
    """The first request under this key never came to an end that is known."""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given the first time; the body is JSON, or empty."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to carry a request out; ``kept`` where that was done before."""

    record_id: int
    kept: Kept | None = None


def answer_claim(*, owner: User, key: str, fingerprint: str, now: datetime) -> Claim:
    """Claim a key for a request, or return the answer it got before. Call it outside any transaction.

    :raises KeyReused: the key was sent with another request within the last day
    :raises StillWorking: the same request works at this moment
    :raises OutcomeUnknown: see the module
    """
    KeptAnswer.objects.filter(owner=owner, key=key, claimed_at__lte=now - KEPT_FOR).delete()
    try:
        with transaction.atomic():
            made = KeptAnswer.objects.create(owner=owner, key=key, fingerprint=fingerprint, claimed_at=now)
    except IntegrityError as error:
        if _ONCE not in str(error):
            raise
    else:
        return Claim(record_id=made.pk)
    return _known(owner=owner, key=key, fingerprint=fingerprint, now=now)


def _known(*, owner: User, key: str, fingerprint: str, now: datetime) -> Claim:
    known = KeptAnswer.objects.filter(owner=owner, key=key).first()
    if known is None:  # released between our try and this look
        raise StillWorking("The same request has just been refused. Send it again.")
    if known.fingerprint != fingerprint:
        raise KeyReused("This key was sent with another request. Make a new key for a new wish.")
    if known.status is not None:
        return Claim(record_id=known.pk, kept=Kept(status=known.status, body=text_open(sealed=known.sealed)))
    if now - known.claimed_at < WORKS_FOR:
        raise StillWorking("The same request is being carried out. Ask again in a moment.")
    raise OutcomeUnknown(
        "Whether the first request with this key was carried out is not known. Look at what it was to "
        "change, then send it with a new key if it is still wanted."
    )


def answer_keep(*, claim: Claim, kept: Kept, now: datetime) -> None:
    """Keep the answer to a claimed request."""
    rows = KeptAnswer.objects.filter(pk=claim.record_id, status__isnull=True)
    rows.update(status=kept.status, sealed=text_seal(text=kept.body), ended_at=now)


def answer_release(*, claim: Claim) -> None:
    """Let the key go: the request was refused and nothing was done."""
    KeptAnswer.objects.filter(pk=claim.record_id, status__isnull=True).delete()


def answers_prune(*, now: datetime) -> int:
    """Delete a batch of what is older than a day; return how many."""
    old = KeptAnswer.objects.filter(claimed_at__lte=now - KEPT_FOR).order_by("pk")
    batch = list(old.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
    return int(KeptAnswer.objects.filter(pk__in=batch).delete()[0])
