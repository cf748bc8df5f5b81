"""API tokens: made with a name and scopes, shown once, listed, and ended (API-1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from knox.models import AuthToken

from accounts.audit import audit_write
from accounts.domain.scopes import Scope
from accounts.models import ApiToken, AuditEntry, Portfolio, User
from core.errors import InputError, NotFound

NAMED_MOST: Final = 20
SIGN_INS_MOST: Final = 10
NAME_LENGTH: Final = 60
DAYS_MOST: Final = 365
SEEN_EVERY: Final = timedelta(minutes=1)
_NAME_ONCE: Final = "api_token_name_unique_per_owner"
_BIGGEST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token at its only moment in the clear."""

    token: str = field(repr=False)
    record: ApiToken


def api_token_create(
    *,
    owner: User,
    name: str,
    scopes: tuple[Scope, ...],
    lifetime: timedelta,
    portfolio: Portfolio | None = None,
    via: str,
    now: datetime,
) -> NewToken:
    """Make a token; it is shown this once and stored as a digest.

    Without a name it is a program's sign-in: of those the oldest makes room. Named ones are ended by hand.

    :param scopes: as ``scopes_clean`` returns them
    :param portfolio: the only one it reaches, fetched through its owner; None: all of the owner's
    :raises InputError: the name is used already or too long, the lifetime makes no sense, or there are too
        many
    """
    name = " ".join(name.split())
    if len(name) > NAME_LENGTH or not name.isprintable():
        raise InputError(
            _("A name has at most %(most)d plain characters.") % {"most": NAME_LENGTH}, field="name"
        )
    if not timedelta(days=1) <= lifetime <= timedelta(days=DAYS_MOST):
        raise InputError(_("A token lives 1 to %(most)d days.") % {"most": DAYS_MOST}, field="days")
    try:
        with transaction.atomic():
            User.objects.select_for_update(of=("self",), no_key=True).get(pk=owner.pk)
            _room_make(owner=owner, named=bool(name), now=now)
            stored, token = AuthToken.objects.create(user=owner, expiry=lifetime)
            record = ApiToken.objects.create(
                token=stored, owner=owner, name=name, scopes=list(scopes), portfolio=portfolio, created_at=now
            )
            _tell(record=record, action="token.create", actor=owner, via=via, now=now)
    except IntegrityError as error:
        if _NAME_ONCE not in str(error):
            raise
        taken = _("You have a token called “%(name)s” already.") % {"name": name}
        raise InputError(taken, field="name") from None
    return NewToken(token=token, record=record)


def api_tokens_of(*, user: User | AnonymousUser) -> QuerySet[ApiToken]:
    """Return a person's tokens that have not expired, oldest first; none for someone not signed in."""
    if not isinstance(user, User):
        return ApiToken.objects.none()
    return ApiToken.objects.filter(owner=user).select_related("token", "portfolio").order_by("pk")


def api_tokens_living(*, user: User | AnonymousUser, now: datetime) -> QuerySet[ApiToken]:
    """Return those of a person's tokens that still open something."""
    return api_tokens_of(user=user).filter(Q(token__expiry__isnull=True) | Q(token__expiry__gt=now))


def api_token_get(*, user: User | AnonymousUser, token_id: int) -> ApiToken:
    """Return one of a person's tokens.

    :raises NotFound: there is none of this number, or it is someone else's
    """
    found = api_tokens_of(user=user).filter(pk=token_id).first() if 0 < token_id <= _BIGGEST_ID else None
    if found is None:
        raise NotFound(_("You have no token with the number %(number)d.") % {"number": token_id})
    return found


@transaction.atomic
def api_token_end(*, record: ApiToken, actor: User, via: str, now: datetime) -> None:
    """End a token at once; twice is harmless."""
    if AuthToken.objects.filter(pk=record.token_id).delete()[0]:
        _tell(record=record, action="token.revoke", actor=actor, via=via, now=now)


def api_token_seen(*, record: ApiToken, now: datetime) -> None:
    """Remember that a token was used, at most once a minute."""
    if record.last_used_at is None or now - record.last_used_at >= SEEN_EVERY:
        ApiToken.objects.filter(pk=record.pk).update(last_used_at=now)


def _room_make(*, owner: User, named: bool, now: datetime) -> None:
    if named:
        if api_tokens_living(user=owner, now=now).exclude(name="").count() >= NAMED_MOST:
            text = _("You have %(most)d tokens already. End one that is not used any more.")
            raise InputError(text % {"most": NAMED_MOST})
        AuthToken.objects.filter(user=owner, expiry__lte=now).delete()
        return
    newest_first = ApiToken.objects.filter(owner=owner, name="").order_by("-pk")
    gone = newest_first.values_list("token_id", flat=True)[SIGN_INS_MOST - 1 :]
    AuthToken.objects.filter(pk__in=list(gone)).delete()


def _tell(*, record: ApiToken, action: str, actor: User, via: str, now: datetime) -> None:
    audit_write(
        action=action,
        outcome=AuditEntry.Outcome.DONE.value,
        via=via,
        actor=actor,
        portfolio_id=record.portfolio_id,
        text=record.name,
        data={"token_id": record.pk, "scopes": list(record.scopes)},
        now=now,
    )
