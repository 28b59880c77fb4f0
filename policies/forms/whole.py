"""The form of a policy on its own page: settings, targets, schedules, and a schedule that is made in place."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from n2wbackup.lib import row_keys
from policies.domain.document import fields
from policies.domain.document.kinds import Group
from policies.forms import choosing, remotes
from policies.forms.policies import PolicyForm
from policies.forms.schedules import ScheduleForm
from policies.models import Account, Policy, PolicyTarget, Schedule
from policies.services.entry import keeping, together, versions
from policies.services.entry.together import Entered
from policies.services.retention.planning import Edited
from scripts_admin.domain.remote import Remote
from scripts_admin.forms import looks
from scripts_admin.models import User

PREFIX = "made"


class _Settings(PolicyForm):
    class Meta(PolicyForm.Meta):
        fields: tuple[str, ...] = (
            "account",
            "name",
            *(each.column for each in fields.POLICY),
            "schedules",
        )
        widgets = {"schedules": forms.CheckboxSelectMultiple}

    def __init__(self, *args: Any, is_own: bool, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Offer the owner's accounts and schedules only.

        Whoever edits somebody else's policy keeps its account, which decides what AWS lets it do, and its name,
        which decides what scripts it runs.
        """
        super().__init__(*args, **kwargs)
        if not is_own:
            del self.fields["account"], self.fields["name"]
        owner = self.instance.owner_id
        accounts = Account.objects.filter(owner=owner).defer("secret_access_key").order_by("name")
        followed = Schedule.objects.filter(owner=owner).order_by("name")
        for name, rows in (("account", accounts), ("schedules", followed)):
            if name not in self.fields:
                continue
            offered = self.fields[name]
            assert isinstance(offered, forms.ModelChoiceField)  # noqa: S101 - as the model has it
            offered.queryset = rows
            offered.empty_label = None
        self.fields["schedules"].required = False
        looks.dress(self)


class _Made(ScheduleForm):
    class Meta(ScheduleForm.Meta):
        fields = ("name", "cron", "every_number", "every_unit", "starting", "timezone")

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - as Django's
        """Leave out what a schedule of its own has a page for."""
        super().__init__(*args, **kwargs)
        for name in ("ending", "disabled"):
            del self.fields[name]
        looks.dress(self)


class WholePolicy:
    """What the page shows and takes. `opened`: the version that the form began with, empty for a new policy."""

    def __init__(
        self,
        policy: Policy,
        sent: QueryDict | None = None,
        *,
        like: Policy | None = None,
        is_own: bool = True,
        scripts_of: User | None = None,
    ) -> None:
        """`sent` is what was typed; `like` is the policy that a new one begins as.

        If it is not the person's own policy, nothing else of its owner's is shown or made. `scripts_of` is the
        person, if they may rename the scripts with the policy.
        """
        self.policy, self.sent, self.is_own = policy, sent, is_own
        kept = policy if policy.pk else like
        self.stored = list(kept.targets.order_by("pk")) if kept else []
        self.opened = versions.of(policy) if policy.pk else ""
        if sent is not None:
            self.opened = sent.get("opened", "") if policy.pk else ""
        first = {"schedules": list(kept.schedules.all())} if kept and not policy.pk else None
        self.settings = _Settings(sent, instance=policy, initial=first, is_own=is_own)
        made = Schedule(owner=policy.owner)
        self.is_made = is_own and sent is not None and bool(sent.get(f"{PREFIX}-name", "").strip())
        self.made = _Made(sent if self.is_made else None, instance=made, prefix=PREFIX)
        if sent is not None and not self.is_made:
            self.made.initial = {n: sent.get(f"{PREFIX}-{n}", "") for n in self.made.fields}
        self.account = self._account(kept)
        region = self.account.region
        self.choosing = (
            choosing.of_stored(self.stored, region)
            if sent is None
            else choosing.of_form(sent, region)
        )
        # Whoever edits somebody else's policy keeps how its scripts get to instances, and as whom.
        self._stored_remotes = remotes.stored_of(self.stored)
        instances = self.choosing.instances if is_own else []
        self.remotes = remotes.forms_of(instances, self._stored_remotes, sent)
        self._targets: list[PolicyTarget] = []
        self.theirs: list[tuple[str, str, str]] = []
        self.refusals: list[str] = []
        self.lets_go: Edited | None = (
            None  # what the changed rules would do, once that was asked for
        )
        self._scripts_of = scripts_of if policy.pk else None

    @property
    def offers_scripts(self) -> bool:
        return self._scripts_of is not None

    @property
    def takes_scripts(self) -> bool:
        """Tell whether the scripts are renamed with the policy: a policy finds its scripts by its name."""
        return self.offers_scripts and (self.sent is None or "rename_scripts" in self.sent)

    def _account(self, kept: Policy | None) -> Account:
        """Return the account that is chosen now, which may not be the stored one."""
        chosen = self.sent.get("account", "") if self.sent is not None else ""
        if not row_keys.is_key(chosen) or not self.is_own:
            return kept.account if kept else self.policy.account
        rows = Account.objects.filter(owner=self.policy.owner_id, pk=int(chosen))
        return rows.select_related("owner").first() or self.policy.account

    @property
    def enrolled(self) -> set[str]:
        """Return the targets that a rule brought in: they stay, ticked or not, as long as the rule fits."""
        rows = self.stored if self.policy.pk else ()
        return {f"{target.region}/{target}" for target in rows if target.rule_id}

    def _group(self, group: Group) -> list[list[forms.BoundField]]:
        return [[self.settings[column] for column in line] for line in fields.lines(group)]

    @property
    def when(self) -> list[list[forms.BoundField]]:
        return self._group(Group.WHEN)

    @property
    def scripts(self) -> list[list[forms.BoundField]]:
        return self._group(Group.SCRIPTS)

    @property
    def limits(self) -> list[list[forms.BoundField]]:
        return self._group(Group.LIMITS)

    @property
    def retention(self) -> list[list[forms.BoundField]]:
        return self._group(Group.RETENTION)

    @property
    def proof(self) -> list[list[forms.BoundField]]:
        return self._group(Group.PROOF)

    @property
    def main(self) -> list[forms.BoundField]:
        return [self.settings[c] for line in fields.lines(Group.MAIN) for c in line]

    def is_valid(self) -> bool:
        """Ask the saving rules about everything; the mistakes are in the forms."""
        self._targets = self.choosing.targets(self.stored if self.policy.pk else ())
        good = [self.settings.is_valid(), not self.is_made or self.made.is_valid()]
        good += [form.is_valid() or not form.is_bound for form in self.remotes.values()]
        for target in self._targets:
            if target.instance_id:
                target.remote = self._remote(f"{target.region}/{target}")
        return all(good) and not self.choosing.mistakes

    def _remote(self, key: str) -> Remote:
        form = self.remotes.get(key)
        return form.remote if form else self._stored_remotes.get(key, Remote())

    @property
    def shown_remotes(self) -> str:
        """Return whose forms are on the page, so that the page notices when others are needed."""
        return " ".join(self.remotes)

    @property
    def needs_other_remotes(self) -> bool:
        """Tell whether instances were chosen or dropped since the forms of their scripts were made."""
        sent = self.sent.get("remotes", "") if self.sent is not None else ""
        return self.is_own and sent != self.shown_remotes

    def save(self) -> Policy | None:
        """Save everything or nothing; None, with the reasons in the form, if it was refused."""
        is_good = self.is_valid()
        entered = Entered(
            self.settings.instance,
            self._targets,
            list(self.settings.cleaned_data.get("schedules", ())),
            self.made.instance if self.is_made else None,
            self._scripts_of if self.takes_scripts else None,
        )
        if not is_good:
            # Of a form that was sent twice, the names are taken by its own first arrival.
            return None if self.policy.pk else together.twin(entered)
        if self.look_at_retention():
            return None
        try:
            return together.save(entered, opened=self.opened)
        except versions.ChangedError as error:
            self._compare(entered)
            self.refusals = [str(error)]
        except ValidationError as error:
            self.refusals = error.messages
        return None

    def _compare(self, entered: Entered) -> None:
        """Show both versions, and let the next save begin with the one that is stored now."""
        stored = Policy.objects.select_related("owner", "account").get(pk=self.policy.pk)
        self.opened = versions.of(stored)
        kept = Entered(stored, list(stored.targets.order_by("pk")), list(stored.schedules.all()))
        pairs = zip(_in_words(kept), _in_words(entered), strict=True)
        self.theirs = [
            (label, theirs, mine) for (label, theirs), (_, mine) in pairs if theirs != mine
        ]

    def look_at_retention(self) -> bool:
        """Look at what the changed rules let go; tell whether the person has to agree to it first."""
        self.lets_go = keeping.edited(self.settings.instance) if self.policy.pk else None
        more = len(self.lets_go.more) if self.lets_go else 0
        return more > 0 and (self.sent is None or self.sent.get("let_go") != str(more))

    def mistakes(self, *, is_early: bool = False) -> list[tuple[str, str]]:
        """Return each mistake with the id of its field; early ones leave out what is only still empty."""
        found = [("targets", text) for text in self.choosing.mistakes]
        forms_: list[forms.BaseForm] = [self.settings, *([self.made] if self.is_made else [])]
        forms_ += self.remotes.values()
        for form in forms_:
            for name, errors in form.errors.as_data().items():
                where = form[name].auto_id if name in form.fields else "form"
                found += [
                    (where, " ".join(each.messages))
                    for each in errors
                    if not (is_early and each.code == "required")
                ]
        return [("form", text) for text in self.refusals] + found

    @property
    def early_fields(self) -> list[forms.BoundField]:
        """Return the fields with the mistakes to show before anything was saved: nobody likes "required" too early."""
        shown = [*self.settings, *self.made]
        if not self.needs_other_remotes:
            shown += [field for form in self.remotes.values() for field in form]
        for each in shown:
            errors = each.form.errors.as_data().get(each.name, []) if each.form.is_bound else []
            if any(error.code == "required" for error in errors):
                del each.form.errors[each.name]
        return shown


def _in_words(entered: Entered) -> list[tuple[str, str]]:
    policy = entered.policy
    settings = [
        (each.label, each.in_words(getattr(policy, each.column), folder=policy.folder.name))
        for each in fields.POLICY
    ]
    return [
        ("Name", policy.name),
        ("Account", policy.account.name),
        ("Targets", "; ".join(sorted(map(choosing.in_words, entered.targets)))),
        ("Schedules", ", ".join(sorted(each.name for each in entered.followed)) or "none"),
        *settings,
    ]
