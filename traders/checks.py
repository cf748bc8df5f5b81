"""Django system checks: a file of strategies or of chains that cannot be used stops the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from traders.evm.chain_file import ChainsFileError, chains_all
from traders.strategies.pairs import StrategiesFileError, pair_sets_all


@register()
def strategies_file_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a file that is missing, no YAML, or names what there is not."""
    try:
        pair_sets_all()
    except StrategiesFileError as error:
        return [Error(error.message, hint="docs/configuration.md says what is allowed.", id="traders.E001")]
    return []


@register()
def chains_file_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a file that is missing, no YAML, or has an address or a number that cannot be."""
    try:
        chains_all()
    except ChainsFileError as error:
        return [Error(error.message, hint="docs/adding-a-chain.md says what is allowed.", id="traders.E002")]
    return []
