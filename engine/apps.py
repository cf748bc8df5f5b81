"""Django's entry to the engine app."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """The copy cycle and its decisions."""

    name = "engine"
    verbose_name = "Engine"
    default_auto_field = "django.db.models.BigAutoField"
