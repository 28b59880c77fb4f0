"""Tags: at creation, and by CreateTags, DeleteTags and DescribeTags."""

from collections.abc import Mapping, Sequence

from moto.core.exceptions import ServiceException

from n2wbackup.demo.aws import filters
from n2wbackup.demo.aws.answers import ApiError
from n2wbackup.demo.aws.apicall import ApiCall, members
from n2wbackup.demo.aws.simulator import Simulator

TAGS, KEY_CHARACTERS, VALUE_CHARACTERS = 50, 128, 256
_RESOURCE_TYPES = {"i": "instance", "vol": "volume", "snap": "snapshot"}


def rendered(tags: Mapping[str, str]) -> list[dict[str, str]] | None:
    """Return a tagSet; None if there are no tags."""
    return [{"key": key, "value": value} for key, value in tags.items()] or None


def checked(groups: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the tags of `Tag.N` groups; AWS's error for an invalid tag."""
    tags: dict[str, str] = {}
    for group in groups:
        key, value = group.get("Key", ""), group.get("Value", "")
        if not key or len(key) > KEY_CHARACTERS:
            message = f"Tag key exceeds the maximum length of {KEY_CHARACTERS} characters"
            raise ApiError("InvalidParameterValue", message if key else "Tag key cannot be empty")
        if len(value) > VALUE_CHARACTERS:
            message = f"Tag value exceeds the maximum length of {VALUE_CHARACTERS} characters"
            raise ApiError("InvalidParameterValue", message)
        if key.lower().startswith("aws:"):
            message = "Tag keys starting with 'aws:' are reserved for internal use"
            raise ApiError("InvalidParameterValue", message)
        if key in tags:
            raise ApiError("InvalidParameterValue", f"Duplicate tag key '{key}' specified.")
        tags[key] = value
    _refuse_too_many(tags)
    return tags


def _refuse_too_many(tags: Mapping[str, str]) -> None:
    if len(tags) > TAGS:
        message = "The maximum number of Tags for a resource has been reached."
        raise ApiError("TagLimitExceeded", message)


def at_creation(call: ApiCall, resource_type: str) -> dict[str, str]:
    """Return the tags in the call's TagSpecifications for the type of resource that it creates."""
    specifications = call.groups("TagSpecification")
    for each in specifications:
        given = each.get("ResourceType", "")
        if given != resource_type:
            message = f"'{given}' is not a valid taggable resource type for this operation."
            raise ApiError("InvalidParameterValue", message)
    return checked([tag for each in specifications for tag in members(each, "Tag")])


def _tags_of(simulator: Simulator, call: ApiCall, resource_id: str) -> dict[str, str]:
    """Return the dictionary of a resource's tags; AWS's error if there is no such resource."""
    if resource_id.startswith("snap-"):
        snapshot = simulator.snapshots.get(call.region, resource_id, call.caller)
        if snapshot is None or not snapshot.is_listed():
            message = f"The snapshot '{resource_id}' does not exist."
            raise ApiError("InvalidSnapshot.NotFound", message)
        return snapshot.tags
    if resource_id.startswith("ami-"):
        image = simulator.makings.images.get(resource_id)
        if image is None or image.region != call.region:
            message = f"The image id '[{resource_id}]' does not exist"
            raise ApiError("InvalidAMIID.NotFound", message)
        return image.tags
    backend = simulator.inventory.backend(call.region)
    if resource_id.startswith("i-"):
        simulator.inventory.instance(call.region, resource_id)
    elif resource_id.startswith("vol-"):
        simulator.inventory.volume(call.region, resource_id)
    else:
        try:
            backend.do_resources_exist([resource_id])
        except (ServiceException, KeyError) as error:
            message = f"The ID '{resource_id}' is not valid"
            raise ApiError("InvalidID", message) from error
    return backend.tags[resource_id]


def _note(simulator: Simulator, call: ApiCall) -> None:
    for each in call.values("ResourceId"):
        if not each.startswith(("snap-", "ami-")):
            simulator.inventory.note_tags(call.region, each)


def create_tags(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Set the tags on all resources, or on none."""
    new = checked(call.groups("Tag"))
    with simulator.inventory.lock:
        holders = [_tags_of(simulator, call, each) for each in call.values("ResourceId")]
        for held in holders:
            _refuse_too_many(held | new)
        simulator.refuse_dry_run(call)
        _note(simulator, call)
        for held in holders:
            held.update(new)
    return {"return": True}


def delete_tags(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Remove tags by key, and only with the given value, if there is one; without any key, remove all tags."""
    groups = call.groups("Tag")
    with simulator.inventory.lock:
        holders = [_tags_of(simulator, call, each) for each in call.values("ResourceId")]
        simulator.refuse_dry_run(call)
        _note(simulator, call)
        for held in holders:
            for key in list(held) if not groups else [group.get("Key", "") for group in groups]:
                value = next((g.get("Value") for g in groups if g.get("Key") == key), None)
                if key in held and value in {None, held[key]}:
                    del held[key]
    return {"return": True}


def describe_tags(simulator: Simulator, call: ApiCall) -> dict[str, object]:
    """Return every tag of the region that matches the filters."""
    wanted = filters.parse(call)
    simulator.refuse_dry_run(call)
    held = dict(simulator.inventory.backend(call.region).tags)
    held |= {each.snapshot_id: each.tags for each in simulator.snapshots.all(call.region)}
    rows = [
        {
            "resourceId": resource_id,
            "resourceType": _RESOURCE_TYPES.get(resource_id.partition("-")[0], "other"),
            "key": key,
            "value": value,
        }
        for resource_id, tags in held.items()
        for key, value in tags.items()
    ]
    names = {"resource-id": "resourceId", "resource-type": "resourceType"}

    def values(row: Mapping[str, str], name: str) -> Sequence[str] | None:
        field = names.get(name, name)
        return (row[field],) if field in row else None

    numbered = list(enumerate(filters.select(rows, wanted, values)))
    shown, token = filters.page(call, numbered, lambda pair: pair[0])
    return {"tagSet": [row for _, row in shown], "nextToken": token}
