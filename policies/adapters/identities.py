"""The identity that AWS sees: an account's keys, the server's own identity, or a role that it assumes.

botocore renews temporary credentials inside any call that comes when it is time: a network call under a
lock. So the calls of a window are signed with a copy that `renew` takes before the window, and that
nothing renews during it.
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
    """One account's identity; thread-safe."""

    def __init__(self, given: Credentials) -> None:
        """Keep the credentials; AWS is not called yet."""
        self._given = given
        self._lock = threading.Lock()
        self._source: Signing | None = None
        self._held: ReadOnlyCredentials | None = None

    def session(self, *, fires: bool) -> boto3.Session:
        """Return a session for clients that sign with `held` (fires), or else with renewed credentials.

        May call AWS to get the credentials the first time: do not call under a lock that others need.
        """
        source = _Held(self) if fires else self._found()
        if fires:
            self.held()
        # What signs is known already: the server's own profile is not asked for it.
        beneath = loading.session(needs_profile=not self._given.access_key_id)
        beneath.register_component("credential_provider", CredentialResolver([_Known(source)]))
        with loading.MAKING:
            return boto3.Session(botocore_session=beneath)

    def renew(self, seconds: float) -> None:
        """Take credentials that are valid so long; ThrottledError if newer ones are not available yet."""
        source = self._found()
        self._held = source.get_frozen_credentials()
        if isinstance(source, RefreshableCredentials) and source.refresh_needed(math.ceil(seconds)):
            raise ThrottledError(
                f"The temporary AWS credentials could expire before the end of a window of up to {seconds:.0f} s, "
                "and their source has no newer ones yet: try again in a few minutes."
            )

    def held(self) -> ReadOnlyCredentials:
        """Return the credentials that `renew` took last; if it was never called, the present ones."""
        held = self._held
        if held is None:
            held = self._held = self._found().get_frozen_credentials()
        return held

    def _found(self) -> Signing:
        """Return botocore's credentials object; it is found once."""
        with self._lock:
            if self._source is None:
                self._source = self._find()
            return self._source

    def _find(self) -> Signing:
        given = self._given
        if given.role_arn:
            return roles.assume(given)
        if bool(given.access_key_id) != bool(given.secret_access_key):
            raise CredentialsError("One of the account's keys is empty; enter both.")
        if given.access_key_id:
            return Signing(given.access_key_id, given.secret_access_key, method="account")
        found: Signing | None = loading.session().get_credentials()
        if found is None:
            raise NoCredentialsError
        return found


class _Held(Signing):
    """The credentials with which the clients of a window sign."""

    def __init__(self, identity: Identity) -> None:
        super().__init__("", "", method="held")  # never read: a signature asks for frozen ones
        self._identity = identity

    def get_frozen_credentials(self) -> ReadOnlyCredentials:
        return self._identity.held()


class _Known(CredentialProvider):
    """A credential chain with one entry: the credentials that were found."""

    METHOD = CANONICAL_NAME = "n2wbackup"

    def __init__(self, found: Signing) -> None:
        super().__init__()
        self._found = found

    def load(self) -> Signing:
        return self._found
