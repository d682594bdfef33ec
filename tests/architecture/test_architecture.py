"""The house's rules: who may import whom, how light an import is, how long a file may be."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "l2s_auto"
#: From the bottom up; a room imports from lines above its own in this list only, never from a sibling on its line.
LINES = (
    ("core",),
    ("io",),
    (
        "planning",
        "preprocessing",
        "synthesis",
        "augmenters",
        "networks",
        "losses",
        "hypergradients",
        "optimisers",
        "evaluation",
    ),
    ("report",),
    ("inference",),
    ("training",),
    ("experiments",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
#: Rooms of which the package itself hands something out, once somebody asks for it.
HANDED_OUT = {"inference"}
LINE_OF = {room: number for number, line in enumerate(LINES) for room in line}
FILES = sorted(PACKAGE.rglob("*.py"))
#: What `--help` must not load: it would take longer than a user wants to wait.
HEAVY = {"torch", "SimpleITK", "nibabel", "matplotlib", "scipy", "numpy", "pydantic"}


def room_of(path: Path) -> str:
    """`l2s_auto/io/volumes.py` -> `io`; `l2s_auto/cli.py` -> `cli`; the package's own `__init__` -> ``."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def imported_rooms(tree: ast.AST) -> set[str]:
    """Rooms of the project that a file imports from, wherever in the file it does."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "l2s_auto" and len(part) > 1 and part[1] in LINE_OF}


def offences(room: str, imported: set[str]) -> list[str]:
    return sorted(other for other in imported if other != room and LINE_OF[other] >= LINE_OF[room])


def test_every_room_has_a_line() -> None:
    assert {room_of(path) for path in FILES} - {""} <= set(LINE_OF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    imported = imported_rooms(ast.parse(path.read_text(encoding="utf-8")))
    room = room_of(path)
    assert not (imported - HANDED_OUT if room == "" else offences(room, imported))


def test_the_rule_finds_offenders() -> None:
    tree = ast.parse("import l2s_auto.cli\ndef f():\n    from l2s_auto.training.run import plan_and_train")
    assert offences("io", imported_rooms(tree)) == ["cli", "training"]
    assert offences("losses", imported_rooms(ast.parse("from l2s_auto import networks"))) == ["networks"]
    assert offences("training", imported_rooms(ast.parse("from l2s_auto.core.plan import Plan"))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_for(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    assert len(docstring.split()) >= 3, "a docstring that gives the purpose"


def test_every_folder_is_a_package() -> None:
    folders = {path.parent for path in FILES}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


#: Calls that replace or delete.
DESTRUCTIVE = {"unlink", "rmdir", "rmtree", "rename", "renames", "removedirs", "copytree", "copyfile", "copy2"}
#: Where they are needed: new files that a name of ours is given later, or that are made where there was nothing.
ALLOWED = {"experiments/methods/subset.py": {"copytree", "copyfile"}, "experiments/methods/plans.py": {"copyfile"}}


def destructive(tree: ast.AST) -> set[str]:
    """Names of calls by which a file of the user's could be lost."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    found = {call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in DESTRUCTIVE}
    of_os = {call.attr for call in calls if isinstance(call, ast.Attribute) and ast.unparse(call.value) == "os"}
    return found | (of_os & {"replace", "remove"})


def test_only_the_guard_replaces_and_deletes() -> None:
    found = {}
    for path in FILES:
        name = path.relative_to(PACKAGE).as_posix()
        if room_of(path) != "io":
            found[name] = destructive(ast.parse(path.read_text(encoding="utf-8"))) - ALLOWED.get(name, set())
    assert {name: calls for name, calls in found.items() if calls} == {}
    assert destructive(ast.parse("os.replace(a, b)\npath.unlink()\nshutil.rmtree(p)")) == {
        "replace",
        "unlink",
        "rmtree",
    }


def test_make_deletes_nothing_of_the_users() -> None:
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    removed = {name for line in lines if "rm -" in line for name in line.split()[2:]}
    assert removed == {".venv", "build", "dist", "l2s_auto.egg-info", ".pytest_cache", ".mypy_cache", ".ruff_cache"}


def test_files_are_short() -> None:
    files = [*FILES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def python(code: str) -> str:
    """What a fresh interpreter with an empty environment prints."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=kept, capture_output=True, encoding="utf-8", check=True
    )
    return done.stdout


def test_import_and_help_are_light() -> None:
    loaded = python("import sys, l2s_auto; print(' '.join(sys.modules))").split()
    assert not HEAVY & set(loaded)
    code = """
import contextlib, io, sys
from l2s_auto import cli
commands = [cli.plan_and_train, cli.predict, cli.evaluate, cli.demo, cli.export_model, cli.import_model, cli.experiment]
for command in commands:
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        command(["--help"])
    assert "examples:" in text.getvalue()
print(' '.join(sys.modules))
"""
    assert not HEAVY & set(python(code).split())


def test_commands_are_listed_by_the_module() -> None:
    done = subprocess.run([sys.executable, "-m", "l2s_auto"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0 and "l2s_plan_and_train" in done.stdout


def test_dependencies_are_pinned() -> None:
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").lower()
    declared = re.findall(r'^ +"([A-Za-z0-9-]+)[>]=', setup, re.MULTILINE)
    declared += re.findall(r'"([a-z]+)>=[0-9.]+"', setup.partition("extras_require")[2])
    assert len(declared) > 10
    assert [name for name in declared if f"\n{name.lower()}==" not in pins] == []


def test_nothing_is_compiled() -> None:
    """As docs/method.md says: compiled graphs have no second derivative."""
    compiled = re.compile(r"torch\.compile\b|torch\._dynamo|import compile\b")
    assert [str(path) for path in FILES if compiled.search(path.read_text(encoding="utf-8"))] == []
    assert compiled.search("network = torch.compile(network)")


def test_continuous_integration_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert "make test" in script.read_text(encoding="utf-8")
    assert os.name == "nt" or os.access(script, os.X_OK)
