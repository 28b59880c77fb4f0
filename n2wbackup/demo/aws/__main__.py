"""Start a simulated AWS by hand, or as a child of `SimulatedAws`."""

import argparse
from pathlib import Path

from n2wbackup.lib import garbage


def main() -> None:
    """Serve until a signal comes or the parent ends."""
    parser = argparse.ArgumentParser(prog="python -m n2wbackup.demo.aws", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--state", type=Path, required=True, help="folder for keys and copies")
    parser.add_argument(
        "--ready-fd", type=int, help="the server writes its address here once, as JSON"
    )
    parser.add_argument("--parent-fd", type=int, help="the server ends when this pipe is closed")
    given = parser.parse_args()
    garbage.leave_modules()
    from n2wbackup.demo.aws.server import run  # noqa: PLC0415 - moto makes very many objects

    run(given.port, given.state, given.ready_fd, given.parent_fd)


if __name__ == "__main__":
    main()
