"""The keys of a person's accounts elsewhere: list, add, rename, revoke. Its owner alone sees any of it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.credentials import credential_get, credential_rename, credentials_of
from accounts.models import AuditEntry, Credential
from core.clock import utc_now
from core.errors import InputError, NotFound, RetryLater
from dashboard.key_forms import KeyForm, KeyNameForm
from dashboard.page import SignedInRequest, form_refuse, page_render
from engine.credentials import credential_add, credential_end
from markets.key_permissions import KEY_VENUES

_VIA = AuditEntry.Via.PAGE.value


@sensitive_post_parameters()
@sensitive_variables()
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def keys_page(request: SignedInRequest) -> HttpResponse:
    """List the keys; ``?venue=`` shows the form of one venue, and a POST there keeps a key."""
    chosen = request.GET.get("venue", "")
    venue = KEY_VENUES.get(chosen)
    if venue is None:
        if chosen:
            raise Http404("Keys of this venue are not kept.")
        if request.method == "POST":
            messages.error(request, "Choose the venue of the key first.")
        return _page(request, status=400 if request.method == "POST" else 200)
    form = KeyForm(request.POST if request.method == "POST" else None, venue=venue)
    if request.method != "POST":
        return _page(request, form=form)
    status = 400
    if form.is_valid():
        try:
            made = credential_add(owner=request.user, wish=form.wish, via=_VIA, now=utc_now())
        except InputError as error:
            form_refuse(form, error)
        except RetryLater as error:
            form.add_error(None, f"{error}. Nothing was kept; enter the key again in a while.")
            status = 503
        else:
            messages.success(
                request, f"The key {made.mask} of {venue.label} is kept. It was checked there just now."
            )
            return redirect("dashboard:keys")
    return _page(request, form=form, status=status)


@login_required
@never_cache
@require_POST
def key_rename(request: SignedInRequest, credential_id: int) -> HttpResponse:
    """Call a key something else."""
    credential = _own(request, credential_id)
    form = KeyNameForm(request.POST)
    if not form.is_valid():
        messages.error(request, f"A name has 1 to {form.fields['name'].max_length} characters.")  # type: ignore[attr-defined]
        return redirect("dashboard:keys")
    try:
        credential_rename(credential=credential, name=form.cleaned_data["name"], via=_VIA, now=utc_now())
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"The key {credential.mask} is called “{credential.name}” now.")
    return redirect("dashboard:keys")


@login_required
@never_cache
@require_POST
def key_revoke(request: SignedInRequest, credential_id: int) -> HttpResponse:
    """Erase a key; a second press finds nothing."""
    credential = _own(request, credential_id)
    try:
        credential_end(credential=credential, via=_VIA, now=utc_now())
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request, f"The key {credential.mask} is erased here. Delete it at the venue as well."
        )
    return redirect("dashboard:keys")


def _own(request: SignedInRequest, credential_id: int) -> Credential:
    try:
        return credential_get(user=request.user, credential_id=credential_id)
    except NotFound as error:
        raise Http404(error.message) from None


def _page(request: SignedInRequest, *, form: KeyForm | None = None, status: int = 200) -> HttpResponse:
    return page_render(
        request,
        "dashboard/keys.html",
        nav="keys",
        portfolio=None,
        status=status,
        keys=[(KEY_VENUES[key.venue].label, key) for key in credentials_of(user=request.user)],
        venues=list(KEY_VENUES.values()),
        form=form,
    )
