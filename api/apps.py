"""Django's entry to the api app."""

from django.apps import AppConfig


class ApiConfig(AppConfig):
    """The REST API; it has no tables of its own."""

    name = "api"
    verbose_name = "API"

    def ready(self) -> None:
        """End a person's API tokens when the password changes."""
        from allauth.account.signals import password_changed, password_reset, password_set

        from api.authentication import tokens_end_with_password

        for signal in (password_changed, password_reset, password_set):
            signal.connect(tokens_end_with_password, dispatch_uid="api_tokens_end_with_password")
