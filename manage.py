#!/usr/bin/env python3
"""Django's command line for Ensemble: `manage.py <command>`."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line


def main() -> None:
    """Run the command; a wrong setting is told in one sentence, exit code 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portfolio_site.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Configuration: {error}\n")
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
