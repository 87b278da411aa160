"""The structure of the packages, read from the source: who may import whom, and how much lies at the top."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest
from import_graph import PACKAGES, ROOT, cycles, levels, module_graph, sources

HTTP = {"httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio", "aiohttp"}
MONITOR = {"pytest", "click", "github", "requests", "vcr", "pytest_kimiprobe"}
IMPURE = {"os", "socket", "time", "random", "threading", "asyncio"}
IMPURE_TOO = {"subprocess", "secrets", "tempfile", "shutil", "click", "github", "pytest"}
SERVER = "pytest_kimiprobe.simulator.server.http"
LIGHT = {"pytest", "click", "github", "requests", "jsonschema", "httpx", "httpx2"}
FILES = {name: path for package in PACKAGES for name, path in sources(package).items()}
PURE = [name for name, path in FILES.items() if "Pure" in (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")]


def imported_packages(name: str) -> set[str]:
    """First parts of a module's absolute imports, those inside functions too; TYPE_CHECKING blocks aside."""
    tree = ast.parse(FILES[name].read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    return {alias.name.partition(".")[0] for node in imports for alias in node.names} | {
        str(node.module).partition(".")[0] for node in froms
    }


def test_no_module_imports_itself_through_others() -> None:
    """Lazy and TYPE_CHECKING imports count."""
    assert cycles(module_graph()) == []


def test_no_folder_imports_itself_through_others() -> None:
    """Holds at every level: the modules and sub-folders of one folder form no cycle."""
    found = {folder: cycles(graph) for folder, graph in levels(module_graph()).items()}
    assert {folder: groups for folder, groups in found.items() if groups} == {}


@pytest.mark.parametrize(
    ("graph", "groups"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"a"}, "c": {"a"}}, [["a", "b"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}}, [["a", "b", "c"], ["d", "e"]]),
    ],
    ids=["none", "pair", "two groups"],
)
def test_a_cycle_is_found_however_long(graph: dict[str, set[str]], groups: list[list[str]]) -> None:
    """The check itself can fail."""
    assert cycles(graph) == groups


def test_a_cycle_of_folders_is_found_although_no_module_is_in_one() -> None:
    """`p.a.one` imports `p.b.two`, and `p.b.three` imports `p.a.four`."""
    graph = {"p.a.one": {"p.b.two"}, "p.b.three": {"p.a.four"}}
    assert cycles(graph) == []
    assert cycles(levels(graph)["p"]) == [["a", "b"]]


@pytest.mark.parametrize(("package", "most"), [("routing", 18), ("pytest_kimiprobe", 10)])
def test_few_modules_lie_at_the_top(package: str, most: int) -> None:
    """The top holds what is public or shared by all; the rest has a folder."""
    assert len(list((ROOT / package).glob("*.py"))) <= most


def test_class_names_are_unique() -> None:
    """A name means one thing in both packages. A folder that is redesigned later keeps its names until then."""
    defined: dict[str, list[str]] = {}
    for module, path in FILES.items():
        if not module.startswith("routing.rescue"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    defined.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in defined.items() if len(modules) > 1} == {}


@pytest.mark.parametrize("name", sources("routing"))
def test_routing_knows_nothing_of_the_monitor(name: str) -> None:
    """Production imports it without pytest, click or GitHub; inside, imports are relative."""
    assert not imported_packages(name) & (MONITOR | {"routing"})


def test_only_the_transport_knows_the_http_library() -> None:
    """Swapping the library is the work of one folder. The simulator is a server and frames HTTP with h11 alone."""
    knowing = {name for name in FILES if imported_packages(name) & HTTP}
    assert [name for name in knowing if not name.startswith(("routing.transport", SERVER))] == []
    assert imported_packages(SERVER) & HTTP == {"h11"}


def test_the_simulator_is_written_from_the_protocol() -> None:
    """It shares no code with what it tests."""
    graph = module_graph()
    simulator = [name for name in graph if name.startswith("pytest_kimiprobe.simulator")]
    assert [name for name in simulator if any(target.startswith("routing") for target in graph[name])] == []


@pytest.mark.parametrize("name", PURE)
def test_a_module_that_says_pure_does_no_io(name: str) -> None:
    """It can be read, tested and trusted alone."""
    assert not imported_packages(name) & (IMPURE | IMPURE_TOO)


def loaded_after(code: str) -> set[str]:
    """Modules loaded in a fresh interpreter after `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(output.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import routing",
        "from routing import Router; Router.load()",
        "from routing import Router; print(Router.load().route('hi', tools=[], user='1'))",
    ],
    ids=["import", "load", "route"],
)
def test_loading_and_routing_stay_light(code: str) -> None:
    """No HTTP library before the first request, and never a test framework."""
    assert not LIGHT & loaded_after(code)
