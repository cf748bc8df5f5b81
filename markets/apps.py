"""Django's entry to the markets app."""

from django.apps import AppConfig


class MarketsConfig(AppConfig):
    """Instruments, marks and worlds."""

    name = "markets"
    verbose_name = "Markets"
    default_auto_field = "django.db.models.BigAutoField"
