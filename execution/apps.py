"""Django's entry to the execution app."""

from django.apps import AppConfig


class ExecutionConfig(AppConfig):
    """Orders, fills and venues."""

    name = "execution"
    verbose_name = "Execution"
    default_auto_field = "django.db.models.BigAutoField"
