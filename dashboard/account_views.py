"""The account page: who somebody is here, how the account is protected, and where they are signed in."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts.audit import audit_write
from accounts.domain.devices import device_text
from accounts.models import AuditEntry
from accounts.second_factor import email_verified
from accounts.selectors import BIGGEST_ID
from core.clock import utc_now
from dashboard.page import SignedInRequest, page_render


@login_required
@never_cache
@require_safe
def account_page(request: SignedInRequest) -> HttpResponse:
    """Show the account of the person who asks."""
    user = request.user
    factors = Authenticator.objects.filter(user=user)
    codes = factors.filter(type=Authenticator.Type.RECOVERY_CODES).first()
    return page_render(
        request,
        "dashboard/account.html",
        nav="account",
        portfolio=None,
        verified=email_verified(user=user),
        app=factors.filter(type=Authenticator.Type.TOTP).exists(),
        passkey_count=factors.filter(type=Authenticator.Type.WEBAUTHN).count(),
        codes_left=len(codes.wrap().get_unused_codes()) if codes else None,
        session_count=len(UserSession.objects.purge_and_list(user)),
    )


@login_required
@never_cache
@require_POST
def session_end(request: SignedInRequest, session_id: int) -> HttpResponse:
    """Sign one of the person's own sessions out; its open pages follow within half a minute."""
    own = UserSession.objects.filter(user=request.user)
    session = own.filter(pk=session_id).first() if session_id <= BIGGEST_ID else None
    if session is None:
        raise Http404("You have no such session.")
    device = device_text(user_agent=session.user_agent)
    audit_write(
        action="session.end",
        outcome="done",
        via=AuditEntry.Via.PAGE,
        actor=request.user,
        text=f"Signed out {device}, {session.ip}",
        now=utc_now(),
    )
    session.end()
    messages.success(request, _("Signed out: %(device)s.") % {"device": device})
    return redirect("usersessions_list")
