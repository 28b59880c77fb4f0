"""Which snapshots a recovery is made from: the run's own, or the copies of one place. AWS is asked what is there."""

from collections.abc import Sequence
from typing import NamedTuple

from policies.adapters import session
from policies.domain.errors import BackupError, RefusedError
from policies.models import Account, Run
from policies.ports import Cloud
from policies.selectors import sources
from policies.selectors.sources import Piece
from policies.services.window import credentials
from scripts_admin.models import User

_COMPLETED = "completed"


class Chosen(NamedTuple):
    """The pieces of one place, each of another volume, and what a person should know of the choice."""

    pieces: Sequence[Piece]
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return self.pieces[0].place

    @property
    def region(self) -> str:
        return self.pieces[0].region


def volume(run: Run, volume_id: str, source: str, account: str = "") -> Chosen:
    """Return the piece of the volume; RefusedError if there is none, or several volumes and none is named."""
    found = _candidates(run, source, account)
    if volume_id:
        found = [piece for piece in found if piece.volume_id == volume_id]
    volumes = list(dict.fromkeys(piece.volume_id for piece in found))
    if not found:
        where = f" in {source[:80]}" if source else ""
        what = f"of {volume_id}{where}" if volume_id else f"at all{where}"
        message = (
            f"Run {run.pk} has no snapshot {what} to restore from: choose another restore point."
        )
        raise RefusedError(message)
    if len(volumes) > 1:
        names = ", ".join(volumes)
        raise RefusedError(f"Run {run.pk} has several volumes ({names}): name one of them.")
    return _first_there(run, [[piece] for piece in found])


def instance(run: Run, instance_id: str, source: str, account: str = "") -> Chosen:
    """Return the pieces of the instance, in the place that has most of them; RefusedError as above."""
    found = [
        piece
        for piece in _candidates(run, source, account)
        if piece.target.instance_id and instance_id in {"", piece.target.instance_id}
    ]
    names = list(dict.fromkeys(piece.target.instance_id for piece in found))
    if len(names) != 1:
        message = (
            f"Run {run.pk} has several instances ({', '.join(names)}): name one."
            if names
            else f"Run {run.pk} has no backup of {instance_id or 'an instance'}: restore a volume instead."
        )
        raise RefusedError(message)
    places = dict.fromkeys(piece.place for piece in found)
    groups = [_of_place(found, place) for place in places]
    return _first_there(run, sorted(groups, key=len, reverse=True))


def _candidates(run: Run, source: str, account: str) -> list[Piece]:
    """Return the pieces of the source. If only another account is named: its copies, where it has some."""
    found = sources.within(run, sources.of_run(run), source)
    if source or not account or account in _own_names(found):
        return found
    there = [each for each in found if each.account and each.account.name == account]
    return there or [each for each in found if not each.copy] or found


def _own_names(pieces: Sequence[Piece]) -> set[str]:
    return {each.account.name for each in pieces if each.account and not each.copy}


def _of_place(pieces: Sequence[Piece], place: str) -> list[Piece]:
    """Of two copies of one volume in the same place, the first is enough."""
    return list({piece.volume_id: piece for piece in pieces[::-1] if piece.place == place}.values())


def _first_there(run: Run, groups: Sequence[Sequence[Piece]]) -> Chosen:
    """Return the first group that AWS has; where there is no choice, and no copy, AWS is asked later anyway."""
    if len(groups) == 1 and not groups[0][0].copy:
        return Chosen(groups[0])
    missing: list[str] = []
    for number, group in enumerate(groups):
        why = _why_not(group)
        if why:
            missing.append(why)
            continue
        return Chosen(group, _notes(group, missing, groups[number + 1 :]))
    raise RefusedError(f"Run {run.pk} cannot be restored from: {'; '.join(missing)}.")


def _notes(
    group: Sequence[Piece], missing: Sequence[str], others: Sequence[Sequence[Piece]]
) -> tuple[str, ...]:
    first = group[0]
    if not first.copy:
        known = " and ".join(sources.in_words(other[0].place) for other in others)
        return (f"There is a {known}, too: choose it if {first.region} is lost.",)
    used = sources.in_words(first.place)
    lost = list(missing)
    if not lost and first.made.state != _COMPLETED:
        lost.append(f"{first.made.snapshot_id} is {first.made.state}")
    return (f"{'; '.join(lost)}: the {used} is used instead.",) if lost else ()


def _why_not(group: Sequence[Piece]) -> str:
    """Return why the group cannot be read from now; "" if AWS has all of it."""
    account, region = group[0].account, group[0].region
    what = f"the {sources.in_words(group[0].place)}" if group[0].copy else group[0].snapshot_id
    if account is None:
        return f"the account of {what} was deleted"
    try:
        found = cloud(account).describe(region, [piece.snapshot_id for piece in group])
    except BackupError as error:
        return f"{what} cannot be looked at in {region} ({str(error).rstrip('.')})"
    for piece in group:
        row = found.get(piece.snapshot_id)
        if row is None or row.state != _COMPLETED:
            state = f"is {row.state}" if row else "does not exist any more"
            return f"{piece.snapshot_id} {state} in {region}"
    return ""


def cloud(account: Account) -> Cloud:
    """Return the account's AWS; RefusedError if its right to the server's role was withdrawn."""
    credentials.refuse_withdrawn(account)
    return session.cloud(credentials.of(account))


def account(run: Run, piece: Piece, name: str, by: User | None) -> Account:
    """Return the account that makes what is restored: that of the piece, or another of the same owner's.

    Only the owner may name another one. A copy is used in the account where it is.
    """
    own = piece.account
    if name and (own is None or name != own.name):
        may_choose = by is None or by.is_superuser or by.pk == run.owner_id
        rows = Account.objects.filter(owner=run.owner_id) if may_choose else Account.objects.none()
        other = rows.filter(name=name).first()
        if other is None:
            message = f"{run.owner_name} has no account {name}: choose one of the owner's accounts."
            raise RefusedError(message)
        if piece.copy:
            message = (
                f"{piece.snapshot_id} is a {sources.in_words(piece.place)}, and is restored with the account {own}: "
                "leave the account out, or choose another source."
            )
            raise RefusedError(message)
        _refuse_unreadable(run, piece, other)
        own = other
    if own is None:
        message = (
            f"The account of run {run.pk} was deleted: name another account of {run.owner_name}."
        )
        raise RefusedError(message)
    credentials.refuse_withdrawn(own)
    return own


def _refuse_unreadable(run: Run, piece: Piece, other: Account) -> None:
    """Raise RefusedError if another AWS account is to read a snapshot: it is copied there first, and never shared."""
    own = piece.account
    if own is None or credentials.same_aws(own, other, piece.region):
        return
    where = f"{other.name}/{piece.region}"
    message = (
        f"{other} is another AWS account than {own}, to which {piece.snapshot_id} belongs, and cannot read it: give "
        f"{run.label} a place for copies in {piece.region} with the account {other}, have the restore point copied "
        f"(copies {run.pk} --to {where}), and restore from the copy."
    )
    raise RefusedError(f"{message}{_key(piece)}")


def _key(piece: Piece) -> str:
    known = piece.target.description
    said = (known.document if known else {}).get("volumes", {}).get(piece.volume_id, {})
    if not said.get("Encrypted"):
        return ""
    key = said.get("KmsKeyId", "a key that is not known")
    return (
        f" It is encrypted with {key}: its policy must let the other account use it. AWS lets no other account "
        "read what is encrypted with its default key aws/ebs: such a volume must get another key first."
    )
