"""The site's own secrets: from the environment, or made once and kept readable by their owner alone."""

import base64
import os
import secrets
from collections.abc import Callable
from pathlib import Path

SECRET_LENGTH_MIN = 40


def signing_key_make() -> str:
    """Return a new key for what the site signs: 64 random bytes."""
    return secrets.token_urlsafe(64)


def sealing_key_make() -> str:
    """Return a new key for what is stored sealed: 32 random bytes, in base64 as Fernet takes them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def secret_key_load(*, path: Path, make: Callable[[], str] = signing_key_make) -> str:
    """Return the key kept in `path`; make it (mode 0600) where there is none yet.

    Two processes that start at once agree: the file appears whole, by link, and the first one wins.

    :raises OSError: the file can be neither read nor written
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(make())
        try:
            os.link(fresh, path)
        except FileExistsError:
            return path.read_text().strip()
        finally:
            fresh.unlink()
    return path.read_text().strip()
