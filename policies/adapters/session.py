"""Access to an account's AWS: one `Ec2Cloud` for each set of credentials."""

from functools import lru_cache

from policies.ports import Credentials


def _removing(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Removing:
    from policies.adapters.clients import Clients  # noqa: PLC0415 - as above
    from policies.adapters.ec2_removing import Ec2Removing  # noqa: PLC0415

    return Ec2Removing(Clients(credentials))


def making(credentials: Credentials) -> Making:
    """Return what makes volumes and instances in the account's AWS; it makes no call yet."""
    with _lock:
        return _making(credentials, _environment())


@lru_cache(maxsize=_CLOUDS)
def _making(credentials: Credentials, _environment: tuple[tuple[str, str], ...]) -> Making:
    from policies.adapters.clients import Clients  # noqa: PLC0415 - as above
    from policies.adapters.making import Ec2Making  # noqa: PLC0415

    return Ec2Making(Clients(credentials))
