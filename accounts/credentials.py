"""Keeping keys of accounts elsewhere: store, rename, revoke, mark, list, seal anew.

What a key may do is asked of its venue before anything is stored (``engine.credentials``); here are the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import Model, QuerySet

from accounts.audit import audit_write
from accounts.domain.keys import key_mask, name_clean
from accounts.models import Credential, User
from accounts.sealing import AccountKeys, keys_seal, sealing
from accounts.selectors import BIGGEST_ID
from core.errors import InputError, NotFound

MAX_CREDENTIALS: Final = 20
RESEALED_AT_ONCE: Final = 200
_UNIQUE_NAME: Final = "credential_name_unique_per_owner"


@dataclass(frozen=True, slots=True)
class SealCount:
    """What became of the sealed texts of one column.

    :param done: sealed anew
    :param current: sealed with the newest key already
    :param broken: ids of those that no listed key opens
    """

    done: int
    current: int
    broken: tuple[int, ...]


def credentials_of(*, user: User | AnonymousUser) -> QuerySet[Credential]:
    """Return the person's own keys that are not revoked, oldest first; none for anybody else, whatever
    their role."""
    if not isinstance(user, User):
        return Credential.objects.none()
    return Credential.objects.filter(owner=user, revoked_at__isnull=True)


def credential_get(*, user: User | AnonymousUser, credential_id: int) -> Credential:
    """Return one of the person's own keys that is not revoked.

    :raises NotFound: there is none with this id, or it is someone else's; the two are not told apart
    """
    if 0 < credential_id <= BIGGEST_ID:
        credential = credentials_of(user=user).filter(pk=credential_id).first()
        if credential is not None:
            return credential
    raise NotFound(f"You have no key with the number {credential_id}.")


def credential_room_check(*, owner: User, name: str) -> None:
    """Refuse early what ``credential_store`` would refuse anyway: one too many, a name that is taken.

    :raises InputError: either of the two
    """
    living = credentials_of(user=owner)
    if living.count() >= MAX_CREDENTIALS:
        raise InputError(f"You keep {MAX_CREDENTIALS} keys already, the most one person can. Revoke one.")
    if living.filter(name=name).exists():
        raise _name_taken(name)


def credential_store(
    *,
    owner: User,
    purpose: str,
    venue: str,
    sandbox: bool,
    name: str,
    keys: AccountKeys,
    account_id: str,
    permissions: Sequence[str],
    via: str,
    now: datetime,
) -> Credential:
    """Keep a key whose permissions its venue has told, sealed, and say so in the audit log.

    :raises InputError: the name is taken, or the person keeps ``MAX_CREDENTIALS`` already
    """
    credential = Credential(
        owner=owner,
        purpose=Credential.Purpose(purpose).value,
        venue=venue,
        sandbox=sandbox,
        name=name,
        mask=key_mask(public=keys.account or keys.api_key),
        sealed=keys_seal(keys=keys),
        account_id=account_id,
        permissions=list(permissions),
        checked_at=now,
        created_at=now,
    )
    with transaction.atomic():
        User.objects.select_for_update(of=("self",), no_key=True).get(pk=owner.pk)
        credential_room_check(owner=owner, name=name)
        credential.save()
        _audit(
            "credential.add", credential, via=via, actor=owner, now=now, text=f"Keeps the key {credential}"
        )
    return credential


def credential_rename(*, credential: Credential, name: str, via: str, now: datetime) -> Credential:
    """Call a key something else; the audit log keeps both names.

    :raises InputError: the name is empty, too long or taken
    """
    wanted, before = name_clean(text=name), credential.name
    if wanted == before:
        return credential
    try:
        with transaction.atomic():
            Credential.objects.filter(pk=credential.pk).update(name=wanted)
            credential.name = wanted
            _audit(
                "credential.rename",
                credential,
                via=via,
                actor=credential.owner,
                now=now,
                text=f"Was “{before}”",
            )
    except IntegrityError as error:
        credential.name = before
        if _UNIQUE_NAME not in str(error):
            raise
        raise _name_taken(wanted) from None
    return credential


def credential_revoke(*, credential: Credential, via: str, now: datetime) -> bool:
    """Erase a key's secret for good and keep its row; False where somebody has just done so.

    Whether something still uses it is the caller's to ask (``engine.credentials``).
    """
    with transaction.atomic():
        living = Credential.objects.filter(pk=credential.pk, revoked_at__isnull=True)
        if not living.update(sealed="", revoked_at=now):
            return False
        credential.sealed, credential.revoked_at = "", now
        _audit(
            "credential.revoke", credential, via=via, actor=credential.owner, now=now,
            text=f"Erased the key {credential}",
        )  # fmt: skip
    return True


def credential_mark(
    *, credential: Credential, error: str, permissions: Sequence[str] | None, now: datetime
) -> bool:
    """Keep what a later check of a key found; return whether it is refused now and was not before.

    A refusal, and the end of one, is in the audit log.

    :param error: why the key must not be used any more, empty where it may
    :param permissions: what the venue said it may do; None where it did not say
    """
    with transaction.atomic():
        living = Credential.objects.select_for_update(of=("self",), no_key=True)
        row = living.select_related("owner").filter(pk=credential.pk, revoked_at__isnull=True).first()
        if row is None:
            return False
        before, row.check_error, row.checked_at = row.check_error, error[:300], now
        if permissions is not None:
            row.permissions = list(permissions)
        row.save(update_fields=["check_error", "checked_at", "permissions"])
        if bool(before) != bool(error):
            audit_write(
                action="credential.check",
                outcome="refused" if error else "done",
                via="system",
                actor="daily check of keys",
                text=f"{row}: {error or 'may be used again'}",
                data=_facts(row) | {"owner_id": row.owner_id},
                now=now,
            )
    return bool(error) and not before


def sealed_rotate(*, model: type[Model], column: str, batch: int = RESEALED_AT_ONCE) -> SealCount:
    """Seal every text of one column anew with the newest key of ``CREDENTIAL_KEYS``.

    Each is its own conditional UPDATE, so this can be cut off at any point, run again, and run beside people
    who enter and revoke keys. What no listed key opens is left as it is and named.
    """
    newest, opener = Fernet(settings.CREDENTIAL_KEYS[0]), sealing()
    done, current, broken = 0, 0, []
    for pk, sealed in _sealed(model, column, batch):
        if _opens(newest, sealed):
            current += 1
            continue
        try:
            anew = opener.rotate(sealed.encode()).decode()
        except InvalidToken:
            broken.append(pk)
            continue
        done += model._default_manager.filter(pk=pk, **{column: sealed}).update(**{column: anew})
    return SealCount(done=done, current=current, broken=tuple(broken))


def sealed_check(*, model: type[Model], column: str, batch: int = RESEALED_AT_ONCE) -> SealCount:
    """Open every text of one column and say how many the newest key opens, and which ones none does."""
    newest, opener = Fernet(settings.CREDENTIAL_KEYS[0]), sealing()
    older, current, broken = 0, 0, []
    for pk, sealed in _sealed(model, column, batch):
        if _opens(newest, sealed):
            current += 1
        elif _opens(opener, sealed):
            older += 1
        else:
            broken.append(pk)
    return SealCount(done=older, current=current, broken=tuple(broken))


def factors_rotate(*, batch: int = RESEALED_AT_ONCE) -> SealCount:
    """Seal the secrets of second factors anew, as ``sealed_rotate`` does with a column."""
    newest, opener = Fernet(settings.CREDENTIAL_KEYS[0]), sealing()
    done, current, broken = 0, 0, []
    for pk, data, part in _factors(batch):
        if _opens(newest, data[part]):
            current += 1
            continue
        try:
            anew = opener.rotate(data[part].encode()).decode()
        except InvalidToken:
            broken.append(pk)
            continue
        # A recovery code used meanwhile changes the row: this then changes nothing, and the next run does.
        unchanged = Authenticator.objects.filter(pk=pk, data=data)
        done += unchanged.update(data={**data, part: anew})
    return SealCount(done=done, current=current, broken=tuple(broken))


def factors_check(*, batch: int = RESEALED_AT_ONCE) -> SealCount:
    """Open the secrets of second factors, as ``sealed_check`` does with a column."""
    newest, opener = Fernet(settings.CREDENTIAL_KEYS[0]), sealing()
    older, current, broken = 0, 0, []
    for pk, data, part in _factors(batch):
        if _opens(newest, data[part]):
            current += 1
        elif _opens(opener, data[part]):
            older += 1
        else:
            broken.append(pk)
    return SealCount(done=older, current=current, broken=tuple(broken))


def _factors(batch: int) -> Iterator[tuple[int, dict[str, Any], str]]:
    """Return each second factor that has a secret, with the name of the part that is sealed."""
    last = 0
    while found := list(Authenticator.objects.filter(pk__gt=last).order_by("pk")[:batch]):
        for row in found:
            part = next((part for part in ("secret", "seed") if part in row.data), None)
            if part:
                yield row.pk, row.data, part
        last = found[-1].pk


def _sealed(model: type[Model], column: str, batch: int) -> Any:
    rows = model._default_manager.exclude(**{column: ""}).order_by("pk")
    last = 0
    while found := list(rows.filter(pk__gt=last).values_list("pk", column)[:batch]):
        yield from found
        last = found[-1][0]


def _opens(opener: Any, sealed: str) -> bool:
    try:
        opener.decrypt(sealed.encode())
    except InvalidToken:
        return False
    return True


def _name_taken(name: str) -> InputError:
    return InputError(f"You have a key called “{name}” already.", field="name")


def _facts(credential: Credential) -> dict[str, Any]:
    """Return what the audit log may know of a key."""
    return {
        "credential_id": credential.pk,
        "venue": credential.venue,
        "sandbox": credential.sandbox,
        "purpose": credential.purpose,
        "name": credential.name,
        "mask": credential.mask,
        "permissions": credential.permissions,
    }


def _audit(action: str, credential: Credential, *, via: str, actor: User, now: datetime, text: str) -> None:
    audit_write(
        action=action, outcome="done", via=via, actor=actor, text=text, data=_facts(credential), now=now
    )
