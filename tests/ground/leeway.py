"""How many times a promised span something may take before it counts as wrong."""

import os

# `make faults` and `make soak` measure what is promised, on a machine that does nothing else. A test only has to
# tell "it came" from "it did not come": it must not fail because the machine has other work.
LEEWAY = 30.0 if "PYTEST_VERSION" in os.environ else 3.0
