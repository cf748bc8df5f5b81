"""The site's secret key: from the environment, or made once and kept readable by its owner alone."""

import os
import secrets
from pathlib import Path

SECRET_LENGTH_MIN = 40


def secret_key_load(*, path: Path) -> str:
    """Return the key kept in `path`; make it (64 random bytes, mode 0600) where there is none yet.

    Two processes that start at once agree: the file appears whole, by link, and the first one wins.

    :raises OSError: the file can be neither read nor written
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(64))
        try:
            os.link(fresh, path)
        except FileExistsError:
            return path.read_text().strip()
        finally:
            fresh.unlink()
    return path.read_text().strip()
