"""The behaviour of the simulated AWS: all options can be changed while it runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict


class OptionChanges(TypedDict, total=False):
    """Options by name, to change some of them; see `Options`."""

    pending_seconds: float
    eventual_consistency_seconds: float
    latency_seconds: Mapping[str, float]
    copy_moment: float
    copy_backing: bool
    rate_buckets: Mapping[str, tuple[float, float]]
    per_volume_interval_seconds: float
    pending_per_volume: int
    regions_off: Sequence[str]
    region_off_error: str
    role_seconds: float
    connect_key_seconds: float
    ssm_delivery_seconds: float
    ssm_unknown_seconds: float
    ssm_second: float
    ssm_restart_seconds: float
    kms_denied: bool
    keys_denied: Sequence[str]
    copy_seconds: float
    copies_at_once: int
    left_out_fields: Sequence[str]
    recycle_bin_seconds: float
    creating_seconds: float
    initialization_seconds: float
    initialization_unknown_seconds: float
    instance_seconds: float
    image_seconds: float
    root_task_seconds: float
    block_token_seconds: float
    page_token_seconds: float
    empty_block_pages: bool


def _buckets() -> dict[str, tuple[float, float]]:
    return {"CreateSnapshots": (100, 5), "CreateSnapshot": (100, 5)}


@dataclass(frozen=True, slots=True)
class Options:
    """One consistent set of options; replaced as a whole.

    - `pending_seconds`: how long a snapshot is pending; fixed when the snapshot is created.
    - `eventual_consistency_seconds`: how long a new snapshot, instance or volume is not listed, and how long
      listings of instances and volumes show the tags from before a change.
    - `latency_seconds`: per action, how long an answer takes in addition to its own work.
    - `copy_moment`: the part of that latency (0..1) that has passed when the call is done.
    - `copy_backing`: whether snapshots copy the backing of their volumes.
    - `rate_buckets`: per action (size, refill per second), for each region; without an entry: no limit.
    - `per_volume_interval_seconds`: minimum time between two snapshots of a volume; 0: no limit.
    - `pending_per_volume`: maximum of pending snapshots of a volume (1 on st1 and sc1); 0: no limit.
    - `regions_off`: regions that are not enabled for the account, and `region_off_error`, their
      error: "AuthFailure" (an opt-in region) or "OptInRequired" (a service without subscription).
    - `role_seconds`: how long an assumed role's keys are valid, whatever was requested; 0: as requested.
    - `connect_key_seconds`: how long a key that EC2 Instance Connect hands over is valid.
    - `ssm_delivery_seconds`: from SendCommand until the script starts.
    - `ssm_unknown_seconds`: from SendCommand until GetCommandInvocation and ListCommandInvocations know of it.
    - `ssm_second`: how long a second of SSM's own limits lasts: of TimeoutSeconds, executionTimeout and a restart.
    - `ssm_restart_seconds`: from an agent's restart until it takes commands again and reports, in such seconds.
    - `kms_denied`: snapshots of encrypted volumes turn to `error`, with their sets. AWS asks KMS only after the
      call has been answered.
    - `keys_denied`: KMS keys that a copy may not use, for itself or to read its source: it turns to `error`
      after the call was answered, as does a copy with a key of another region.
    - `copy_seconds`: how long a copy of a snapshot is pending; fixed when it is asked for.
    - `copies_at_once`: maximum of pending copies of one account in one region; 0: no limit.
    - `left_out_fields`: fields of EC2's answers that are left out wherever they appear, by their names in the XML.
    - `recycle_bin_seconds`: how long the Recycle Bin keeps what is deleted; 0: there is no rule for it.
    - `creating_seconds`: how long a volume that was made of a snapshot cannot be attached.
    - `initialization_seconds`: how long AWS loads it from its snapshot, half of it at a rate that is paid for; and
      `initialization_unknown_seconds`, how long DescribeVolumeStatus says nothing of that.
    - `instance_seconds`: how long an instance is stopping, or pending.
    - `image_seconds`, `root_task_seconds`: how long an image is pending, and a root volume is being replaced.
    - `block_token_seconds` and `page_token_seconds`: how long EBS's tokens of blocks and of pages are valid.
    - `empty_block_pages`: every other page of blocks is empty, and names a next one all the same.
    """

    pending_seconds: float = 2.0
    eventual_consistency_seconds: float = 0.0
    latency_seconds: Mapping[str, float] = field(default_factory=dict)
    copy_moment: float = 1.0
    copy_backing: bool = True
    rate_buckets: Mapping[str, tuple[float, float]] = field(default_factory=_buckets)
    per_volume_interval_seconds: float = 15.0
    pending_per_volume: int = 5
    regions_off: Sequence[str] = ()
    region_off_error: str = "AuthFailure"
    role_seconds: float = 0.0
    connect_key_seconds: float = 60.0
    ssm_delivery_seconds: float = 0.05
    ssm_unknown_seconds: float = 0.2
    ssm_second: float = 1.0
    ssm_restart_seconds: float = 90.0
    kms_denied: bool = False
    keys_denied: Sequence[str] = ()
    copy_seconds: float = 2.0
    copies_at_once: int = 20
    left_out_fields: Sequence[str] = ()
    recycle_bin_seconds: float = 0.0
    creating_seconds: float = 0.2
    initialization_seconds: float = 2.0
    initialization_unknown_seconds: float = 0.0
    instance_seconds: float = 0.2
    image_seconds: float = 0.2
    root_task_seconds: float = 0.3
    block_token_seconds: float = 7 * 86400.0
    page_token_seconds: float = 3600.0
    empty_block_pages: bool = True

    def changed(self, changes: Mapping[str, Any]) -> "Options":
        """Return the options with the changes; ValueError with the names of unknown options."""
        unknown = sorted(set(changes) - {each.name for each in fields(self)})
        if unknown:
            msg = f"The simulated AWS has no option {', '.join(unknown)}."
            raise ValueError(msg)
        return replace(self, **changes)
