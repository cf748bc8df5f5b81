"""Django's entry to the traders app."""

from django.apps import AppConfig


class TradersConfig(AppConfig):
    """Traders and what was read of them."""

    name = "traders"
    verbose_name = "Traders"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Let Django find the checks."""
        from traders import checks  # noqa: F401
