"""The walls between the packages, and the house rules that a syntax tree can show."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("mnas", "devices", "latency", "search")
"""Each may import those before it, search devices through latency alone; mnas.cli and search.api all of them."""
FILES = sorted(path for package in LAYERS for path in (ROOT / package).rglob("*.py"))
MAX_FILE_LINES, MAX_FUNCTION_LINES = 400, 40


def name_of(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def is_api(module):
    return module.split(".")[:2] == ["search", "api"]


def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def is_cli(module):
    return module == "mnas.__main__" or module.split(".")[:2] == ["mnas", "cli"]


def imports_of(tree):
    """Every module that a tree imports, wherever in it: lazily, under TYPE_CHECKING, by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "import_module":
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def forbidden(module, tree):
    """The imports of a module that go upward, or into the command line or the API, which stand beside each other."""
    found = {imported for imported in imports_of(tree) if imported.split(".")[0] in LAYERS}
    if is_cli(module):
        return sorted(one for one in found if is_api(one))
    if is_api(module):
        return sorted(one for one in found if is_cli(one))
    own = LAYERS.index(module.split(".")[0])
    bad = [one for one in found if LAYERS.index(one.split(".")[0]) > own or is_cli(one) or is_api(one)]
    # A search sees devices through latency alone.
    bad += [one for one in found if one.startswith("devices")] if module.startswith("search.") else []
    return sorted(bad)


def calls_and_handlers(tree):
    """What a tree does that only the command line may: prints, exits, asks; and a bare except, which nobody may."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield node.lineno, "bare except"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("print", "input", "exit", "quit", "sys.exit", "breakpoint"):
                yield node.lineno, called


def body_lines(function):
    """Lines from the first statement after the docstring to the end."""
    body = function.body
    is_documented = isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    body = body[1:] if is_documented and isinstance(body[0].value.value, str) else body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def long_functions(tree):
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {node.name: body_lines(node) for node in functions if body_lines(node) > MAX_FUNCTION_LINES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward(module):
    assert forbidden(module, tree_of(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_house_rules(module):
    tree = tree_of(module)
    allowed = ("print", "sys.exit") if is_cli(module) else ()
    assert [one for one in calls_and_handlers(tree) if one[1] not in allowed] == []
    assert long_functions(tree) == {}
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("mnas.space", "def f():\n    from devices.device import Device"),
        ("mnas.space", "if TYPE_CHECKING:\n    import latency"),
        ("devices.device", "from latency.table import LatencyTable"),
        ("latency.table", "import mnas.cli.output"),
        ("latency.table", "from mnas import cli"),
        ("latency.table", "import_module('search.study')"),
        ("search.study", "from devices.harness import Harness"),
        ("search.study", "from devices.testing import SimulatedDevice"),
        ("search.testing", "from devices.harness import Harness"),
        ("search.study", "from search.api import Study"),
        ("devices.bench", "import search.api.bench"),
    ],
)
def test_the_check_of_imports_can_fail(module, code):
    assert forbidden(module, ast.parse(code))
    allowed = "mnas.cli.lut" if "search.api" not in code else "search.api.table"
    assert forbidden(allowed, ast.parse(code)) == []


def test_the_command_line_and_the_api_do_not_know_each_other():
    assert forbidden("mnas.cli.lut", ast.parse("from search.api import LatencyTable")) != []
    assert forbidden("search.api.table", ast.parse("from mnas.cli.output import Result")) != []


def test_the_check_of_rules_can_fail():
    code = "try:\n    print(1)\nexcept:\n    sys.exit(input())"
    assert {what for _, what in calls_and_handlers(ast.parse(code))} == {"bare except", "print", "sys.exit", "input"}
    documented = "def f(\n    a,\n    b,\n):\n    'Doc.'\n"
    assert long_functions(ast.parse(documented + 40 * "    pass\n")) == {}
    assert long_functions(ast.parse(documented + 41 * "    pass\n")) == {"f": 41}


def test_every_package_is_found():
    assert {module.split(".")[0] for module in MODULES} == set(LAYERS)
    assert {"mnas.cli.search", "search.api.study", "devices.harness", "latency.builder", "search.study"} <= set(MODULES)


HEAVY = ("torch", "scipy", "matplotlib", "sklearn", "pymoo", "onnx", "onnxruntime", "jinja2")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["lut", "--help"],
        ["search", "--help"],
        ["export", "--help"],
        ["devices", "list"],
        ["arch", "list"],
        ["lut", "show", "--out", "{out}"],
        ["study", "list", "--out", "{out}"],
    ],
    ids=lambda value: " ".join(value[:2]),
)
def test_light_commands_import_nothing_heavy(tmp_path, arguments):
    from latency.schema import LATENCY
    from mnas.store import FILE_NAME, Store

    with Store(tmp_path / FILE_NAME, (LATENCY,)):
        pass
    code = (
        "import sys\nfrom mnas.cli import main\nstatus = main(sys.argv[1:])\n"
        f"print('HEAVY', status, *sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    given = [argument.format(out=tmp_path) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, check=True)
    _, status, *imported = done.stderr.splitlines()[-1].split()
    assert status == "0"
    assert imported == []
    assert done.stdout
