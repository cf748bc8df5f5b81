"""The account page: who somebody is here, how the account is protected, and where they are signed in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from allauth.account.decorators import reauthentication_required
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from asgiref.sync import sync_to_async
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.audit import audit_write
from accounts.domain.devices import device_text
from accounts.models import AuditEntry
from accounts.second_factor import email_verified
from accounts.selectors import BIGGEST_ID
from core.clock import utc_now
from core.errors import InputError
from dashboard.page import SignedInRequest, page_render
from engine.people import person_delete, person_delete_refusal
from engine.person_export import person_export


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


@login_required
@never_cache
@require_safe
@reauthentication_required
def account_export(request: SignedInRequest) -> StreamingHttpResponse:
    """Send everything kept about the person as one zip, written while it is read."""
    now = utc_now()
    audit_write(
        action="account.export",
        outcome="done",
        via=AuditEntry.Via.PAGE,
        actor=request.user,
        text="Took out the data of the account",
        now=now,
    )
    pieces = person_export(user=request.user, now=now)
    under_asgi = isinstance(request, ASGIRequest)
    answer = StreamingHttpResponse(
        _taken_aside(pieces) if under_asgi else pieces, content_type="application/zip"
    )
    answer["Content-Disposition"] = f'attachment; filename="ensemble-account-{now:%Y%m%d-%H%M%S}.zip"'
    return answer


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@reauthentication_required
def account_delete(request: SignedInRequest) -> HttpResponse:
    """Say what goes and what stays; a POST with the typed address deletes the account."""
    user, problem = request.user, ""
    if request.method == "POST":
        try:
            person_delete(
                user=user, confirm=request.POST.get("confirm", ""), via=AuditEntry.Via.PAGE, now=utc_now()
            )
        except InputError as error:
            problem = error.message
        else:
            logout(request)
            messages.success(request, _("Your account is deleted."))
            return redirect("account_login")
    return page_render(
        request,
        "dashboard/account_delete.html",
        nav="account",
        portfolio=None,
        status=400 if problem else 200,
        refusal=person_delete_refusal(user=user),
        problem=problem,
    )


async def _taken_aside(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Take each piece in the request's own thread; under ASGI a plain iterator would be read whole first."""
    take = sync_to_async(lambda: next(pieces, None), thread_sensitive=True)
    while (piece := await take()) is not None:
        yield piece
