"""Mail on a server without a mail server: kept as files, and the log says where."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend

from core.clock import utc_now
from core.ids import uuid_new

logger = logging.getLogger(__name__)


class KeptMail(BaseEmailBackend):
    """Write each mail to a file of its own under ``VAR_DIR/mail``, readable by the server's user alone.

    They hold links that open accounts, hence the mode.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._directory = Path(settings.EMAIL_FILE_PATH)

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """Keep each message; return how many."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for message in email_messages:
            path = self._directory / f"{utc_now():%Y%m%d-%H%M%S}-{uuid_new().hex[:8]}.eml"
            _write(path, message.message().as_bytes())
            logger.warning("No mail server is set (EMAIL_URL); a mail is kept in %s", path)
        return len(email_messages)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
