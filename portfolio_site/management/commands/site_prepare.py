"""`manage.py site_prepare`: what a start needs done once, in one process: checks, migrations, the demo."""

from argparse import ArgumentParser

import redis
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from django.db import DatabaseError, OperationalError, connection
from django.db.migrations.exceptions import BadMigrationError, InconsistentMigrationHistory
from django.db.migrations.executor import MigrationExecutor

from portfolio_site.probe import redis_probe


class Command(BaseCommand):
    """Check settings and services, bring the tables up to date, make the demo where it is missing."""

    help = __doc__ or ""
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take `--no-demo`."""
        parser.add_argument("--no-demo", action="store_true", help="make no demo user and portfolios")

    def handle(self, *args: object, **options: object) -> None:
        """Do it, in that order.

        :raises CommandError: one sentence that says what is wrong and where
        """
        self._settings_check()
        self._redis_reach()
        self._database_reach()
        self._migrate()
        if not options["no_demo"]:
            call_command("seed_demo", stdout=self.stdout, stderr=self.stderr)

    def _settings_check(self) -> None:
        try:
            self.check(display_num_errors=False)
        except SystemCheckError as error:
            raise CommandError(f"The configuration does not hold: {error}") from error

    def _redis_reach(self) -> None:
        try:
            with redis_probe(timeout_s=5) as client:
                client.ping()
        except (redis.RedisError, OSError) as error:
            raise CommandError(f"Redis does not answer ({error}); check REDIS_URL.") from error

    def _database_reach(self) -> None:
        try:
            connection.ensure_connection()
        except OperationalError as error:
            reason = " ".join(str(error).split())
            raise CommandError(f"PostgreSQL does not answer ({reason}); check DATABASE_URL.") from error

    def _migrate(self) -> None:
        try:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                call_command("migrate", interactive=False, verbosity=1, stdout=self.stdout)
        except (DatabaseError, InconsistentMigrationHistory, BadMigrationError) as error:
            reason = " ".join(str(error).split())
            raise CommandError(
                f"The tables cannot be brought up to date ({reason}); were they made by a newer version?"
            ) from error
