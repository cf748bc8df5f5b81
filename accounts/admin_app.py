"""Django's admin with our own door in front, in place of ``django.contrib.admin`` among the apps."""

from django.contrib.admin.apps import AdminConfig


class GuardedAdminConfig(AdminConfig):
    """The admin, entered by role and second factor."""

    default = False
    default_site = "accounts.admin_site.GuardedAdminSite"

    def ready(self) -> None:
        """Collect every app's pages, then put ours in the place of others'."""
        super().ready()
        import accounts.foreign_admin  # noqa: F401
