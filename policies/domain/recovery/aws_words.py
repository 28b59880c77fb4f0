"""AWS's own words for states, which a recovery waits for or gives up at. Pure."""

TURNING = frozenset({"pending", "stopping"})  # an instance between two states
UP = frozenset({"pending", "running"})
DOWN = frozenset({"stopping", "stopped"})
MONITORED = frozenset({"enabled", "pending"})
DONE_TASK = "succeeded"
BROKEN_TASKS = frozenset({"failed", "failed-detached"})
BROKEN_IMAGES = frozenset({"failed", "error", "invalid"})
