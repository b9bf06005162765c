"""The rules that keep the layout honest: which module may import which, and where things belong."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.install.contract import read_contract

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGE = REPOSITORY / "orchestration"
SQL = REPOSITORY / "dbt_like_sql"
TESTS = REPOSITORY / "tests"

MODULES = sorted(PACKAGE.rglob("*.py"))
DAGSTER_ALLOWED = {
    "definitions",
    "assets",
    "sensors",
    "schedules",
    "checks",
    "jobs",
    "partitions",
    "resources",
    "run_config",
    "webserver",
}
DOMAINS = set(read_contract())
# The house from the ground up. A module imports from the floors below and from its own floor; `*`: the domains.
FLOORS = (
    {"errors", "text"},
    {"settings", "terminal"},
    {"database"},
    {"engine"},
    {"install"},
    {"demo"},
    {"local"},
    {"dagster_kit"},
    {"*"},
    {"definitions", "cli"},
)
# Commands are the roof: in whatever package, they may use everything below, and only cli uses them.
ROOF = "commands"
KINDS_OF_TESTS = {"concurrency", "faults", "browser", "toy"}


def relative(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def imported(path: Path) -> Iterator[str]:
    """Full names of all modules that a file imports, anywhere in it, including those only for type checking."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)} imports relatively: say the full name"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def folders(root: Path) -> set[str]:
    """Folders with files in them: git keeps no others."""
    return {
        path.name
        for path in root.iterdir()
        if path.is_dir()
        and not path.name.startswith(("_", "."))
        and any(p.suffix in (".py", ".sql") for p in path.rglob("*"))
    }


def top(module: str) -> str:
    return module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_dagster_is_imported_only_in_modules_of_the_agreed_names(path: Path) -> None:
    uses = {
        module
        for module in imported(path)
        if top(module) in ("dagster", "dagster_postgres", "dagster_webserver")
    }
    assert not uses or path.stem in DAGSTER_ALLOWED
    assert not uses or path.parent.name != "engine", "the engine is what workers load"


def floor(module: str) -> int:
    """The floor of one of our modules, by its full name; 0 is the ground."""
    room = module.split(".")[1] if module.count(".") else "errors"
    name = "*" if room in DOMAINS else room
    return next(n for n, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_no_arrow_runs_back_up(path: Path) -> None:
    own = ".".join(("orchestration", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    ours = {module for module in imported(path) if top(module) == "orchestration" and module.count(".")}
    if own == "orchestration.cli":
        return
    used = {module for module in ours if module.split(".")[2:3] == [ROOF]}
    assert not used, "commands are for people"
    if not own.split(".")[-1].endswith(ROOF):
        assert {module for module in ours if floor(module) > floor(own)} == set()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_domains_meet_in_tables_and_never_import_each_other(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0]
    others = {
        module.split(".")[1]
        for module in imported(path)
        if top(module) == "orchestration" and module.count(".") and module.split(".")[1] in DOMAINS
    } - {own}
    assert not others


@pytest.mark.parametrize("room", ["database", "engine", "install", "dagster_kit"])
def test_what_serves_all_domains_names_none(room: str) -> None:
    named = {
        f"{relative(path)}: {domain}"
        for path in (PACKAGE / room).glob("*.py")
        for domain in DOMAINS
        if domain in path.read_text(encoding="utf-8")
    }
    assert not named


def test_no_file_is_longer_than_a_reader_has_patience_for() -> None:
    lines = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > 400} == {}


def test_a_domain_is_a_small_room() -> None:
    for domain in DOMAINS:
        files = [path for path in (PACKAGE / domain).glob("*.py") if path.name != "__init__.py"]
        lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
        assert len(files) <= 18, domain
        assert lines <= 3600, domain


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_connections_are_made_in_one_place(path: Path) -> None:
    calls = [node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls}
    made = {
        name for name in names if re.search(r"(psycopg2?|Connection|Session)\.connect$|create_engine$", name)
    }
    allowed = {
        "database/sessions.py": {"psycopg.connect", "Session.connect", "AsyncSession.connect"},
        "database/connections.py": {"sa.create_engine"},
    }
    assert made <= allowed.get(relative(path).removeprefix("orchestration/"), set())


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_modules_that_dagster_is_kept_out_of_import_none_that_has_it(path: Path) -> None:
    if path.stem in DAGSTER_ALLOWED:
        return
    with_dagster = {
        module
        for module in imported(path)
        if module.startswith("orchestration.") and module.split(".")[-1] in DAGSTER_ALLOWED
    }
    assert with_dagster <= {"orchestration.engine.jobs"}


def test_the_folder_trees_of_code_sql_and_tests_agree() -> None:
    sql = folders(SQL) - {"migrations"}
    code = folders(PACKAGE)
    assert DOMAINS | {"engine"} <= sql <= code
    assert code - DOMAINS == {room for floor in FLOORS for room in floor if (PACKAGE / room).is_dir()}
    assert folders(TESTS) - KINDS_OF_TESTS == code


def test_every_folder_of_code_and_tests_is_a_package() -> None:
    for root in (PACKAGE, TESTS):
        for folder in folders(root):
            assert (root / folder / "__init__.py").exists(), f"{root.name}/{folder}"


@pytest.mark.parametrize(
    "modules",
    [
        "orchestration.cli, orchestration.engine.worker, orchestration.engine.housekeeping, orchestration.engine.stream",
        "orchestration.install.migrate, orchestration.install.doctor, orchestration.demo.campaign_stats.load",
        "orchestration.campaign_stats.reader",
    ],
)
def test_workers_and_commands_run_without_dagster_loaded(modules: str, tmp_path: Path) -> None:
    script = (
        f"import sys, {modules}; print(sorted(name for name in sys.modules if name.startswith('dagster')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_worker_loads_none_of_the_large_libraries_that_it_does_not_need(tmp_path: Path) -> None:
    script = (
        "import sys, orchestration.engine.worker;"
        " large = {'alembic', 'pandas', 'numpy', 'click', 'matplotlib', 'PIL'};"
        " print(sorted(large & {name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_what_draws_pictures_is_imported_only_by_the_module_that_draws_them(path: Path) -> None:
    uses = {module for module in imported(path) if top(module) in ("matplotlib", "PIL")}
    assert bool(uses) == (path.stem == "funnel")
    assert not {module for module in uses if "pyplot" in module}, "its figures are the process's, not ours"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_the_environment_is_not_read_at_import(path: Path) -> None:
    if path.stem == "partitions":
        return  # the one exception: Dagster needs the first partition's day while definitions load
    reads = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        for inner in ast.walk(node)
        if isinstance(inner, ast.Attribute) and inner.attr in ("environ", "getenv")
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    ]
    assert not reads


@pytest.mark.parametrize(
    "path", [path for path in MODULES if path.name != "__init__.py" or path.read_text()], ids=relative
)
def test_a_module_says_what_belongs_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
