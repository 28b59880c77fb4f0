"""The control API: the parent's requests to the process, in JSON.

Its user can run scripts, so it needs the token that the process created at its start and gave to its
parent.
"""

import hmac
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

from n2wbackup.demo.aws.answers import Answer, ApiError
from n2wbackup.demo.aws.apicall import HttpRequest
from n2wbackup.demo.aws.consoles import Console
from n2wbackup.demo.aws.credentials import Account, Role
from n2wbackup.demo.aws.faults import Fault
from n2wbackup.demo.aws.inventory import ACCOUNT_ID
from n2wbackup.demo.aws.makings import Image
from n2wbackup.demo.aws.records import SimulatedSnapshot, VolumeSpec
from n2wbackup.demo.aws.simulator import Simulator
from n2wbackup.demo.aws.snapshots import Snapshot

PREFIX = "/_simulator/"
TOKEN_HEADER = "x-simulator-token"
Given = Mapping[str, Any]


def _path(given: str | None) -> Path | None:
    return Path(given) if given else None


def _spec(given: Given) -> VolumeSpec:
    paths = {name: _path(given.get(name)) for name in ("backing", "copy_to")}
    return VolumeSpec(**{**given, **paths})


def _add_account(simulator: Simulator, given: Given) -> None:
    allowed = given["allowed_actions"]
    simulator.credentials.add(
        Account(
            given["access_key_id"],
            given["secret_access_key"],
            (allowed,) if isinstance(allowed, str) else tuple(allowed),
            number=given["number"] or ACCOUNT_ID,
        )
    )


def _add_role(simulator: Simulator, given: Given) -> None:
    simulator.credentials.add_role(
        Role(given["arn"], given["external_id"], tuple(given["allowed_actions"]))
    )


def _add_instance(simulator: Simulator, given: Given) -> dict[str, Any]:
    specs = [_spec(each) for each in given["volumes"]] or [VolumeSpec()]
    folder = _path(given["folder"])
    if folder is not None and not folder.is_dir():
        msg = f"{folder} cannot be used as an instance: it is not a folder."
        raise ValueError(msg)
    made = simulator.inventory.add_instance(
        given["region"], specs, given["name"], given["state"], folder, given["user_data"]
    )
    if folder is not None:
        simulator.permissions.note_agent()  # the agent registers when the instance boots
    return asdict(made)


def _add_volume(simulator: Simulator, given: Given) -> str:
    return simulator.inventory.add_volume(given["region"], _spec(given["volume"]))


def _attach(simulator: Simulator, given: Given) -> None:
    simulator.inventory.attach(
        given["region"], given["volume_id"], given["instance_id"], given["device"]
    )


def _detach(simulator: Simulator, given: Given) -> None:
    simulator.inventory.detach(given["region"], given["volume_id"])


def _delete_snapshot(simulator: Simulator, given: Given) -> None:
    simulator.delete_snapshot(given["region"], given["snapshot_id"])


def _add_image(simulator: Simulator, given: Given) -> str:
    devices = [f"/dev/sd{chr(ord('a') + number)}" for number in range(len(given["snapshot_ids"]))]
    pairs = zip(devices, given["snapshot_ids"], strict=True)
    mappings = [{"deviceName": name, "ebs": {"snapshotId": key}} for name, key in pairs]
    image_id = f"ami-{secrets.token_hex(9)[:17]}"
    fields = {"rootDeviceName": devices[0]}
    simulator.makings.images[image_id] = Image(
        image_id,
        given["region"],
        image_id,
        0.0,
        0.0,
        fields,
        mappings,
        dict(given["tags"]),
        given["disabled"],
    )
    return image_id


def _set_console(simulator: Simulator, given: Given) -> None:
    simulator.inventory.instance(given["region"], given["instance_id"])
    simulator.consoles[given["instance_id"]] = Console(given["early"], given["now"])


def _let_connect(simulator: Simulator, given: Given) -> None:
    simulator.inventory.instance(given["region"], given["instance_id"])
    simulator.connect_folders[given["instance_id"]] = Path(given["folder"])


def _settle(simulator: Simulator, given: Given) -> None:
    simulator.snapshots.settle(given["state"], given["snapshot_ids"])


def _set_agent(simulator: Simulator, given: Given) -> None:
    simulator.commands.agents.set_state(given["instance_id"], given["state"])


def _describe_agent(simulator: Simulator, given: Given) -> None:
    agent = simulator.commands.agents.of(given["instance_id"])
    agent.version = given["version"] or agent.version
    agent.platform = given["platform"] or agent.platform
    agent.folder = _path(given["folder"]) or agent.folder


def _delay_commands(simulator: Simulator, given: Given) -> None:
    simulator.commands.agents.of(given["instance_id"]).delay_seconds = float(given["seconds"])


def _restart_agent(simulator: Simulator, given: Given) -> None:
    options = simulator.options
    seconds = options.ssm_restart_seconds * options.ssm_second
    simulator.commands.agents.of(given["instance_id"]).restart(seconds)


def _set_parameter(simulator: Simulator, given: Given) -> None:
    simulator.commands.parameters[given["name"]] = given["value"]


def _set_role(simulator: Simulator, given: Given) -> None:
    simulator.inventory.instance(given["region"], given["instance_id"])
    simulator.roles[given["instance_id"]] = (given["role"], tuple(given["policies"]))


def _fault(simulator: Simulator, given: Given) -> None:
    simulator.faults.add(Fault(**given))


def _clear_faults(simulator: Simulator, _given: Given) -> None:
    simulator.faults.clear()


def _configure(simulator: Simulator, given: Given) -> None:
    simulator.configure(given)


def _calls(simulator: Simulator, given: Given) -> list[dict[str, Any]]:
    return [asdict(each) for each in simulator.journal.calls(given["action"])]


def _forget_calls(simulator: Simulator, _given: Given) -> None:
    simulator.journal.clear()


def _snapshots(simulator: Simulator, given: Given) -> list[dict[str, Any]]:
    return [asdict(_shown(each)) for each in simulator.snapshots.all(given["region"])]


def _shown(snapshot: Snapshot) -> SimulatedSnapshot:
    copies = snapshot.of.copies
    has_copy = snapshot.copy is not None
    state = copies.state if copies is not None else "copying"
    return SimulatedSnapshot(
        snapshot_id=snapshot.snapshot_id,
        set_id=snapshot.of.set_id,
        volume_id=snapshot.source.volume_id,
        instance_id=snapshot.request.instance_id,
        region=snapshot.request.region,
        state=snapshot.state(),
        progress=snapshot.progress(),
        description=snapshot.request.description,
        created_at=snapshot.of.created_at,
        copy=snapshot.copy,
        copy_state=state if has_copy else "none",
        copy_method=copies.method if copies is not None and has_copy else "",
        copy_error=copies.error if copies is not None and has_copy else "",
        torn=(copies.torn if copies is not None else None) if has_copy else False,
        tags=dict(snapshot.tags),
        owner=snapshot.request.owner,
        origin=snapshot.origin,
        encrypted=snapshot.source.encrypted,
        kms_key_id=snapshot.source.kms_key_id or "",
        shared_with=tuple(sorted(snapshot.shared_with)),
        completion_minutes=snapshot.completion_minutes,
    )


def _reset(simulator: Simulator, _given: Given) -> None:
    simulator.reset()


METHODS: Mapping[str, Callable[[Simulator, Given], Any]] = {
    "add_account": _add_account,
    "add_image": _add_image,
    "add_instance": _add_instance,
    "add_role": _add_role,
    "add_volume": _add_volume,
    "attach": _attach,
    "calls": _calls,
    "clear_faults": _clear_faults,
    "configure": _configure,
    "delay_commands": _delay_commands,
    "delete_snapshot": _delete_snapshot,
    "describe_agent": _describe_agent,
    "detach": _detach,
    "fault": _fault,
    "forget_calls": _forget_calls,
    "let_connect": _let_connect,
    "reset": _reset,
    "restart_agent": _restart_agent,
    "set_agent": _set_agent,
    "set_console": _set_console,
    "set_parameter": _set_parameter,
    "set_role": _set_role,
    "settle_snapshots": _settle,
    "snapshots": _snapshots,
}


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _answer(status: HTTPStatus, content: Mapping[str, Any]) -> Answer:
    body = json.dumps(content, default=_text).encode()
    return Answer(status, "application/json", body)


def answer(simulator: Simulator, token: str, http: HttpRequest) -> Answer:
    """Do what the parent asks and return {"result": …}; or do nothing and return {"error": a sentence}."""
    if not hmac.compare_digest(http.headers.get(TOKEN_HEADER, ""), token):
        return _answer(HTTPStatus.FORBIDDEN, {"error": "The control API needs its token."})
    method = METHODS.get(http.path.removeprefix(PREFIX))
    if method is None:
        return _answer(HTTPStatus.NOT_FOUND, {"error": f"There is no {http.path}."})
    try:
        return _answer(HTTPStatus.OK, {"result": method(simulator, json.loads(http.body))})
    except (ApiError, ValueError, TypeError, OSError) as error:
        return _answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
