"""Commands that set how a portfolio trades (RSK-4, CON-4)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from accounts.models import Portfolio
from core.errors import InputError
from engine.domain.command_data import choice_read, fields_known, flag_read
from engine.handlers.base import CommandAnswer, CommandHandler
from engine.models import Command
from engine.portfolios import portfolio_settings_save

_FLAGS: Final = ("dry_run", "approves_conflicts")
_SAID: Final = {
    ("dry_run", True): "nothing is ordered, everything is decided and kept",
    ("dry_run", False): "orders are placed",
    ("approves_conflicts", True): "new conflicts wait for you",
    ("approves_conflicts", False): "conflicts are settled by rule",
}


def mode_check(data: Mapping[str, Any]) -> dict[str, Any]:
    """Take a trading mode, dry run and approval of conflicts, at least one of them."""
    fields_known(data, "trading_mode", *_FLAGS)
    clean: dict[str, Any] = {}
    if "trading_mode" in data:
        clean["trading_mode"] = choice_read(data, "trading_mode", Portfolio.TradingMode.values)
    clean |= {name: flag_read(data, name) for name in _FLAGS if name in data}
    if not clean:
        raise InputError("Name what to set: trading_mode, dry_run or approves_conflicts.")
    return clean


def mode_run(portfolio: Portfolio, command: Command, now: datetime) -> CommandAnswer:
    """Set them; every target is placed anew."""
    portfolio_settings_save(portfolio=portfolio, now=now, **command.data)
    said = [_SAID[name, command.data[name]] for name in _FLAGS if name in command.data]
    if "trading_mode" in command.data:
        said.insert(0, f"trading mode “{portfolio.get_trading_mode_display()}”")
    text = "; ".join(said)
    return CommandAnswer(done=True, text=f"{text[0].upper()}{text[1:]}.", result=command.data)


HANDLERS: Final = {
    Command.Kind.MODE.value: CommandHandler(action="portfolio.mode", check=mode_check, run=mode_run),
}
