"""The path of a request: fault, credentials, limits, the call itself, latency, journal."""

import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from typing import Any

from n2wbackup.demo.aws import (
    answers,
    consoles,
    credentials,
    ebs,
    ec2_copies,
    ec2_images,
    ec2_instances,
    ec2_launching,
    ec2_removing,
    ec2_roots,
    ec2_snapshots,
    ec2_volumes,
    faults,
    instance_connect,
    ssm_actions,
    ssm_places,
    sts_actions,
    tagging,
)
from n2wbackup.demo.aws.answers import Answer, ApiError, DroppedError
from n2wbackup.demo.aws.apicall import ApiCall, HttpRequest, parse
from n2wbackup.demo.aws.credentials import Account
from n2wbackup.demo.aws.faults import Fault
from n2wbackup.demo.aws.moto_app import MotoApp
from n2wbackup.demo.aws.records import Call
from n2wbackup.demo.aws.simulator import Simulator

Action = Callable[[Simulator, ApiCall], Mapping[str, Any]]

EC2_ACTIONS: Mapping[str, Action] = {
    "CopySnapshot": ec2_copies.copy_snapshot,
    "AttachVolume": ec2_volumes.attach_volume,
    "CreateReplaceRootVolumeTask": ec2_roots.create_task,
    "CreateSnapshot": ec2_snapshots.create_snapshot,
    "CreateSnapshots": ec2_snapshots.create_snapshots,
    "CreateTags": tagging.create_tags,
    "CreateVolume": ec2_volumes.create_volume,
    "DeleteSnapshot": ec2_removing.delete_snapshot,
    "DeleteTags": tagging.delete_tags,
    "DeleteVolume": ec2_volumes.delete_volume,
    "DeregisterImage": ec2_images.deregister_image,
    "DescribeImages": ec2_images.describe_images,
    "DescribeInstanceAttribute": ec2_instances.describe_instance_attribute,
    "DescribeInstances": ec2_instances.describe_instances,
    "DescribeRegions": ec2_instances.describe_regions,
    "DescribeReplaceRootVolumeTasks": ec2_roots.describe_tasks,
    "DescribeSnapshots": ec2_snapshots.describe_snapshots,
    "DescribeTags": tagging.describe_tags,
    "DescribeVolumeStatus": ec2_volumes.describe_volume_status,
    "DescribeVolumes": ec2_instances.describe_volumes,
    "DetachVolume": ec2_volumes.detach_volume,
    "GetConsoleOutput": consoles.get_console_output,
    "ListSnapshotsInRecycleBin": ec2_removing.list_snapshots_in_recycle_bin,
    "LockSnapshot": ec2_removing.lock_snapshot,
    "ModifySnapshotAttribute": ec2_copies.modify_snapshot_attribute,
    "ModifyInstanceAttribute": ec2_volumes.modify_instance_attribute,
    "RegisterImage": ec2_images.register_image,
    "RestoreSnapshotFromRecycleBin": ec2_removing.restore_snapshot_from_recycle_bin,
    "RunInstances": ec2_launching.run_instances,
    "StartInstances": ec2_launching.start_instances,
    "StopInstances": ec2_launching.stop_instances,
    "TerminateInstances": ec2_launching.terminate_instances,
    "UnlockSnapshot": ec2_removing.unlock_snapshot,
}
FAILING_ACTIONS: Mapping[str, Action] = {
    **EC2_ACTIONS,
    "CopySnapshot": partial(ec2_copies.copy_snapshot, fails=True),
    "CreateSnapshot": partial(ec2_snapshots.create_snapshot, fails=True),
    "CreateSnapshots": partial(ec2_snapshots.create_snapshots, fails=True),
}
SSM_ACTIONS: Mapping[str, Action] = {
    "CancelCommand": ssm_actions.cancel_command,
    "DescribeInstanceInformation": ssm_actions.describe_instance_information,
    "GetCommandInvocation": ssm_actions.get_command_invocation,
    "ListCommandInvocations": ssm_actions.list_command_invocations,
    "SendCommand": ssm_actions.send_command,
}
LOGS_ACTIONS: Mapping[str, Action] = {"GetLogEvents": ssm_places.get_log_events}
IAM_ACTIONS: Mapping[str, Action] = {
    "GetInstanceProfile": ssm_places.get_instance_profile,
    "ListAttachedRolePolicies": ssm_places.list_attached_role_policies,
}
CONNECT_ACTIONS: Mapping[str, Action] = {
    "SendSSHPublicKey": instance_connect.send_ssh_public_key,
}
STS_ACTIONS: Mapping[str, Callable[[Simulator, ApiCall, Account], Mapping[str, object]]] = {
    "AssumeRole": sts_actions.assume_role,
    "GetCallerIdentity": sts_actions.get_caller_identity,
}


class Gateway:
    """The entry to the simulated AWS; many threads may use it."""

    def __init__(self, simulator: Simulator) -> None:
        """Answer the calls to one simulator."""
        self._simulator = simulator
        self._moto = MotoApp(simulator.inventory)

    def answer(self, http: HttpRequest) -> Answer | None:
        """Return the answer; None if the connection must be closed without one."""
        started, at = time.perf_counter(), datetime.now(tz=UTC)
        try:
            call = parse(http)
        except ValueError:
            error = ApiError("MalformedQueryString", "The request cannot be read.")
            return answers.refusal("", error)
        self._simulator.permissions.note(call)
        number = self._simulator.journal.begin(_entry(call, at))
        answer: Answer | None
        try:
            answer = self._serve(call)
            outcome = answer.outcome
        except ApiError as error:
            answer = answers.refusal(call.service, error)
            outcome = error.code
        except DroppedError:
            answer, outcome = None, "dropped"
        except Exception:  # noqa: BLE001 - like a service: a bug gives a 500, and the process goes on
            traceback.print_exc()
            failure = ApiError("InternalFailure", "A bug", HTTPStatus.INTERNAL_SERVER_ERROR)
            answer, outcome = answers.refusal(call.service, failure), failure.code
        self._simulator.journal.end(number, outcome, time.perf_counter() - started)
        return answer

    def _serve(self, call: ApiCall) -> Answer:
        """Answer a call, with its fault and the configured latency."""
        fault = self._simulator.faults.take(call)
        if fault is not None and not fault.deed and fault.kind != "lost_answer":
            _befall(fault, call)
        options = self._simulator.options
        latency = options.latency_seconds.get(call.action, 0.0)
        time.sleep(latency * options.copy_moment)
        try:
            answer = self._perform(call, fault.kind if fault is not None else "")
        except ApiError as error:
            answer = answers.refusal(call.service, error)
        time.sleep(latency * (1 - options.copy_moment))
        if fault is not None and fault.kind == "lost_answer":
            raise DroppedError
        if fault is not None and fault.deed:
            _befall(fault, call)
        return answer

    def _perform(self, call: ApiCall, fault: str) -> Answer:
        """Do the call, after checking the caller's permissions and the rate; some faults are in what it does."""
        simulator = self._simulator
        account = simulator.credentials.verify(call)
        call = replace(call, caller=account.aws_account_id)
        if call.region in simulator.options.regions_off:
            raise credentials.region_off(call, simulator.options.region_off_error)
        if not simulator.inventory.has_region(call.region):
            raise credentials.unknown_key(call)
        simulator.credentials.authorize(account, call)
        bucket = simulator.options.rate_buckets.get(call.action)
        if bucket is not None:
            size, refill = bucket
            if not simulator.buckets.take(call.region, call.action, size=size, refill=refill):
                raise faults.rate_exceeded(call)
        if call.service == "ec2" and call.action in EC2_ACTIONS:
            actions = FAILING_ACTIONS if fault == "snapshot_error" else EC2_ACTIONS
            content = actions[call.action](simulator, call)
            left_out = simulator.options.left_out_fields
            return answers.ec2(call.action, answers.without(content, left_out))
        if call.service == "ssm" and call.action in SSM_ACTIONS:
            return answers.ssm(SSM_ACTIONS[call.action](simulator, call))
        if call.service == answers.INSTANCE_CONNECT and call.action in CONNECT_ACTIONS:
            return answers.ssm(CONNECT_ACTIONS[call.action](simulator, call))
        if call.service == "sts" and call.action in STS_ACTIONS:
            return answers.sts(call.action, STS_ACTIONS[call.action](simulator, call, account))
        return self._beside(call, fault)

    def _beside(self, call: ApiCall, fault: str) -> Answer:
        """Answer what is neither EC2's, nor SSM's, nor STS's; moto answers the rest."""
        simulator = self._simulator
        if call.service == "ebs":
            return ebs.answer(simulator, call, fault)
        if call.service == "logs" and call.action in LOGS_ACTIONS:
            return answers.ssm(LOGS_ACTIONS[call.action](simulator, call))
        if call.service == "iam" and call.action in IAM_ACTIONS:
            return answers.iam(call.action, IAM_ACTIONS[call.action](simulator, call))
        if call.service == "s3":
            return ssm_places.get_object(simulator, call)
        if call.service == "ec2" and call.action.startswith("Describe"):
            simulator.refuse_dry_run(call)
        return self._moto.answer(call)


def _entry(call: ApiCall, at: datetime) -> Call:
    """Return the journal entry for a call that has just arrived."""
    return Call(
        service=call.service,
        action=call.action,
        permissions=call.permissions(),
        access_key_id=call.access_key_id,
        region=call.region,
        at=at,
        dry_run=call.dry_run,
        outcome="serving",
        service_seconds=0.0,
        parameters=call.parameters,
    )


def _befall(fault: Fault, call: ApiCall) -> None:
    """Apply a fault: raise its error, wait, or hang until the connection is dropped."""
    if fault.kind == "denied":
        raise credentials.denied(call, call.permissions()[0])
    error = faults.error_of(fault, call)
    if error is not None:
        raise error
    if fault.kind in {"slow", "hang"}:
        fault.wait()
    if fault.kind == "hang":
        raise DroppedError
