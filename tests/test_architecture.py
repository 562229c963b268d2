"""Who may import whom. The rules of docs/decisions/0001-rooms.md, read off the code itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("preprocessing", "modelzoo", "identification", "spotid_site", "launcher")
# From the top of the house down; a room may know those below it, and itself.
STOREYS = [
    {"urls"},
    {"views", "api", "admin", "management", "tasks", "templatetags"},
    {"exports"},
    {"services"},
    {"selectors", "inference"},
    {"permissions"},
    {"imports"},
    {"matching", "models"},
    {
        "errors",
        "apps",
        "checks",
        "migrations",
        "naming",
        "prepared",
        "presenting",
        "sentences",
        "sentences_imports",
        "spreadsheets",
    },
]


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports_of(path: Path, *, top_only: bool = False) -> set[str]:
    """Full names of modules that a file imports; relative ones resolved."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found: set[str] = set()
    nodes = tree.body if top_only else list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join((*base, node.module or "")).strip(".")
            found |= {name} | {f"{name}.{alias.name}" for alias in node.names}
    return found


def room_of(module: str) -> str:
    return module.split(".", 1)[0]


def test_there_are_sources_in_every_room() -> None:
    assert all(sources(room) for room in ROOMS)


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("preprocessing", {"django", "identification", "modelzoo", "spotid_site", "rest_framework"}),
        ("modelzoo", {"django", "identification", "preprocessing", "spotid_site", "rest_framework"}),
    ],
)
def test_room_does_not_know(room: str, forbidden: set[str]) -> None:
    known = {path: {room_of(name) for name in imports_of(path)} & forbidden for path in sources(room)}
    assert {path: names for path, names in known.items() if names} == {}


def test_launcher_uses_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"launcher"}
    files = [*sources("launcher"), ROOT / "spotid.py"]
    foreign = {path: {room_of(name) for name in imports_of(path)} - allowed for path in files}
    assert {path: names for path, names in foreign.items() if names} == {}


def test_only_inference_knows_preprocessing_and_modelzoo() -> None:
    inference = ROOT / "identification" / "inference"
    others = [path for path in sources("identification") + sources("spotid_site") if inference not in path.parents]
    knowing = {path for path in others if {room_of(n) for n in imports_of(path)} & {"preprocessing", "modelzoo"}}
    assert knowing == set()


def test_imports_point_down() -> None:
    storey = {name: level for level, names in enumerate(STOREYS) for name in names}
    upward = []
    for path in sources("identification"):
        parts = path.relative_to(ROOT / "identification").with_suffix("").parts
        own = parts[0]
        if own == "__init__":
            continue
        for name in imports_of(path):
            pieces = name.split(".")
            ours = pieces[0] == "identification" and len(pieces) > 1 and pieces[1] in storey and pieces[1] != own
            if ours and storey[pieces[1]] < storey[own]:
                upward.append(f"{path.relative_to(ROOT)} imports {name}")
    assert upward == []


def test_every_room_of_the_app_has_a_storey() -> None:
    known = {name for names in STOREYS for name in names}
    rooms = {p.stem for p in (ROOT / "identification").iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    assert rooms - known - {"__init__"} == set()


def test_the_web_process_loads_no_engine() -> None:
    """A fresh interpreter that has loaded every page, the admin and the commands knows neither torch nor an engine."""
    code = (
        "import sys, django; django.setup();"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "import spotid_site.wsgi;"
        "bad = [m for m in sys.modules if m.split('.')[0] in"
        " ('torch', 'timm', 'cv2', 'ultralytics', 'rembg', 'onnxruntime', 'preprocessing', 'modelzoo')"
        " or m.startswith('identification.inference')];"
        "print(bad); sys.exit(bool(bad))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]


def test_no_file_is_longer_than_a_person_reads() -> None:
    long = {}
    for path in [*(p for room in ROOMS for p in sources(room)), *sources("tests"), *sources("benchmarks")]:
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > 450 and "migrations" not in path.parts:
            long[str(path.relative_to(ROOT))] = lines
    assert long == {}
