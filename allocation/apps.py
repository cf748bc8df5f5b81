"""Django's entry to the allocation app."""

from django.apps import AppConfig


class AllocationConfig(AppConfig):
    """Follows, weights, capital."""

    name = "allocation"
    verbose_name = "Allocation"
    default_auto_field = "django.db.models.BigAutoField"
