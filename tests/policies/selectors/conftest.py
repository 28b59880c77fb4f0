from tests.policies.fixtures import *  # noqa: F403
