"""The site as a Django app: it loads Celery's app in every process and registers the configuration checks."""

from django.apps import AppConfig


class PortfolioSiteConfig(AppConfig):
    """No models; only what has to happen once at start."""

    name = "portfolio_site"
    verbose_name = "Ensemble"

    def ready(self) -> None:
        """Make `shared_task` find our Celery app, and Django find our checks."""
        from portfolio_site import celery, checks  # noqa: F401
