"""What django-allauth asks of this site: failures counted, mail sent, secrets sealed, names given."""

from __future__ import annotations

import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.core.internal import ratelimit
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.sealing import text_open, text_seal

logger = logging.getLogger(__name__)
_LOCKED = frozenset({"too_many_login_attempts", "rate_limited"})


def lock_text() -> str:
    """Return the sentence that tells a person a door is locked, and for how long at most."""
    if settings.LOCKOUT_SECONDS < 120:
        wait = ngettext("%(count)d second", "%(count)d seconds", settings.LOCKOUT_SECONDS) % {
            "count": settings.LOCKOUT_SECONDS
        }
    else:
        minutes = -(-settings.LOCKOUT_SECONDS // 60)
        wait = ngettext("%(count)d minute", "%(count)d minutes", minutes) % {"count": minutes}
    return _("Too many failed attempts. Wait %(wait)s at most, then try again.") % {"wait": wait}


class AccountAdapter(DefaultAccountAdapter):
    """Passwords, addresses and mail."""

    def validation_error(self, code: str, *args: Any) -> ValidationError:
        """Return the refusal with this code; a lock says how long it lasts."""
        if code in _LOCKED:
            return ValidationError(lock_text(), code=code)
        return super().validation_error(code, *args)

    def reauthenticate(self, user: AbstractBaseUser, password: str) -> bool:
        """Tell whether this is the password of a person who is signed in.

        Failures are counted apart from those at the sign-in page: somebody who guesses there locks that door
        for the owner too, and must not lock the owner's open session as well.

        :raises ValidationError: too many failures
        """
        usage = ratelimit.consume(
            context.request,
            app="allauth.account",
            action="login_failed",
            key=f"reauthenticate-user-{user.pk}",
        )
        if not usage:
            raise self.validation_error("too_many_login_attempts")
        if not user.check_password(password):
            return False
        usage.rollback()
        return True

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail; where the mail server cannot be reached, say so to the person and in the log.

        What the mail tells of has been done already, so the page goes on.
        """
        try:
            super().send_mail(template_prefix, email, context)
        except (OSError, SMTPException):
            logger.exception("the mail %s could not be sent", template_prefix)
            if self.request is not None:
                messages.error(
                    self.request, _("A mail to you could not be sent just now. Ask for it again in a while.")
                )


class SecondFactorAdapter(DefaultMFAAdapter):
    """Authenticator apps, passkeys and recovery codes."""

    def encrypt(self, text: str) -> str:
        """Seal a secret for the database."""
        return text_seal(text=text)

    def decrypt(self, encrypted_text: str) -> str:
        """Open what ``encrypt`` sealed.

        :raises SealBroken: no listed key opens it
        """
        return text_open(sealed=encrypted_text)

    def generate_authenticator_name(self, user: AbstractBaseUser, type: Authenticator.Type) -> str:  # noqa: A002
        """Return the name a further passkey gets unless its owner gives it one."""
        count = Authenticator.objects.filter(user_id=user.pk, type=type).count()
        return _("Passkey %(number)d") % {"number": count + 1} if count else _("Passkey")
