"""SEC-1, FOL-2: keys are checked, kept sealed, renamed, revoked and looked at again, by their owner alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from accounts.credentials import (
    MAX_CREDENTIALS,
    credential_get,
    credential_mark,
    credential_rename,
    credential_revoke,
    credentials_of,
)
from accounts.domain.keys import key_mask, name_clean, secret_clean, text_without
from accounts.models import AuditEntry, Credential, LiveAccount, User
from accounts.sealing import SealBroken, keys_open
from allocation.models import Follow
from core.clock import utc_now
from core.errors import InputError, NotFound, RetryLater
from core.types import TraderKind
from engine.credentials import (
    TRIES_PER_HOUR,
    credential_add,
    credential_end,
    credential_users,
    credentials_check,
)
from markets.models import LIVE
from markets.services import world_ensure
from tests.api.making import portfolio_make
from tests.keys.conftest import MASTER, SECRETS, WALLET, WALLET_KEY, ec_pem, wish_of
from tests.loopback.keys import BINANCE_KEY, PATHS, KeyVenues
from traders.models import Trader
from traders.reading import read_loop, read_loop_close

pytestmark = pytest.mark.django_db


def _add(owner: User, venue: str = "binance", **changed: Any) -> Credential:
    wish = wish_of(venue, **changed)
    return credential_add(owner=owner, wish=wish, via="page", now=utc_now())


def _audited() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("action", "outcome"))


# ---------------------------------------------------------------- adding
def test_a_key_is_kept_sealed_and_shown_masked(venues: KeyVenues, alice: User) -> None:
    """What is stored: the seal, a mask, the account, the venue's words, and an entry without any secret."""
    made = _add(alice, name="  My   key ")
    public, secret = SECRETS["binance"]
    assert (made.name, made.mask, made.account_id) == ("My key", "vmPU…Eh8A", "354937868")
    assert made.permissions == ["enableFixReadOnly", "enableReading"]
    assert made.check_error == ""
    row = Credential.objects.get()
    assert secret not in row.sealed
    assert public not in row.sealed
    opened = keys_open(credential=row)
    assert (opened.api_key, opened.secret) == (public, secret)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.outcome, entry.actor_id, entry.via) == (
        "credential.add",
        "done",
        alice.pk,
        "page",
    )
    assert entry.data["mask"] == "vmPU…Eh8A"


@pytest.mark.parametrize("venue", ["bybit", "kraken", "coinbase", "okx", "kucoin"])
def test_each_venue_has_its_fields(venues: KeyVenues, alice: User, venue: str) -> None:
    """What was entered is what signs, with the white space of copying taken away."""
    wish = wish_of(venue)
    made = credential_add(
        owner=alice,
        wish=wish_of(venue, api_key=f" {wish.api_key}\n", passphrase=f" {wish.passphrase} "),
        via="api",
        now=utc_now(),
    )
    opened = keys_open(credential=made)
    assert (opened.api_key, opened.secret, opened.password) == (wish.api_key, wish.secret, wish.passphrase)


def test_hyperliquid_keeps_an_api_wallet(venues: KeyVenues, alice: User) -> None:
    """The mask is the account's, the key its agent's."""
    venues.answer(PATHS["hyperliquid"], {"role": "agent", "data": {"user": MASTER}})
    made = _add(alice, "hyperliquid")
    opened = keys_open(credential=made)
    assert (opened.api_key.lower(), opened.secret, opened.account) == (WALLET, WALLET_KEY, MASTER)
    assert (made.mask, made.account_id) == ("0x31…974b", MASTER)


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    ("binance", {"purpose": "gamble"}, "purpose", "Say what the key is for"),
    ("binance", {"name": " "}, "name", "Give the key a name"),
    ("binance", {"name": "n" * 81}, "name", "at most 80"),
    ("binance", {"name": f"my {SECRETS['binance'][1]}"}, "name", "holds a part of the key"),
    ("binance", {"name": f"my {SECRETS['binance'][0]}"}, "name", "holds a part of the key"),
    ("binance", {"api_key": ""}, "api_key", "Enter the API key"),
    ("binance", {"api_key": "x" * 401}, "api_key", "too long"),
    ("binance", {"api_key": "żółw"}, "api_key", "holds characters"),
    ("binance", {"secret": "  "}, "secret", "Enter the secret"),
    ("binance", {"secret": SECRETS["binance"][0]}, "secret", "same text"),
    ("okx", {"passphrase": " "}, "passphrase", "passphrase"),
    ("okx", {"passphrase": "a\nb"}, "passphrase", "one line"),
    ("hyperliquid", {"purpose": "follow"}, "purpose", "no key is needed"),
    ("hyperliquid", {"account": "0x12"}, "account", "40 hexadecimal"),
    ("hyperliquid", {"secret": "0x12"}, "secret", "64 hexadecimal"),
    ("kraken", {"sandbox": True}, "sandbox", "no test environment"),
    ("bitfinex", {}, "venue", "could not be told whether it can withdraw"),
    ("x" * 300, {}, "venue", "could not be told"),
]


@pytest.mark.parametrize(("venue", "changed", "field", "words"), REFUSED)
def test_what_makes_no_sense_is_refused_before_anybody_is_asked(
    venues: KeyVenues, alice: User, venue: str, changed: dict[str, Any], field: str, words: str
) -> None:
    """Named by its field; nothing asked, nothing stored, the try is in the audit log."""
    with pytest.raises(InputError, match=words) as refused:
        _add(alice, venue, **changed)
    assert refused.value.field == field
    assert venues.asked == []
    assert not Credential.objects.exists()
    assert _audited() == [("credential.add", "refused")]


@pytest.mark.parametrize(
    ("says", "purpose", "words"),
    [
        ({"enableWithdrawals": True}, "follow", "can withdraw"),
        ({"enableWithdrawals": True, "enableSpotAndMarginTrading": True}, "trade", "can withdraw"),
        ({"enableSpotAndMarginTrading": True}, "follow", "can trade"),
        ({"permitsUniversalTransfer": True}, "follow", "can move money"),
        ({}, "trade", "cannot trade"),
        ({"enableReading": False}, "follow", "cannot read"),
    ],
)
def test_a_key_that_may_do_the_wrong_things_is_never_stored(
    venues: KeyVenues, alice: User, says: dict[str, Any], purpose: str, words: str
) -> None:
    """A key that can withdraw is refused; one that does more or less than its purpose needs, too."""
    venues.say("binance", BINANCE_KEY, **says)
    with pytest.raises(InputError, match=words):
        _add(alice, purpose=purpose)
    assert not Credential.objects.exists()
    assert _audited() == [("credential.add", "refused")]


def test_a_venue_that_does_not_answer_means_try_later(venues: KeyVenues, alice: User) -> None:
    """Nothing is stored on a guess."""
    venues.answer(PATHS["binance"], "down", status=503)
    with pytest.raises(RetryLater):
        _add(alice)
    assert not Credential.objects.exists()
    assert _audited() == [("credential.add", "failed")]


def test_a_fault_of_ours_is_in_the_audit_log_too(
    venues: KeyVenues, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens, the try is known."""

    def broken(**_: Any) -> None:
        raise ZeroDivisionError("something else")

    monkeypatch.setattr("engine.credentials.permissions_read", broken)
    with pytest.raises(ZeroDivisionError):
        _add(alice)
    assert _audited() == [("credential.add", "failed")]
    assert "something else" not in AuditEntry.objects.get().text


def test_a_name_is_used_once_and_free_again_after_revoking(venues: KeyVenues, alice: User, bob: User) -> None:
    """Per person; the database holds it too."""
    made = _add(alice, name="One")
    with pytest.raises(InputError, match="already") as refused:
        _add(alice, name="One")
    assert refused.value.field == "name"
    _add(bob, name="One")
    credential_end(credential=made, via="page", now=utc_now())
    _add(alice, name="One")
    with pytest.raises(IntegrityError), transaction.atomic():
        Credential.objects.create(
            owner=alice, name="One", venue="okx", purpose="follow", mask="…", sealed="x"
        )


def test_at_most_twenty_are_kept(venues: KeyVenues, alice: User) -> None:
    """The twenty-first is refused, and its venue not asked; a revoked one makes room."""
    for number in range(MAX_CREDENTIALS):
        Credential.objects.create(
            owner=alice, name=f"k{number}", venue="okx", purpose="follow", mask="…", sealed="x"
        )
    with pytest.raises(InputError, match="20 keys already"):
        _add(alice)
    assert venues.asked == []
    oldest = credentials_of(user=alice)[0]
    credential_revoke(credential=oldest, via="page", now=utc_now())
    _add(alice)
    assert credentials_of(user=alice).count() == MAX_CREDENTIALS


def test_tries_are_bounded_per_person(venues: KeyVenues, alice: User, bob: User) -> None:
    """Nobody guesses keys through here; another person's tries do not count."""
    venues.answer(PATHS["binance"], {"code": -2015, "msg": "Invalid API-key"}, status=401)
    for _ in range(TRIES_PER_HOUR):
        with pytest.raises(InputError, match="does not accept"):
            _add(alice)
    asked = len(venues.asked)
    with pytest.raises(InputError, match="Wait an hour"):
        _add(alice)
    assert len(venues.asked) == asked
    with pytest.raises(InputError, match="does not accept"):
        _add(bob)


# ---------------------------------------------------------------- whose
def test_nobody_else_can_reach_a_key(venues: KeyVenues, alice: User, charlie: User) -> None:
    """FOL-2: Charlie is told the same as for a key that does not exist; so is Alice after revoking."""
    made = _add(alice)
    assert credential_get(user=alice, credential_id=made.pk) == made
    with pytest.raises(NotFound):
        credential_get(user=charlie, credential_id=made.pk)
    for number in (0, -1, 2**63, made.pk + 1):
        with pytest.raises(NotFound):
            credential_get(user=alice, credential_id=number)
    root = User.objects.create_superuser("root@example.com", "a long enough password")
    assert not credentials_of(user=root).exists()
    credential_end(credential=made, via="page", now=utc_now())
    with pytest.raises(NotFound):
        credential_get(user=alice, credential_id=made.pk)


# ---------------------------------------------------------------- renaming, revoking
def test_renaming_keeps_both_names_in_the_audit_log(venues: KeyVenues, alice: User) -> None:
    """A taken name is refused and the old one stays."""
    made, other = _add(alice, name="One"), _add(alice, name="Two")
    credential_rename(credential=made, name=" First ", via="page", now=utc_now())
    assert Credential.objects.get(pk=made.pk).name == "First"
    assert AuditEntry.objects.get(action="credential.rename").text == "Was “One”"
    with pytest.raises(InputError, match="already"):
        credential_rename(credential=other, name="First", via="page", now=utc_now())
    assert other.name == Credential.objects.get(pk=other.pk).name == "Two"


def test_revoking_erases_the_secret_once(venues: KeyVenues, alice: User) -> None:
    """The row stays, since others speak of it; a second press does nothing."""
    made = _add(alice)
    assert credential_end(credential=made, via="page", now=utc_now()) is True
    assert credential_end(credential=made, via="page", now=utc_now()) is False
    row = Credential.objects.get()
    assert row.sealed == ""
    assert row.revoked_at is not None
    with pytest.raises(SealBroken, match="revoked"):
        keys_open(credential=row)
    assert _audited() == [("credential.add", "done"), ("credential.revoke", "done")]


def test_a_key_that_is_used_is_not_revoked(venues: KeyVenues, alice: User) -> None:
    """What has to be stopped first is named; a follow that ended is no use."""
    made = _add(alice)
    portfolio = portfolio_make(owner=alice)
    trader = Trader.objects.create(
        kind="exchange",
        key=f"binance:{made.pk}",
        name="My Binance",
        monogram="MB",
        world="live",
        owner=alice,
        credential=made,
    )
    follow = Follow.objects.create(portfolio=portfolio, trader=trader, place=1, hue=1)
    with pytest.raises(InputError, match=f"{portfolio.name} follows My Binance with it"):
        credential_end(credential=made, via="page", now=utc_now())
    assert Credential.objects.get().sealed != ""
    assert _audited()[-1] == ("credential.revoke", "refused")
    Follow.objects.filter(pk=follow.pk).update(status=Follow.Status.REMOVED)
    assert credential_users(credential=made) == []
    assert credential_end(credential=made, via="page", now=utc_now()) is True


def test_a_key_that_a_live_account_trades_with_is_not_revoked(venues: KeyVenues, alice: User) -> None:
    """In shadow and live; a stopped account lets go of it."""
    venues.say("binance", BINANCE_KEY, enableSpotAndMarginTrading=True)
    made = _add(alice, purpose="trade")
    portfolio = portfolio_make(owner=alice)
    account = LiveAccount.objects.create(
        portfolio=portfolio, credential=made, venue="binance", policy="spot", quote="USDC",
        account_id=made.account_id, assigned=1000, confirmed_at=utc_now(), confirmed_by=alice.email,
        promoted_at=utc_now(),
    )  # fmt: skip
    for state in ("shadow", "promoting", "live", "stopping"):
        LiveAccount.objects.filter(pk=account.pk).update(state=state)
        with pytest.raises(InputError, match=f"{portfolio.name} trades with it"):
            credential_end(credential=made, via="page", now=utc_now())
    assert Credential.objects.get().sealed != ""
    LiveAccount.objects.filter(pk=account.pk).update(state="stopped", stopped_at=utc_now())
    assert credential_end(credential=made, via="page", now=utc_now()) is True


# ---------------------------------------------------------------- the daily look
def test_a_key_is_asked_about_once_a_day(venues: KeyVenues, alice: User) -> None:
    """Not before; and what is still right stays in use."""
    made = _add(alice)
    asked = len(venues.asked)
    assert credentials_check(now=utc_now()).fine == ()
    assert len(venues.asked) == asked
    tomorrow = _tomorrow(made)
    assert credentials_check(now=tomorrow).fine == (made.pk,)
    row = Credential.objects.get()
    assert (row.checked_at, row.check_error) == (tomorrow, "")
    assert credentials_check(now=tomorrow).fine == ()


@pytest.mark.parametrize(
    ("says", "words"),
    [({"enableWithdrawals": True}, "can withdraw"), ({"enableFutures": True}, "can trade")],
)
def test_a_key_that_has_come_to_do_more_is_marked(
    venues: KeyVenues, alice: User, says: dict[str, Any], words: str
) -> None:
    """It is told once, as what must stop now; when it is put right, it may be used again."""
    made = _add(alice)
    venues.say("binance", BINANCE_KEY, **says)
    at = _tomorrow(made)
    assert credentials_check(now=at).refused == (made.pk,)
    assert words in Credential.objects.get().check_error
    assert credentials_check(now=at + timedelta(days=1)).refused == ()
    venues.say("binance", BINANCE_KEY)
    assert credentials_check(now=at + timedelta(days=2)).fine == (made.pk,)
    assert Credential.objects.get().check_error == ""
    assert _audited() == [
        ("credential.add", "done"),
        ("credential.check", "refused"),
        ("credential.check", "done"),
    ]


def test_a_key_its_venue_dropped_or_that_opens_another_account_is_marked(
    venues: KeyVenues, alice: User
) -> None:
    """Neither is what was entered."""
    made = _add(alice)
    venues.answer(PATHS["binance account"], {"canTrade": True, "uid": 1})
    at = _tomorrow(made)
    assert credentials_check(now=at).refused == (made.pk,)
    assert "another account" in Credential.objects.get().check_error
    venues.answer(PATHS["binance"], {"code": -2015, "msg": "Invalid API-key"}, status=401)
    credentials_check(now=at + timedelta(days=1))
    assert "does not accept" in Credential.objects.get().check_error


def test_an_answer_that_does_not_come_changes_nothing_and_is_asked_for_again(
    venues: KeyVenues, alice: User
) -> None:
    """Unknown is not refused, and one venue that is away holds up no other's keys."""
    made, other = _add(alice), _add(alice, "kraken", name="Other")
    venues.answer(PATHS["binance"], "down", status=503)
    at = _tomorrow(other)
    done = credentials_check(now=at)
    assert (done.unheard, done.fine, done.refused) == ((made.pk,), (other.pk,), ())
    row = Credential.objects.get(pk=made.pk)
    assert (row.check_error, row.checked_at) == ("", made.checked_at)
    assert credentials_check(now=at).unheard == (made.pk,)


def test_a_key_that_no_listed_key_opens_is_marked(venues: KeyVenues, alice: User, settings: Any) -> None:
    """It could not be used; the words say what is missing."""
    made = _add(alice)
    settings.CREDENTIAL_KEYS = ["x6nTnd9yKmGqxVYq4cTnHcPBPrb5nlk3rDNyDFnZpNE="]
    credentials_check(now=_tomorrow(made))
    assert "CREDENTIAL_KEYS lacks" in Credential.objects.get().check_error


def test_a_mark_does_not_bring_a_revoked_key_back(venues: KeyVenues, alice: User) -> None:
    """A check that was under way while the owner revoked it ends in nothing."""
    made = _add(alice)
    credential_end(credential=Credential.objects.get(), via="page", now=utc_now())
    assert credential_mark(credential=made, error="late", permissions=None, now=utc_now()) is False
    assert Credential.objects.get().check_error == ""


def test_an_account_is_not_read_with_a_key_that_was_marked(venues: KeyVenues, alice: User) -> None:
    """What follows it sees a read that failed, with the reason; its venue is not asked."""
    made, now = _add(alice), utc_now()
    Credential.objects.update(check_error="This key can withdraw money from Binance.")
    asked = len(venues.asked)
    clock = world_ensure(name=LIVE, now=now).clock()
    key = f"binance:{made.pk}"
    found = read_loop().read(TraderKind.EXCHANGE, [key], clock=clock, now=now, max_wait_s=1)[0]
    read_loop_close()
    assert found.read is None
    assert found.failure is not None
    assert "is not used any more (This key can withdraw money" in found.failure.reason
    assert len(venues.asked) == asked


# ---------------------------------------------------------------- the words
def test_masks_show_the_ends_of_what_is_long_enough() -> None:
    """And nothing of anything short."""
    assert key_mask(public="vmPUZE6mv9SD5VNHk4Eh8A") == "vmPU…Eh8A"
    assert key_mask(public="short-key") == "…"


def test_a_pem_key_gets_its_lines_back() -> None:
    """A form's field takes them away, and JSON writes them as backslash n."""
    pem = ec_pem()
    for typed in (pem, pem.replace("\n", "\\n"), pem.replace("\n", " "), pem.replace("\n", "")):
        assert secret_clean(text=typed) == pem


def test_secrets_are_struck_out_of_what_others_wrote() -> None:
    """With and without 0x; short words are left alone."""
    said = f"cannot sign with {WALLET_KEY} nor {WALLET_KEY[2:]} nor abc"
    assert text_without(text=said, secrets=(WALLET_KEY, "abc")) == "cannot sign with … nor … nor abc"
    with pytest.raises(InputError):
        name_clean(text=f"key {WALLET_KEY[2:]}", secrets=(WALLET_KEY,))


def _tomorrow(credential: Credential) -> datetime:
    assert credential.checked_at is not None
    return credential.checked_at + timedelta(days=1)


def test_a_wish_shows_no_secret() -> None:
    """Its repr may end up anywhere."""
    wish = wish_of("okx")
    for part in (wish.api_key, wish.secret, wish.passphrase):
        assert part not in repr(wish)
        assert part not in str(wish)
