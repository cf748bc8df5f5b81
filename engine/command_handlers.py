"""Which handler carries out which kind of command; the kinds' own files are in ``engine/handlers``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from engine.handlers import approvals, exits, follows, limits, live, settings, stopping, trading
from engine.handlers.base import CommandAnswer, CommandHandler

__all__ = ["HANDLERS", "CommandAnswer", "CommandHandler"]

HANDLERS: Final[Mapping[str, CommandHandler]] = {
    **settings.HANDLERS,
    **follows.HANDLERS,
    **limits.HANDLERS,
    **exits.HANDLERS,
    **trading.HANDLERS,
    **stopping.HANDLERS,
    **approvals.HANDLERS,
    **live.HANDLERS,
}
