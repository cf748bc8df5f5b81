"""SEC-1: everything sealed is sealed anew with the newest key, however often that is begun or cut off."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command

from accounts.credentials import sealed_check, sealed_rotate
from accounts.models import Credential, User
from accounts.sealing import AccountKeys, keys_open, keys_seal

pytestmark = pytest.mark.django_db
OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


@pytest.fixture
def five(alice: User, settings: Any) -> list[Credential]:
    """Four keys sealed with the old key, and a revoked one; the new key stands first from now on."""
    settings.CREDENTIAL_KEYS = [OLD]
    made = [
        Credential.objects.create(
            owner=alice, name=f"k{number}", venue="okx", purpose="follow", mask="…",
            sealed=keys_seal(keys=AccountKeys(api_key=f"key {number}", secret="s")),
        )
        for number in range(4)
    ]  # fmt: skip
    Credential.objects.create(
        owner=alice, name="gone", venue="okx", purpose="follow", mask="…", revoked_at=made[0].created_at
    )
    settings.CREDENTIAL_KEYS = [NEW, OLD]
    return made


def _run(what: str) -> str:
    out = StringIO()
    call_command("credential_keys", what, stdout=out)
    return out.getvalue()


def test_rotation_seals_everything_with_the_newest_key(five: list[Credential], settings: Any) -> None:
    """Afterwards the old key can be dropped, and the same secrets open."""
    assert "4 open with an older key: run rotate, 0 open with the newest" in _run("check")
    assert "4 sealed anew, 0 open with the newest key, 0 with none" in _run("rotate")
    settings.CREDENTIAL_KEYS = [NEW]
    opened = [keys_open(credential=row).api_key for row in Credential.objects.exclude(sealed="")]
    assert opened == ["key 0", "key 1", "key 2", "key 3"]
    assert "0 open with an older key: run rotate, 4 open with the newest key, 0 with none" in _run("check")
    assert Credential.objects.get(name="gone").sealed == ""


def test_rotation_can_be_cut_off_and_begun_again(five: list[Credential]) -> None:
    """What is done stays done and is not touched again."""
    sealed = {row.pk: row.sealed for row in five}
    rows = list(Credential.objects.filter(pk__in=sealed))
    Credential.objects.filter(pk=rows[0].pk).update(sealed=Fernet(NEW).encrypt(b"{}").decode())
    first = Credential.objects.get(pk=rows[0].pk).sealed
    count = sealed_rotate(model=Credential, column="sealed", batch=2)
    assert (count.done, count.current, count.broken) == (3, 1, ())
    assert Credential.objects.get(pk=rows[0].pk).sealed == first
    before = list(Credential.objects.values_list("sealed", flat=True))
    again = sealed_rotate(model=Credential, column="sealed", batch=2)
    assert (again.done, again.current) == (0, 4)
    assert list(Credential.objects.values_list("sealed", flat=True)) == before


def test_rotation_leaves_alone_what_changes_under_it(
    five: list[Credential], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is revoked while it is sealed anew stays revoked."""
    from accounts import credentials

    victim = five[1]
    opener = credentials.sealing()

    class Meanwhile:
        def rotate(self, token: bytes) -> bytes:
            if token.decode() == victim.sealed:
                Credential.objects.filter(pk=victim.pk).update(sealed="", revoked_at=victim.created_at)
            return opener.rotate(token)

    monkeypatch.setattr(credentials, "sealing", Meanwhile)
    assert sealed_rotate(model=Credential, column="sealed").done == 3
    assert Credential.objects.get(pk=victim.pk).sealed == ""


def test_what_no_key_opens_is_named_and_kept(five: list[Credential], settings: Any) -> None:
    """The command fails loudly; nothing is thrown away, and the others are done."""
    lost = five[2]
    stranger = Fernet(Fernet.generate_key()).encrypt(b"{}").decode()
    Credential.objects.filter(pk=lost.pk).update(sealed=stranger)
    for what in ("check", "rotate"):
        out = StringIO()
        with pytest.raises(CommandError, match="1 cannot be opened"):
            call_command("credential_keys", what, stdout=out)
        assert f"not opened: {lost.pk}" in out.getvalue()
    assert Credential.objects.get(pk=lost.pk).sealed == stranger
    assert sealed_check(model=Credential, column="sealed").current == 3


def test_a_new_key_is_one_that_seals() -> None:
    """And every call makes another."""
    first, second = _run("new").strip(), _run("new").strip()
    assert Fernet(first).decrypt(Fernet(first).encrypt(b"x")) == b"x"
    assert first != second
