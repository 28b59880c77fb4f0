"""moto's own server application, for every action that this package does not simulate itself."""

import re
from http import HTTPStatus

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Response

from n2wbackup.demo.aws.answers import Answer, ApiError
from n2wbackup.demo.aws.apicall import ApiCall
from n2wbackup.demo.aws.inventory import Inventory

# moto would answer these from state that it does not have: snapshots, commands and keys are in this package.
NOT_PLAYED = frozenset(
    {
        "CreateImage",
        "DescribeSnapshotAttribute",
        "DescribeSnapshotTierStatus",
        "GetSessionToken",
        "ListCommands",
        "ModifySnapshotTier",
        "RestoreSnapshotTier",
    }
)
_ERROR_CODE = re.compile(rb'<Code>([^<]*)</Code>|"__type"\s*:\s*"([^"]*)"')


class MotoApp:
    """moto behind one lock, because it takes none itself."""

    def __init__(self, inventory: Inventory) -> None:
        """Share the inventory's lock, because the inventory also changes moto's state."""
        self._inventory = inventory
        self._app = DomainDispatcherApplication(create_backend_app)

    def answer(self, call: ApiCall) -> Answer:
        """Return moto's answer; ApiError for an action in NOT_PLAYED. A dry run of a Describe call never comes here."""
        if call.action in NOT_PLAYED:
            message = f"The simulated AWS does not support {call.action}."
            raise ApiError("InvalidAction", message)
        http = call.http
        environ = EnvironBuilder(
            path=http.path,
            query_string=http.query,
            method=http.method,
            headers=list(http.headers.items()),
            data=http.body,
        ).get_environ()
        with self._inventory.lock:
            response = Response.from_app(self._app, environ)
        body = response.get_data()
        outcome = "ok"
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            found = _ERROR_CODE.search(body)
            code = (found.group(1) or found.group(2)) if found else b""
            outcome = code.decode() or f"HTTP {response.status_code}"
        content_type = response.headers.get("Content-Type", "text/xml")
        return Answer(response.status_code, content_type, body, outcome)
