"""Alice's policy copies to another region, and to her second account."""

from tests.policies.fixtures import *  # noqa: F403
from tests.policies.services.copies.ground import away, copying  # noqa: F401
