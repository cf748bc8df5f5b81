"""The pages and the live socket."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    """Presents what the packages below it decided; owns no table."""

    name = "dashboard"
    label = "dashboard"
