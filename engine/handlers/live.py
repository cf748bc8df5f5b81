"""Commands about a portfolio's real account: connect, promote, ramp, stop, disconnect, settle a finding."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from accounts.models import Credential, Portfolio
from core.decimals import plain
from core.errors import NotFound
from engine.domain.command_data import choice_read, decimal_read, fields_known, id_read, text_read
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.handlers.stopping import stop_refer
from engine.live.life import live_connect, live_disconnect, live_promote, live_ramp, live_stop
from engine.live.settling import LABELS, finding_get, finding_settle
from engine.models import Command

WITHIN: Final = timedelta(minutes=10)


def _who(command: Command) -> str:
    return command.asked_by.email if command.asked_by else "the command line"


# ---------------------------------------------------------------- connect
def connect_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the key's number and how much of the account's cash the portfolio may use."""
    fields_known(data, "credential_id", "assigned")
    return {
        "credential_id": id_read(data, "credential_id"),
        "assigned": plain(decimal_read(data, "assigned", places=8)),
    }


def connect_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a key that is not the owner's, or not for trading."""
    _credential(portfolio, data)


def _credential(portfolio: Portfolio, data: Mapping[str, Any]) -> Credential:
    keys = Credential.objects.filter(
        owner_id=portfolio.owner_id, purpose=Credential.Purpose.TRADE, revoked_at__isnull=True
    )
    key = keys.filter(pk=data["credential_id"]).first()
    if key is None:
        raise NotFound(f"You have no trading key {data['credential_id']}.", field="credential_id")
    return key


def connect_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Connect, and begin the shadow."""
    account = live_connect(
        portfolio=portfolio,
        credential=_credential(portfolio, command.data),
        assigned=Decimal(command.data["assigned"]),
        key=command.pk,
        now=now,
    )
    text = f"Connected to {account.venue}. It runs in shadow with {plain(account.assigned)} {account.quote}."
    return CommandAnswer(done=True, text=" ".join([text, *account.problems]))


# ---------------------------------------------------------------- promote
def promote_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the portfolio's name, typed to confirm, and why the shadow ends early if it does."""
    fields_known(data, "confirm", "shortened")
    return {
        "confirm": text_read(data, "confirm"),
        "shortened": text_read(data, "shortened", required=False),
    }


def promote_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Check every condition, end the shadow, and begin live."""
    left = live_promote(
        portfolio=portfolio,
        by=_who(command),
        shortened=command.data["shortened"],
        key=command.pk,
        now=now,
    )
    return CommandAnswer(done=not left, text=left or "It trades live.")


# ---------------------------------------------------------------- ramp, stop, disconnect, settle
def confirm_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the portfolio's name, typed to confirm."""
    fields_known(data, "confirm")
    return {"confirm": text_read(data, "confirm")}


def ramp_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Raise the number of positions by one step."""
    step = live_ramp(portfolio=portfolio, by=_who(command), now=now)
    text = f"It may hold {step} positions now." if step else "It may hold as many as its limits allow now."
    return CommandAnswer(done=True, text=text, result={"max_positions": step})


def stop_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Close what is ours at the venue and open nothing more."""
    left = live_stop(portfolio=portfolio, by=_who(command), now=now)
    return CommandAnswer(
        done=not left, text=left or "Live trading has stopped. Nothing of ours is open there."
    )


def nothing_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take nothing."""
    fields_known(data)
    return {}


def disconnect_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Let go of the account."""
    try:
        live_disconnect(portfolio=portfolio, now=now)
    except NotFound:
        if command.attempts == 1:
            raise
    return CommandAnswer(done=True, text="Disconnected. The portfolio trades on paper.")


def settle_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take the finding's number and what it is."""
    fields_known(data, "finding_id", "way")
    return {"finding_id": id_read(data, "finding_id"), "way": choice_read(data, "way", list(LABELS))}


def settle_refer(portfolio: Portfolio, data: Mapping[str, Any]) -> None:
    """Refuse a finding that is not this portfolio's."""
    finding_get(portfolio=portfolio, finding_id=data["finding_id"])


def settle_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Book it, or set it aside."""
    done = finding_settle(
        portfolio=portfolio,
        finding_id=command.data["finding_id"],
        way=command.data["way"],
        by=_who(command),
        now=now,
    )
    return CommandAnswer(done=True, text=done)


HANDLERS: Final = {
    Command.Kind.LIVE_CONNECT.value: CommandHandler(
        action="live.connect", check=connect_check, refer=connect_refer, run=connect_run
    ),
    Command.Kind.LIVE_PROMOTE.value: CommandHandler(
        action="live.promote", check=promote_check, refer=stop_refer, run=promote_run, within=WITHIN
    ),
    Command.Kind.LIVE_RAMP.value: CommandHandler(
        action="live.ramp", check=confirm_check, refer=stop_refer, run=ramp_run
    ),
    Command.Kind.LIVE_STOP.value: CommandHandler(
        action="live.stop", check=confirm_check, refer=stop_refer, run=stop_run, within=WITHIN
    ),
    Command.Kind.LIVE_DISCONNECT.value: CommandHandler(
        action="live.disconnect", check=nothing_check, run=disconnect_run
    ),
    Command.Kind.LIVE_SETTLE.value: CommandHandler(
        action="live.settle", check=settle_check, refer=settle_refer, run=settle_run
    ),
}
