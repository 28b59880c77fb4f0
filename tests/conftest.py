"""What every test stands on: Django where it is needed, the order of the tests, their options."""

import contextlib
import gc
import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from n2wbackup.lib import garbage
from tests.suite import again, databases, imports, order, rows, surroundings

SETTINGS = "n2wbackup.settings.test"

if os.environ.get("DJANGO_SETTINGS_MODULE", SETTINGS) != SETTINGS:
    # Django has read them by now, for pytest-django.
    raise pytest.UsageError("unset DJANGO_SETTINGS_MODULE: the tests have settings of their own")
if (
    "PYTEST_XDIST_WORKER" not in os.environ
):  # a worker has what surrounds the process that started it
    surroundings.settle()
garbage.leave_modules()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("n2wbackup")
    group.addoption("--order-seed", type=int, help="run the tests in the order of this number")
    group.addoption("--only-rows", action="store_true", help="only tests that use the database")
    group.addoption("--thorough", action="store_true", help="as many examples as CI tries")
    group.addoption("--once-more", action="store_true", help="refuse what may not be run again")
    # Now: the conftest.py of folders, which import models, are imported right after this one.
    config = pluginmanager.get_plugin("pytestconfig")
    assert isinstance(config, pytest.Config)
    set_up_django(config.known_args_namespace.file_or_dir or ["tests"])


def set_up_django(arguments: Iterable[str]) -> None:
    """Set Django up unless all that is asked for does without; that saves a second a start."""
    paths = [Path(argument.partition("::")[0]).resolve() for argument in arguments]
    if imports.need_django(path for path in paths if path.exists()):
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        import django  # noqa: PLC0415  # what needs no Django does not wait for it

        django.setup()


def pytest_configure(config: pytest.Config) -> None:
    given = getattr(config, "workerinput", {}).get("order_seed", config.option.order_seed)
    config.option.order_seed = order.any_seed() if given is None else given


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Give each worker the same order; xdist refuses another."""
    node.workerinput["order_seed"] = node.config.option.order_seed  # type: ignore[attr-defined]


def pytest_report_header(config: pytest.Config) -> str:
    return f"order of the tests: --order-seed {config.option.order_seed}"


@pytest.hookimpl(tryfirst=True)  # pytest-django and pytest sort what is mixed by what it needs
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    order.mix(items, config.option.order_seed)
    if config.option.only_rows:
        others = [item for item in items if not rows.uses_rows(item)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if rows.uses_rows(item)]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Search for no garbage meanwhile: almost all that is made stays, and to look at it takes a sixth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin in the folder of the project; spare what has been loaded each search for garbage, as it stays.

    What failed is run again only if it may be.
    """
    os.chdir(session.config.rootpath)
    gc.freeze()
    if session.config.option.once_more:
        again.check(session)


@pytest.fixture(scope="session")
def django_db_setup(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    django_test_environment: None,
    django_db_blocker: Any,
    django_db_modify_db_settings: None,
) -> Iterator[None]:
    """Give this process a database, instead of pytest-django, which would migrate one in each."""
    own = tmp_path_factory.getbasetemp()
    folder = own.parent if hasattr(request.config, "workerinput") else own
    with contextlib.ExitStack() as stack:
        with django_db_blocker.unblock():
            stack.enter_context(databases.empty(folder))
        yield
        with django_db_blocker.unblock():
            stack.close()
