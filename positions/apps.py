"""Django's entry to the positions app."""

from django.apps import AppConfig


class PositionsConfig(AppConfig):
    """Positions, slices, conflicts, valuation."""

    name = "positions"
    verbose_name = "Positions"
    default_auto_field = "django.db.models.BigAutoField"
