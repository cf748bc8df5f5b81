"""Agents that post their positions: list, register, change, new secret, revoke; for their owner alone."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from accounts.models import AuditEntry
from core.clock import utc_now
from core.errors import InputError, NotFound
from dashboard.agent_forms import AgentChangeForm, AgentForm
from dashboard.page import SignedInRequest, form_already_done, form_done, form_refuse, page_render
from engine.agents import agent_end
from traders.models import PushAgent
from traders.push import NewAgent, agent_change, agent_get, agent_register, agent_rotate, agents_of

_VIA = AuditEntry.Via.PAGE.value


@sensitive_variables()
@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def agents_page(request: SignedInRequest) -> HttpResponse:
    """List the agents; a POST registers one and shows its secret, this once."""
    if request.method != "POST":
        return _page(request)
    form = AgentForm(request.POST)
    if form.is_valid():
        if done := form_already_done(request, token=form.once):
            messages.error(request, "This agent is registered already. Its secret was shown once.")
            return redirect(done)
        name, interval_s = form.cleaned_data["name"], form.cleaned_data["interval_s"]
        try:
            made = agent_register(
                owner=request.user, name=name, interval_s=interval_s, via=_VIA, now=utc_now()
            )
        except InputError as error:
            form_refuse(form, error)
        else:
            form_done(request, token=form.once, url=reverse("dashboard:agents"))
            return _page(request, made=made)
    return _page(request, form=form, status=400)


@login_required
@never_cache
@require_POST
def agent_edit(request: SignedInRequest, agent_id: UUID) -> HttpResponse:
    """Change its name and how often it promises to post."""
    agent, form = _own(request, agent_id), AgentChangeForm(request.POST)
    if form.is_valid():
        agent_change(agent=agent, via=_VIA, now=utc_now(), **form.cleaned_data)
        messages.success(request, f"{agent.trader.name} posts at least every {agent.interval_s} s.")
    else:
        messages.error(request, " ".join(str(error) for errors in form.errors.values() for error in errors))
    return redirect("dashboard:agents")


@sensitive_variables()
@login_required
@never_cache
@require_POST
def agent_secret(request: SignedInRequest, agent_id: UUID) -> HttpResponse:
    """Give it a new secret and show it, this once."""
    made = agent_rotate(agent=_own(request, agent_id), via=_VIA, now=utc_now())
    return _page(request, made=made)


@login_required
@never_cache
@require_POST
def agent_remove(request: SignedInRequest, agent_id: UUID) -> HttpResponse:
    """Revoke it; a second press finds nothing."""
    agent = _own(request, agent_id)
    try:
        agent_end(agent=agent, via=_VIA, now=utc_now())
    except InputError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{agent.trader.name} is revoked; it cannot post any more.")
    return redirect("dashboard:agents")


def _own(request: SignedInRequest, agent_id: UUID) -> PushAgent:
    try:
        return agent_get(user=request.user, agent_id=agent_id)
    except NotFound as error:
        raise Http404(error.message) from None


@sensitive_variables()
def _page(
    request: SignedInRequest,
    *,
    form: AgentForm | None = None,
    made: NewAgent | None = None,
    status: int = 200,
) -> HttpResponse:
    return page_render(
        request,
        "dashboard/agents.html",
        nav="agents",
        portfolio=None,
        status=status,
        agents=list(agents_of(user=request.user)),
        form=form or AgentForm(),
        made=made,
        address=request.build_absolute_uri("/api/v1/agents/"),
    )
