"""How many small faults, put into the code one at a time, the tests notice: the parsers of phones, and the reward.

Each fault (a mutant) is one change of the syntax tree: a comparison, an arithmetic or logical operator, a number, a
truth value or a text, a condition turned round, a result that is lost, a statement that is left out. Prose of errors,
docstrings and annotations stay as they are. A mutant is noticed when the module's tests fail or take ten times as long
as they should; tests that feed rubbish at random are left out, as they only look for crashes.

    python benchmarks/mutation.py --json benchmarks/results/mutation.json
"""

from __future__ import annotations

import argparse
import ast
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

from _forked_tests import ForkedTests
from _result import ROOT, write_result

COPIED = ("mnas", "devices", "latency", "search", "tests", "pyproject.toml")
AREAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "parsers": ("devices/adb/parsers", ("tests/devices/adb/test_parsers.py",)),
    "reward": ("search/reward.py", ("tests/search/test_reward.py",)),
}
TARGETS = {"parsers_score": (">=", 0.85), "reward_score": (">=", 0.85)}
PROSE = {"why", "fix", "what", "value", "code"}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}


@dataclass(frozen=True)
class Mutant:
    """A file with one fault.

    Attributes:
        path: Of the file, below the root.
        line: Where the fault is.
        what: It is.
        text: The whole file with it.
    """

    path: str
    line: int
    what: str
    text: str


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield what can be changed at a node, in words and as a function that does it."""
    if isinstance(node, ast.Compare):
        for place, one in enumerate(node.ops):
            for other in COMPARISONS.get(type(one), ()):
                yield (
                    f"{type(one).__name__} -> {other.__name__}",
                    lambda place=place, other=other: node.ops.__setitem__(place, other()),  # type: ignore[misc]
                )
    elif isinstance(node, ast.BoolOp):
        new = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{type(node.op).__name__} -> {type(new).__name__}", lambda: setattr(node, "op", new)
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in ARITHMETIC:
        operator = ARITHMETIC[type(node.op)]()
        yield f"{type(node.op).__name__} -> {type(operator).__name__}", lambda: setattr(node, "op", operator)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        yield f"{type(node.op).__name__} left out", lambda: setattr(node, "op", ast.UAdd())
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        turned = ast.UnaryOp(ast.Not(), node.test)
        yield "the condition turned round", lambda: setattr(node, "test", turned)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "the result lost", lambda: setattr(node, "value", ast.Constant(None))
    elif isinstance(node, ast.comprehension) and node.ifs:
        yield "the filter left out", lambda: setattr(node, "ifs", [])


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _constants(node: ast.Constant) -> Iterator[tuple[str, Callable[[], None]]]:
    value = node.value
    if isinstance(value, bool):
        yield f"{value} -> {not value}", lambda: setattr(node, "value", not value)
    elif isinstance(value, int | float):
        yield f"{value} -> {value + 1}", lambda: setattr(node, "value", value + 1)
    elif isinstance(value, str):
        yield f"{value[:20]!r} -> another text", lambda: setattr(node, "value", f"{value}~")


def left_alone(tree: ast.AST) -> set[ast.AST]:
    """Return docstrings, prose of errors, annotations and the arguments of decorators, with all that is in them."""
    found: list[ast.AST] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            found += [one for one in body if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
        if isinstance(node, ast.keyword) and node.arg in PROSE:
            found.append(node)
        if isinstance(node, ast.Raise):
            found.append(node)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            found.append(node.annotation)
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found += node.decorator_list
            found += [node.returns] if isinstance(node, ast.FunctionDef) and node.returns else []
    return {inner for one in found for inner in ast.walk(one)}


def mutants_of(path: Path) -> list[Mutant]:
    """Return all mutants of a file, in order."""
    source = path.read_text(encoding="utf-8")
    sound, found, number = ast.unparse(ast.parse(source)), [], 0
    while True:
        tree = ast.parse(source)
        alone = left_alone(tree)
        todo = [(node, *one) for node in ast.walk(tree) if node not in alone for one in changes(node)]
        if number == len(todo):
            return found
        node, what, change = todo[number]
        line = getattr(node, "lineno", 0) or getattr(getattr(node, "target", None), "lineno", 0)
        change()
        text = ast.unparse(ast.fix_missing_locations(tree))
        if text != sound:
            found.append(Mutant(str(path.relative_to(ROOT)), line, what, text))
        number += 1


@dataclass(frozen=True)
class Copy:
    """A copy of the project, and the process that runs tests of it.

    Attributes:
        root: The copy.
        tests: The process.
    """

    root: Path
    tests: ForkedTests

    def notices(self, tests: Sequence[str], limit_s: float) -> bool:
        """Run tests and return whether they fail or do not end in time."""
        words = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not fuzz"]
        words += ["-W", "ignore::pytest.PytestAssertRewriteWarning", *tests]  # hypothesis is imported already
        status = self.tests.run(words, limit_s)
        if status not in (None, 0, 1, 2):
            raise SystemExit(f"pytest ended with status {status} on {' '.join(tests)}")
        return status != 0


def survivors(mutants: Sequence[Mutant], tests: Sequence[str], copies: Queue[Copy], workers: int) -> list[Mutant]:
    """Return the mutants that no test notices."""
    copy = copies.get()
    started = time.perf_counter()
    if copy.notices(tests, 600):
        raise SystemExit(f"the tests fail without any fault: {' '.join(tests)}")
    limit_s = 10 * (time.perf_counter() - started)
    copies.put(copy)

    def lives(one: Mutant) -> bool:
        copy = copies.get()
        path = copy.root / one.path
        sound = path.read_text(encoding="utf-8")
        try:
            path.write_text(one.text, encoding="utf-8")
            return not copy.notices(tests, limit_s)
        finally:
            path.write_text(sound, encoding="utf-8")
            copies.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        return [one for one, alive in zip(mutants, pool.map(lives, mutants), strict=True) if alive]


def main() -> int:
    """Run the benchmark; 1 when a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--areas", default=",".join(AREAS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="mnas-mutation-") as place:
        copies: Queue[Copy] = Queue()
        for number in range(options.workers):
            copy = Path(place) / str(number)
            for name in COPIED:
                (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, _made(copy) / name)
            copies.put(Copy(copy, ForkedTests(copy)))
        for area in options.areas.split(","):
            where, tests = AREAS[area]
            files = sorted((ROOT / where).glob("*.py")) if (ROOT / where).is_dir() else [ROOT / where]
            mutants = [one for file in files for one in mutants_of(file)]
            alive = survivors(mutants, tests, copies, options.workers)
            figures |= {f"{area}_mutants": len(mutants), f"{area}_survivors": len(alive)}
            figures[f"{area}_score"] = 1 - len(alive) / len(mutants)
            figures[f"{area}_alive"] = [f"{one.path}:{one.line}: {one.what}" for one in alive]
            for text in figures[f"{area}_alive"]:
                print(text, file=sys.stderr)
        while not copies.empty():
            copies.get().tests.close()
    targets = {name: target for name, target in TARGETS.items() if name in figures}
    return int(not write_result("mutation", figures, targets, [], options.json))


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


if __name__ == "__main__":
    sys.exit(main())
