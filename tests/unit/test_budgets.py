"""Budgets of size and a few plain rules, for every module of the package.

What is over a budget is listed with the size that it is allowed, and the list may only shrink: an entry that is
no longer needed, or allows more than is used, fails as well.
"""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "microtome"
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "misc", "common"}

# "kind where": the size allowed.
EXCEPTIONS: dict[str, int] = {
    "fields model/family.py:Family": 22,  # a table of one row a part; most families name three of them
    "fields circuit/graph.py:Graph": 21,  # the columns of its file
    "arguments circuit/trace.py:trace": 8,  # the front door, and its config
}

# Where a foreign type is asked whether it has something. Our own types are never asked.
MAY_ASK = {
    # Norm modules of transformers call the same number by two names.
    "model/norms.py getattr(module, 'variance_epsilon', getattr(module, 'eps', 0.0))",
    "model/norms.py getattr(module, 'eps', 0.0)",
}


@dataclass(frozen=True)
class Found:
    """A size that was counted at some place."""

    where: str
    size: int


def modules() -> dict[str, ast.Module]:
    paths = sorted(SOURCE.rglob("*.py"))
    return {path.relative_to(SOURCE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def named(tree: ast.AST, inside: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Functions and classes with their qualified names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = f"{inside}{node.name}"
            yield name, node
            yield from named(node, f"{name}.")
        else:
            yield from named(node, inside)


def each(kind: type | tuple[type, ...]) -> Iterator[tuple[str, str, ast.AST]]:
    for path, tree in modules().items():
        for name, node in named(tree):
            if isinstance(node, kind):
                yield path, name, node


FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def lines_of_files() -> Iterator[Found]:
    for path in sorted(SOURCE.rglob("*")):
        if path.suffix in {".py", ".js", ".css", ".html"}:
            yield Found(path.relative_to(SOURCE).as_posix(), len(path.read_text(encoding="utf-8").splitlines()))


def lines_of_functions() -> Iterator[Found]:
    for path, name, node in each(FUNCTIONS):
        yield Found(f"{path}:{name}", node.end_lineno - node.lineno + 1)


def arguments() -> Iterator[Found]:
    """All that a caller may pass, keywords too. The parameters of a command are its options: they are not counted."""
    for path, name, node in each(FUNCTIONS):
        spec = node.args
        passed = [one.arg for one in (*spec.posonlyargs, *spec.args, *spec.kwonlyargs)]
        if not path.startswith("cli/commands/"):
            yield Found(f"{path}:{name}", len([one for one in passed if one not in {"self", "cls"}]))


def public_methods() -> Iterator[Found]:
    """What can be called from outside; a property is read, not called."""
    for path, name, node in each(ast.ClassDef):
        methods = [one for one in node.body if isinstance(one, FUNCTIONS) and not is_property(one)]
        yield Found(f"{path}:{name}", sum(not one.name.startswith("_") for one in methods))


def is_property(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(ast.unparse(one).endswith("property") for one in node.decorator_list)


def config_fields() -> Iterator[Found]:
    for path, name, node in each(ast.ClassDef):
        if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            yield Found(f"{path}:{name}", sum(isinstance(one, ast.AnnAssign) for one in node.body))


def lines_of_commands() -> Iterator[Found]:
    return (found for found in lines_of_files() if found.where.startswith("cli/") and found.where.endswith(".py"))


BUDGETS: dict[str, tuple[int, Callable[[], Iterator[Found]]]] = {
    "file": (400, lines_of_files),
    "function": (60, lines_of_functions),
    "arguments": (7, arguments),
    "public methods": (12, public_methods),
    "fields": (15, config_fields),
    "command": (60, lines_of_commands),
}


@pytest.mark.parametrize("kind", BUDGETS)
def test_nothing_is_over_its_budget(kind):
    budget, counted = BUDGETS[kind]
    over = [
        f"{found.where}: {found.size}, budget {max(budget, EXCEPTIONS.get(f'{kind} {found.where}', 0))}"
        for found in counted()
        if found.size > max(budget, EXCEPTIONS.get(f"{kind} {found.where}", 0))
    ]
    assert over == []


def test_the_list_of_exceptions_only_shrinks():
    sizes = {f"{kind} {found.where}": found.size for kind, (_, counted) in BUDGETS.items() for found in counted()}
    budgets = {name: BUDGETS[next(kind for kind in BUDGETS if name.startswith(f"{kind} "))][0] for name in EXCEPTIONS}
    stale = [name for name, allowed in EXCEPTIONS.items() if sizes.get(name) != allowed or sizes[name] <= budgets[name]]
    assert stale == [], "lower or remove these"


@pytest.mark.parametrize("kind", BUDGETS)
def test_every_budget_counts_something(kind):
    assert max(found.size for found in BUDGETS[kind][1]()) > 1


def test_no_room_for_odds_and_ends():
    assert [path for path in modules() if FORBIDDEN_NAMES & set(Path(path).with_suffix("").parts)] == []


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                yield path, node


def test_the_library_does_not_print():
    assert [f"{path}:{node.lineno}" for path, node in calls("print")] == []


def test_no_except_without_a_type():
    bare = [
        f"{path}:{node.lineno}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert bare == []


def test_only_foreign_types_are_asked_what_they_have():
    asked = {f"{path} {ast.unparse(node)}" for path, node in calls("hasattr")}
    asked |= {f"{path} {ast.unparse(node)}" for path, node in calls("getattr") if len(node.args) == 3}
    assert asked == MAY_ASK
