"""The programs of Celery: `python -m n2wbackup beat`, and `python -m n2wbackup worker QUEUE THREADS`.

Celery's own command line would load all its commands and a shell into each program. This is the
`__main__` of a package, because multiprocessing does not run such a file again in the guards.
"""

import logging
import os
import platform
import sys


def main(program: str, *words: str) -> int:
    """Run the program until it is told to stop; return its exit code."""
    from n2wbackup.lib import garbage, programs  # noqa: PLC0415 - before all that is large

    garbage.leave_modules()
    programs.without_pages()
    # `serve` has made the checks. Here those of the pages would load what this process does without, and fail.
    os.environ["CELERY_SKIP_CHECKS"] = "1"
    return beat() if program == "beat" else worker(*words)


def beat() -> int:
    """Send what the schedule says."""
    from n2wbackup.celery import app  # noqa: PLC0415
    from n2wbackup.processes import beat as at  # noqa: PLC0415

    at.run(app)
    return 0


def worker(queue: str, threads: str) -> int:
    """Do the tasks of one queue, in threads; those of `freeze` in as many processes as are set.

    The worker of `work` also does what needs this server's spool.
    """
    from django.conf import settings  # noqa: PLC0415

    from n2wbackup.celery import app  # noqa: PLC0415
    from n2wbackup.processes import several  # noqa: PLC0415

    processes = settings.N2W_FREEZE_PROCESSES if queue == "freeze" else 1
    each = several.share(int(threads), processes)
    if processes == 1:
        return work(queue, each)
    app.loader.import_default_modules()  # before the forks, so that they share it
    return several.keep(processes, queue, lambda: work(queue, each))


def work(queue: str, threads: int) -> int:
    """Be a worker of the queue until told to stop; return the exit code."""
    from django.conf import settings  # noqa: PLC0415

    from n2wbackup.celery import app  # noqa: PLC0415
    from n2wbackup.processes.pool import Pool  # noqa: PLC0415

    app.conf.worker_disable_prefetch = True
    made = app.Worker(
        hostname=f"{queue}@{platform.node()}",
        queues=[queue, settings.N2W_OWN_QUEUE] if queue == "work" else [queue],
        pool_cls=Pool,
        concurrency=threads,
        loglevel=logging.INFO,
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    made.start()
    return made.exitcode or 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
