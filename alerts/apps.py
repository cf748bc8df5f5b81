"""Django's entry to the alerts app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Alerts and their channels."""

    name = "alerts"
    verbose_name = "Alerts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Guard the connections that messages go out through, and listen for new sign-ins."""
        from alerts.network import guard_install
        from alerts.receivers import receivers_connect

        guard_install()
        receivers_connect()
