"""Whom AWS sees: an account's keys, the server's own identity, or a role that it assumes.

Temporary credentials are renewed by botocore, which is a network call under a lock, in whichever
call happens to come when it is time. So calls of a window are signed with a copy that `renew` takes
before, and that nothing renews in between.
"""

import math
import threading

import boto3
from botocore.credentials import (
    CredentialProvider,
    CredentialResolver,
    ReadOnlyCredentials,
    RefreshableCredentials,
)
from botocore.credentials import Credentials as Signing
from botocore.exceptions import NoCredentialsError

from policies.adapters import loading, roles
from policies.domain.errors import CredentialsError, ThrottledError
from policies.ports import Credentials


class Identity:
    """One account's identity; from any thread."""

    def __init__(self, given: Credentials) -> None:
        """Keep what was given; nothing is asked yet."""
        self._given = given
        self._lock = threading.Lock()
        self._source: Signing | None = None
        self._held: ReadOnlyCredentials | None = None

    def session(self, *, fires: bool) -> boto3.Session:
        """Return a session for clients that sign with `held` (fires) or with what botocore renews.

        Asks AWS where it has not yet been asked who this is: not under a lock that others need.
        """
        source = _Held(self) if fires else self._found()
        if fires:
            self.held()
        beneath = loading.session()
        beneath.register_component("credential_provider", CredentialResolver([_Known(source)]))
        with loading.MAKING:
            return boto3.Session(botocore_session=beneath)

    def renew(self, seconds: float) -> None:
        """Hold credentials that live so long; ThrottledError where newer ones are still to come."""
        source = self._found()
        self._held = source.get_frozen_credentials()
        if isinstance(source, RefreshableCredentials) and source.refresh_needed(math.ceil(seconds)):
            raise ThrottledError(
                f"The temporary AWS credentials end before a window of up to {seconds:.0f} s could, and "
                "their source has no newer ones yet: try again in a few minutes."
            )

    def held(self) -> ReadOnlyCredentials:
        """Return what `renew` took last; where it was never asked, what there is now."""
        held = self._held
        if held is None:
            held = self._held = self._found().get_frozen_credentials()
        return held

    def _found(self) -> Signing:
        """Return the credentials as botocore keeps them; found once."""
        with self._lock:
            if self._source is None:
                self._source = self._find()
            return self._source

    def _find(self) -> Signing:
        given = self._given
        if given.role_arn:
            return roles.assume(given)
        if bool(given.access_key_id) != bool(given.secret_access_key):
            raise CredentialsError("Of the account's keys one is empty; enter both.")
        if given.access_key_id:
            return Signing(given.access_key_id, given.secret_access_key, method="account")
        found: Signing | None = loading.session().get_credentials()
        if found is None:
            raise NoCredentialsError
        return found


class _Held(Signing):
    """What the clients of a window sign with."""

    def __init__(self, identity: Identity) -> None:
        super().__init__("", "", method="held")  # never read: a signature asks for frozen ones
        self._identity = identity

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._identity.held()


class _Known(CredentialProvider):
    """A chain of one: credentials that are there already."""

    METHOD = CANONICAL_NAME = "n2wbackup"

    def __init__(self, found: Signing) -> None:
        super().__init__()
        self._found = found

    def load(self) -> Signing:
        return self._found
