"""The admin pages of accounts."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.db import models
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters

from policies.admin.owned import Owned, deleted
from policies.forms.accounts import AccountForm
from policies.models import Account
from policies.services.entry import accounts, probing

if TYPE_CHECKING:
    _Form = ModelForm[Any]
else:  # it takes no types at run time
    _Form = object


@admin.register(Account)
@method_decorator(sensitive_post_parameters("new_secret", "access_key_id"), "changeform_view")
class AccountAdmin(Owned):
    """People can enter a secret, but no page ever shows it."""

    form = AccountForm
    fields = (
        *("owner", "name", "auth", "access_key_id", "new_secret"),
        *("role_arn", "external_id", "region", "regions"),
    )
    readonly_fields = ("external_id",)
    actions = ("test_accounts",)
    list_display = ("name", "owner", "auth", "region")
    list_select_related = ("owner",)

    @admin.action(description="Test the selected accounts in AWS", permissions=["view"])
    def test_accounts(self, request: HttpRequest, queryset: models.QuerySet[Account]) -> None:
        """Ask AWS for each permission, and show what is missing."""
        for account in queryset.select_related("owner"):
            found = probing.probe(account)
            for sentence in found.problems:
                messages.error(request, f"{found.account}: {sentence}")
            if found.is_good:
                seen = f", AWS sees {found.arn}" if found.arn else ""
                messages.success(request, f"{found.account}: no permission is missing{seen}.")
            for each in found.answers:
                if each.result == probing.Result.NOT_TRIED:
                    messages.warning(request, f"{found.account}: {each.sentence}")

    def get_queryset(self, request: HttpRequest) -> Any:  # noqa: ANN401 - see Owned
        """Do not read the secret: no page needs it, and its encryption key may be lost."""
        return super().get_queryset(request).defer("secret_access_key")

    def save_model(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        obj: Account,
        form: _Form,  # noqa: ARG002
        change: bool,  # noqa: FBT001, ARG002
    ) -> None:
        accounts.save(obj)

    def delete_model(self, request: HttpRequest, obj: Account) -> None:  # noqa: ARG002 - Django's signature
        accounts.delete(obj)

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Account]) -> None:  # noqa: ARG002
        for account in queryset:
            accounts.delete(account)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:  # noqa: ANN401, ARG002 - Django's signature
        return deleted(list(objs), "accounts", [accounts.why_not_deleted(o) for o in objs])
