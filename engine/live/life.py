"""A portfolio's way to a real account and back: connect → shadow → live → stopped (BEY-8).

Each step is one transaction under the portfolio's capital row, and raises its version: no cycle that was
decided before acts after. What is open is closed first, in calls that may be repeated by anybody.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db import IntegrityError, transaction

from accounts.models import RAMP, Credential, LiveAccount, LiveFinding, LiveHolding, Portfolio
from allocation.capital import capital_version_raise
from allocation.locks import capital_lock
from allocation.models import Follow, FollowLeg
from core.clock import Clock
from core.decimals import plain
from core.errors import InputError
from engine.decisions import DecisionNote, decision_store
from engine.emergency import portfolio_flatten
from engine.live.accounts import cash_free, live_get
from engine.live.bars import key_problem
from engine.live.gate import account_examine, conditions_unmet, gate_read, ramp_read
from engine.portfolios import cash_reset
from engine.publishing import portfolio_changed
from engine.wake import cycles_wake
from execution.models import Order
from markets.models import LIVE, VenueInstrument
from markets.venue_rules import venue_quotes, venue_rules_refresh
from positions.models import Position

State = LiveAccount.State
_ONE_EACH = "live_account_of_one_portfolio"


# ---------------------------------------------------------------- connect
def live_connect(
    *, portfolio: Portfolio, credential: Credential, assigned: Decimal, key: UUID, now: datetime
) -> LiveAccount:
    """Connect a portfolio to the account of a key and begin its shadow with ``assigned`` as its cash.

    Paper cash and results begin anew. Asks the venue for its rules and about the account, so it must be
    called outside a transaction; calling it again with the same ``key`` goes on.

    :param key: of the wish; makes the reset of cash harmless to repeat
    :raises InputError: something is open, it replays, the key cannot trade, the account serves another
        portfolio, or less than ``assigned`` is free there
    :raises RetryLater: the venue gave no usable answer
    """
    _connectable(portfolio, credential)
    quote = _rules_ready(credential=credential, policy=portfolio.policy, now=now)
    account = _connected(portfolio, credential, assigned, quote, key, now)
    look = account_examine(account=account, now=now)
    free = cash_free(look=look, quote=quote)
    if free < assigned:
        live_disconnect(portfolio=portfolio, now=now)
        raise InputError(
            f"The account has {plain(free)} {quote} free. Assign at most that, or bring in more.",
            field="assigned",
        )
    return account


def _connectable(portfolio: Portfolio, credential: Credential) -> None:
    """Refuse what cannot be connected, before anything is asked."""
    if portfolio.world not in ("", LIVE):
        raise InputError("This portfolio lives in a replay. Open another one for a real account.")
    if problem := key_problem(credential=credential):
        raise InputError(problem, field="credential_id")
    if not credential.account_id:
        raise InputError(
            "It is not known whose account this key opens. Check the key first.", field="credential_id"
        )
    known = LiveAccount.objects.filter(pk=portfolio.pk).exclude(state=State.STOPPED).first()
    if known is not None and known.credential_id != credential.pk:
        raise InputError(f"It is connected to {known.venue} already. Disconnect it first.")


def _rules_ready(*, credential: Credential, policy: str, now: datetime) -> str:
    """Have the venue's rules, and return the currency that most of its markets of ours are traded in."""
    here = VenueInstrument.objects.filter(
        venue=credential.venue, sandbox=credential.sandbox, policy=policy, active=True
    )
    if not here.exists():
        venue_rules_refresh(venue=credential.venue, sandbox=credential.sandbox, policy=policy, now=now)
    for quote in venue_quotes(venue=credential.venue):
        if here.filter(quote=quote).exists():
            return quote
    raise InputError(f"{credential.venue} trades nothing of ours as {policy}.", field="credential_id")


@transaction.atomic
def _connected(
    portfolio: Portfolio, credential: Credential, assigned: Decimal, quote: str, key: UUID, now: datetime
) -> LiveAccount:
    capital_lock(portfolio_id=portfolio.pk)
    before = LiveAccount.objects.select_for_update().filter(pk=portfolio.pk).first()
    if before is not None and before.state != State.STOPPED:
        return before  # this wish, begun before
    _refuse_open(portfolio, "connected")
    portfolio.mode = Portfolio.Mode.PAPER
    portfolio.save(update_fields=["mode"])
    account = LiveAccount(
        portfolio=portfolio, credential=credential, venue=credential.venue, sandbox=credential.sandbox,
        policy=portfolio.policy, quote=quote, account_id=credential.account_id, assigned=assigned,
        connected_at=now, shadow_since=now,
    )  # fmt: skip
    try:
        with transaction.atomic():
            account.save()
    except IntegrityError as error:
        if _ONE_EACH not in str(error):
            raise
        raise InputError(
            "This account serves another portfolio. One account serves one.", field="credential_id"
        ) from None
    LiveHolding.objects.filter(account=account).delete()
    cash_reset(portfolio=portfolio, amount=assigned, key=f"live {key}", now=now)
    _joins_anew(portfolio)
    where = f"{account.venue}{' (test environment)' if account.sandbox else ''}"
    _told(portfolio, f"Connected to {where}", f"In shadow, with {plain(assigned)} {quote}", now)
    return account


def _refuse_open(portfolio: Portfolio, what: str) -> None:
    if _open_count(portfolio.pk):
        raise InputError(f"Nothing may be open when a portfolio is {what}. Close everything first.")


def _open_count(portfolio_id: int) -> int:
    held = Position.objects.filter(portfolio_id=portfolio_id).exclude(status=Position.Status.CLOSED)
    working = Order.objects.filter(portfolio_id=portfolio_id, status__in=Order.OPEN_STATUSES)
    return held.count() + working.count()


def _joins_anew(portfolio: Portfolio) -> None:
    """Forget what was adopted: every follow joins as its joining says. The capital row is held."""
    capital_version_raise(portfolio_id=portfolio.pk)
    FollowLeg.objects.filter(follow__portfolio=portfolio).delete()
    Follow.objects.filter(portfolio=portfolio).update(decided_basis_id=None, joined=False)


def _told(portfolio: Portfolio, text: str, reason: str, now: datetime) -> None:
    note = DecisionNote(kind="live", text=text, reason=reason)
    decision_store(portfolio=portfolio, note=note, now=now)
    cycles_wake(portfolio_ids=[portfolio.pk], now=now, why="its account changed", force_all=True)
    portfolio_changed(portfolio_id=portfolio.pk)


# ---------------------------------------------------------------- promote
def live_promote(
    *, portfolio: Portfolio, by: str, shortened: str, key: UUID, now: datetime, clock: Clock | None = None
) -> str:
    """Go on toward live trading and return how far it is; empty once it trades live.

    The first call checks every condition and bars entries; the shadow's positions are closed on paper; when
    nothing is open the account is asked once more and the portfolio begins live, flat, with its assigned
    cash. Must be called outside a transaction, again until it returns an empty text.

    :param shortened: why the shadow is ended before its time; empty where it is not
    :raises InputError: a condition is not met; it stays, or is back, in shadow
    :raises RetryLater: the venue gave no usable answer
    """
    account = live_get(portfolio=portfolio)
    if account.state == State.LIVE:
        return ""
    if account.state not in LiveAccount.ON_PAPER:
        raise InputError(f"It is {account.get_state_display().lower()}. Connect it anew first.")
    if account.state == State.SHADOW:
        _gate_check(account, shortened, now)
        _promoting(account, by, shortened, now)
    portfolio_flatten(portfolio_id=portfolio.pk, why="The shadow ends", now=now, clock=clock)
    if left := _open_count(portfolio.pk):
        return f"Closing what the shadow holds on paper: {left} still open."
    account.refresh_from_db()
    _gate_check(account, account.shadow_shortened, now)
    _live(account, key, now)
    return ""


def _gate_check(account: LiveAccount, shortened: str, now: datetime) -> None:
    """Ask the venue, and refuse while a condition is not met; a promotion that was begun is taken back."""
    look = account_examine(account=account, now=now)
    missing = conditions_unmet(conditions=gate_read(account=account, look=look, shortened=shortened, now=now))
    if missing:
        LiveAccount.objects.filter(pk=account.pk, state=State.PROMOTING).update(state=State.SHADOW)
        raise InputError(missing)


@transaction.atomic
def _promoting(account: LiveAccount, by: str, shortened: str, now: datetime) -> None:
    capital_lock(portfolio_id=account.pk)
    begun = LiveAccount.objects.filter(pk=account.pk, state=State.SHADOW).update(
        state=State.PROMOTING, confirmed_at=now, confirmed_by=by, shadow_shortened=shortened
    )
    if begun:
        capital_version_raise(portfolio_id=account.pk)
        _told(account.portfolio, "The shadow ends", f"Confirmed by {by}; what it holds is closed", now)


@transaction.atomic
def _live(account: LiveAccount, key: UUID, now: datetime) -> None:
    """Begin live: flat, with the assigned cash, at the first step of the ramp."""
    portfolio = account.portfolio
    capital_lock(portfolio_id=portfolio.pk)
    if _open_count(portfolio.pk):
        raise InputError("Something was opened meanwhile; ask again.")
    cash_reset(portfolio=portfolio, amount=account.assigned, key=f"live {key}", now=now)
    moved = LiveAccount.objects.filter(pk=account.pk, state=State.PROMOTING).update(
        state=State.LIVE, promoted_at=now, ramped_at=now, ramped_by=account.confirmed_by,
        max_positions=RAMP[0], elsewhere=None, looked_at=None, polled_at=None, retry_at=None, failures=0,
    )  # fmt: skip
    if not moved:
        raise InputError("It was disconnected meanwhile.")
    LiveFinding.objects.filter(account=account, settled_at__isnull=True).update(
        settled_at=now, settled_how="It began live anew"
    )
    portfolio.mode = Portfolio.Mode.LIVE
    portfolio.save(update_fields=["mode"])
    _joins_anew(portfolio)
    reason = f"Confirmed by {account.confirmed_by}; at most {RAMP[0]} positions at first"
    _told(portfolio, f"Trades live at {account.venue}", reason, now)


# ---------------------------------------------------------------- ramp, stop, disconnect
@transaction.atomic
def live_ramp(*, portfolio: Portfolio, by: str, now: datetime) -> int | None:
    """Let a live portfolio hold more positions, one step; return how many now (None: as its limits say).

    :raises InputError: it is not live, or has not traded long enough without a finding
    """
    capital_lock(portfolio_id=portfolio.pk)
    account = live_get(portfolio=portfolio)
    if account.state != State.LIVE:
        raise InputError("Only a live portfolio has a number of positions to raise.")
    problem, following = ramp_read(account=account, now=now)
    if problem:
        raise InputError(problem)
    LiveAccount.objects.filter(pk=account.pk).update(max_positions=following, ramped_at=now, ramped_by=by)
    capital_version_raise(portfolio_id=portfolio.pk)
    text = f"At most {following} positions" if following else "As many positions as its limits allow"
    _told(portfolio, text, f"Raised by {by}", now)
    return following


def live_stop(*, portfolio: Portfolio, by: str, now: datetime, clock: Clock | None = None) -> str:
    """Stop trading live: close what is ours at the venue, then open nothing; return how far it is.

    What the account holds besides stays. Must be called outside a transaction, again until it returns an
    empty text; each turn of the account goes on with it, too.

    :raises InputError: it does not trade live
    """
    account = live_get(portfolio=portfolio)
    if account.state == State.LIVE:
        with transaction.atomic():
            capital_lock(portfolio_id=portfolio.pk)
            LiveAccount.objects.filter(pk=account.pk, state=State.LIVE).update(state=State.STOPPING)
            capital_version_raise(portfolio_id=portfolio.pk)
            _told(portfolio, "Live trading stops", f"Asked for by {by}; what is ours is closed", now)
    elif account.state in LiveAccount.ON_PAPER:
        raise InputError("It does not trade live. Disconnect the account instead.")
    return stopping_go_on(portfolio_id=portfolio.pk, now=now, clock=clock)


def stopping_go_on(*, portfolio_id: int, now: datetime, clock: Clock | None = None) -> str:
    """Go on closing a portfolio that stops trading live; return what is left to do, empty if nothing."""
    if not LiveAccount.objects.filter(pk=portfolio_id, state=State.STOPPING).exists():
        return ""
    left = portfolio_flatten(portfolio_id=portfolio_id, why="Live trading stops", now=now, clock=clock)
    with transaction.atomic():
        capital_lock(portfolio_id=portfolio_id)
        if count := _open_count(portfolio_id):
            return " ".join([f"Closing what is ours: {count} still open.", *left])
        if LiveAccount.objects.filter(pk=portfolio_id, state=State.STOPPING).update(
            state=State.STOPPED, stopped_at=now
        ):
            _told(Portfolio.objects.get(pk=portfolio_id), "Live trading has stopped", "Nothing is open", now)
    return ""


@transaction.atomic
def live_disconnect(*, portfolio: Portfolio, now: datetime) -> None:
    """Let go of the account: the portfolio is one of paper again, as it stands.

    :raises InputError: it trades live; it has to be stopped first
    """
    capital_lock(portfolio_id=portfolio.pk)
    account = live_get(portfolio=portfolio)
    if account.state in LiveAccount.AT_VENUE:
        raise InputError("It trades live. Stop it first; that closes what is ours.")
    LiveAccount.objects.filter(pk=account.pk).update(state=State.STOPPED, stopped_at=now)
    portfolio.mode = Portfolio.Mode.PAPER
    portfolio.save(update_fields=["mode"])
    capital_version_raise(portfolio_id=portfolio.pk)
    _told(portfolio, f"Disconnected from {account.venue}", "It trades on paper from here on", now)
