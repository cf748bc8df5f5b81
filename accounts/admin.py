"""People and portfolios in the admin, and the read-only base every table of the books stands on."""

from __future__ import annotations

from typing import Any, Final, cast

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm, AdminUserCreationForm, UserChangeForm
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from accounts.models import (
    ApiToken,
    AuditEntry,
    Credential,
    KeptAnswer,
    KnownDevice,
    LiveAccount,
    LiveFinding,
    LiveHolding,
    Portfolio,
    User,
)
from accounts.roles import role_set
from accounts.services import api_tokens_revoke
from core.clock import utc_now

admin.site.site_header = "Ensemble"
admin.site.site_title = "Ensemble admin"
admin.site.index_title = "What the platform holds"

_OF_PORTFOLIO: Final = (
    ("follows", "allocation_follow"),
    ("positions", "positions_position"),
    ("orders", "execution_order"),
    ("decisions", "engine_decision"),
    ("conflicts", "positions_conflictrecord"),
    ("ledger", "allocation_ledgerentry"),
    ("reservations", "allocation_reservation"),
    ("equity", "positions_equitypoint"),
)


class ReadOnlyAdmin(admin.ModelAdmin):
    """Can be searched, filtered and looked at. Books are changed by services alone."""

    actions = None
    list_per_page = 50
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody deletes here."""
        return False


class ReadOnlyInline(admin.TabularInline):
    """Rows that belong to the one on the page, to look at."""

    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody adds here."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes here."""
        return False


def admin_links(*, targets: tuple[tuple[str, str], ...], query: str) -> SafeString:
    """Return links to the lists of other tables, filtered by ``query``."""
    return format_html_join(
        " · ",
        '<a href="{}?{}">{}</a>',
        ((reverse(f"admin:{table}_changelist"), query, label) for label, table in targets),
    )


class LowerCaseEmail:
    """A form whose e-mail address is stored in lower case, as sign-in expects it."""

    cleaned_data: dict[str, Any]

    def clean_email(self) -> str:
        """Return the address in lower case."""
        return str(self.cleaned_data["email"]).strip().lower()


class UserAddForm(LowerCaseEmail, AdminUserCreationForm):
    """A new person."""

    class Meta:
        model = User
        fields = ("email",)


class UserEditForm(LowerCaseEmail, UserChangeForm):
    """A person's details."""

    def clean(self) -> dict[str, Any]:
        """Refuse to leave the platform without an administrator who can sign in."""
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        stays = cleaned.get("role") == User.Role.ADMIN and cleaned.get("is_active")
        others = User.objects.filter(role=User.Role.ADMIN, is_active=True).exclude(pk=self.instance.pk)
        if not stays and not others.exists():
            raise ValidationError(_("This is the last administrator; make somebody else one first."))
        return cleaned


class PasswordAndTokensForm(AdminPasswordChangeForm):
    """Sets a password and ends the API tokens that were made with the old one."""

    def save(self, commit: bool = True) -> User:
        """Save the password."""
        user = super().save(commit=commit)
        api_tokens_revoke(user=user)
        return user


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """People: details, role and password can be set; nobody is deleted, only deactivated."""

    form = UserEditForm
    add_form = UserAddForm
    change_password_form = PasswordAndTokensForm
    ordering = ("email",)
    list_display = ("email", "role", "is_active", "is_staff", "portfolio_count", "last_login", "date_joined")
    list_filter = ("role", "is_active")
    search_fields = ("email", "first_name", "last_name")
    readonly_fields = ("is_staff", "is_superuser", "last_login", "date_joined", "last_portfolio_id")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "password")}),
        ("Name", {"fields": ("first_name", "last_name")}),
        (
            "Rights",
            {"fields": ("role", "is_active", "is_staff", "is_superuser")},
        ),
        ("Seen", {"fields": ("last_login", "date_joined", "last_portfolio_id")}),
    )
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "usable_password", "password1", "password2")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Count portfolios in the same query."""
        return super().get_queryset(request).annotate(portfolio_count=Count("portfolios"))

    @admin.display(description="portfolios", ordering="portfolio_count")
    def portfolio_count(self, user: User) -> int:
        """Return how many portfolios the person has."""
        return int(user.portfolio_count)  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save the details; a role goes its own way, through the audit log."""
        wanted = obj.role
        if change:
            obj.role = User.objects.values_list("role", flat=True).get(pk=obj.pk)
        super().save_model(request, obj, form, change)
        role_set(
            user=obj, role=wanted, by=cast("User", request.user), via=AuditEntry.Via.ADMIN, now=utc_now()
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody is deleted: books refer to people."""
        return False


@admin.register(Portfolio)
class PortfolioAdmin(ReadOnlyAdmin):
    """Portfolios of everyone, with the way to everything that belongs to them."""

    list_display = (
        "id",
        "name",
        "owner",
        "status",
        "mode",
        "policy",
        "risk_profile",
        "conflict_rule",
        "world",
        "created_at",
    )
    list_display_links = ("id", "name")
    list_filter = ("status", "mode", "policy", "risk_profile", "conflict_rule", "world")
    list_select_related = ("owner",)
    search_fields = ("=id", "name", "owner__email", "status_reason")
    date_hierarchy = "created_at"

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Put the way onward first."""
        return ["belongs_to_it", *(field.name for field in Portfolio._meta.fields if field.name != "id")]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Nothing is edited."""
        return self.get_fields(request, obj)

    @admin.display(description="belongs to it")
    def belongs_to_it(self, portfolio: Portfolio) -> SafeString:
        """Return links to the portfolio's follows, orders and so on."""
        return admin_links(targets=_OF_PORTFOLIO, query=f"portfolio__id__exact={portfolio.pk}")


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    """That a key is kept, whose, and what it may do. What it is, is not here."""

    list_display = (
        "id",
        "owner",
        "venue",
        "mask",
        "purpose",
        "sandbox",
        "checked_at",
        "check_error",
        "revoked_at",
    )
    list_filter = ("venue", "purpose", "sandbox", "revoked_at")
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "venue", "name", "mask", "check_error")
    exclude = ("sealed",)


@admin.register(KnownDevice)
class KnownDeviceAdmin(ReadOnlyAdmin):
    """Browsers people have signed in from."""

    list_display = ("user", "device", "first_seen_at", "last_seen_at")
    list_select_related = ("user",)
    search_fields = ("user__email", "device")
    exclude = ("digest",)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    """What API tokens may do, whose they are, and when they were last used."""

    list_display = ("id", "owner", "name", "scopes", "portfolio", "created_at", "last_used_at")
    list_select_related = ("owner", "portfolio")
    search_fields = ("=id", "owner__email", "name")
    fields = ("owner", "name", "scopes", "portfolio", "created_at", "last_used_at")


@admin.register(KeptAnswer)
class KeptAnswerAdmin(ReadOnlyAdmin):
    """Requests with an Idempotency-Key of the last day. What was answered is not here."""

    list_display = ("id", "owner", "key", "status", "claimed_at", "ended_at")
    list_filter = ("status",)
    list_select_related = ("owner",)
    search_fields = ("=id", "owner__email", "key")
    exclude = ("sealed",)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who did or tried what. Nobody can change it, here or in the database."""

    list_display = ("id", "at", "actor_name", "via", "portfolio_id", "action", "outcome", "text")
    list_filter = ("outcome", "via", "at", "action")
    search_fields = ("=id", "=portfolio_id", "=command_id", "actor_name", "action", "text")


@admin.register(LiveAccount)
class LiveAccountAdmin(ReadOnlyAdmin):
    """Accounts at venues that portfolios trade with."""

    list_display = ("portfolio", "venue", "sandbox", "policy", "state", "assigned", "max_positions", "error")
    list_filter = ("state", "venue", "sandbox")
    search_fields = ("=portfolio__id", "portfolio__name", "venue", "account_id")


@admin.register(LiveHolding)
class LiveHoldingAdmin(ReadOnlyAdmin):
    """What accounts held when they were last looked at."""

    list_display = ("account", "kind", "code", "quantity", "ours")
    list_filter = ("kind",)
    search_fields = ("=account__portfolio__id", "code")


@admin.register(LiveFinding)
class LiveFindingAdmin(ReadOnlyAdmin):
    """What venues show and our books do not explain."""

    list_display = ("found_at", "account", "kind", "code", "books", "seen", "text", "settled_at")
    list_filter = ("kind", "found_at")
    search_fields = ("=account__portfolio__id", "code", "text")
