"""Import graph of the two packages, read from the source: lazy and TYPE_CHECKING imports count."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("routing", "pytest_kimiprobe")
Graph = Mapping[str, set[str]]


def sources(package: str) -> dict[str, Path]:
    """Dotted module name -> file. A package's name stands for its `__init__.py`."""
    found: dict[str, Path] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[dotted.removesuffix(".__init__")] = path
    return found


def module_graph() -> dict[str, set[str]]:
    """Module -> modules that it imports. `from package import module` is an import of the module."""
    files = {name: path for package in PACKAGES for name, path in sources(package).items()}
    return {name: set(_imported(name, path, files)) - {name} for name, path in files.items()}


def _imported(name: str, path: Path, files: Mapping[str, Path]) -> Iterator[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            targets = {f"{module}.{alias.name}" for alias in node.names}
            yield from (target if target in files else module for target in targets if {target, module} & set(files))


def levels(graph: Graph) -> dict[str, dict[str, set[str]]]:
    """Folder -> import graph of its direct children; a child is a module, a sub-folder or the `__init__`."""
    folders: dict[str, dict[str, set[str]]] = {}
    for module, imported in graph.items():
        for target in imported:
            common = _common(module, target)
            if not common:
                continue
            here, there = _child(common, module), _child(common, target)
            if here != there:
                folders.setdefault(common, {}).setdefault(here, set()).add(there)
    return folders


def _common(one: str, other: str) -> str:
    parts: list[str] = []
    for a, b in zip(one.split("."), other.split("."), strict=False):
        if a != b:
            break
        parts.append(a)
    return ".".join(parts)


def _child(folder: str, module: str) -> str:
    return "__init__" if module == folder else module.removeprefix(f"{folder}.").partition(".")[0]


def cycles(graph: Graph) -> list[list[str]]:
    """Groups of nodes that import each other, directly or through others. Each group is sorted."""
    reach = {node: _reachable(node, graph) for node in graph}
    groups = {
        tuple(sorted({node} | {other for other in reach[node] if node in reach.get(other, set())}))
        for node in graph
        if node in reach[node]
    }
    return [list(group) for group in sorted(groups)]


def _reachable(start: str, graph: Graph) -> set[str]:
    seen: set[str] = set()
    todo: Iterable[str] = graph.get(start, set())
    while todo := [node for node in todo if node not in seen]:
        seen.update(todo)
        todo = [after for node in todo for after in graph.get(node, set())]
    return seen
