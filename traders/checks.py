"""Django system check: a file of strategies that cannot be used stops the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, register

from traders.strategies.pairs import StrategiesFileError, pair_sets_all


@register()
def strategies_file_check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Refuse a file that is missing, no YAML, or names what there is not."""
    try:
        pair_sets_all()
    except StrategiesFileError as error:
        return [Error(error.message, hint="docs/configuration.md says what is allowed.", id="traders.E001")]
    return []
