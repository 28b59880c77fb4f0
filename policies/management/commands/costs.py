"""Show what restore points and their copies cost, as an estimate."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from policies.domain.document.fields import RANGES
from policies.management import output
from policies.models import Policy
from policies.selectors import labels
from policies.services.costs import billing
from policies.services.costs.billing import NUMBERS, Costs


class Command(output.Command):
    requires_system_checks = []
    help = (
        "Show what a month of the restore points and copies of policies costs, as an estimate. "
        "--keep-… says what other rules would cost; nothing is saved."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("policy", metavar="OWNER/NAME", nargs="?")
        for column in NUMBERS:
            parser.add_argument(f"--{column.replace('_', '-')}", type=int, metavar="N")
        parser.add_argument("--json", action="store_true", help="print it as JSON")

    def handle(self, **options: Any) -> None:
        asked = {column: options[column] for column in NUMBERS if options[column] is not None}
        for column, number in asked.items():
            low, high = RANGES[column]
            if not low <= number <= high:
                message = f"--{column.replace('_', '-')} is a number from {low} to {high}, and not {number}."
                raise CommandError(message)
        with output.complaints():
            table = billing.prices()
            chosen = [labels.policy(options["policy"])] if options["policy"] else _all()
            rows = [_json(policy, billing.of_policy(policy, table)) for policy in chosen]
            if asked:
                for policy, row in zip(chosen, rows, strict=True):
                    other = billing.what_if(policy, asked)
                    row["what_if"] = {**asked, "month": round(other.then.month, 2)}
                    row["what_if"] |= {"kept": other.kept, "gone": other.gone}
        said = {
            "estimate": True,
            "currency": table.currency,
            "prices_of": table.as_of.isoformat(),
            "policies": rows,
        }
        if options["json"]:
            self.stdout.write(output.as_json(said))
            return
        if not rows:
            self.stdout.write("There are no policies, so nothing costs anything.")
            return
        for row in rows:
            self.stdout.write(_line(row, table.currency))
        self.stdout.write(f"Estimates, by the price list of {table.as_of}.")


def _all() -> list[Policy]:
    return list(Policy.objects.select_related("owner").order_by("owner__username", "name"))


def _json(policy: Policy, costs: Costs) -> dict[str, Any]:
    return {
        "policy": policy.label,
        "enabled": policy.enabled,
        "month": round(costs.total.month, 2),
        "gib": round(costs.total.gib, 3),
        "copies_month": round(costs.copies.month, 2),
        "snapshots": costs.total.snapshots,
        "unmeasured": costs.total.unmeasured,
    }


def _line(row: dict[str, Any], currency: str) -> str:
    said = f"{row['policy']}: {currency} {row['month']:.2f} a month, {row['gib']} GiB"
    if row["unmeasured"]:
        said += f", {row['unmeasured']} of {row['snapshots']} snapshots not measured"
    if "what_if" in row:
        other = row["what_if"]
        said += f"; by the other rules {currency} {other['month']:.2f}, {other['gone']} restore points go"
    return said if row["enabled"] else f"{said} (disabled: keeps everything)"
