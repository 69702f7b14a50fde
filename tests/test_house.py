"""The house numbers that no linter holds: no file over 500 lines, no function over 60."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE_LINES, FUNCTION_LINES = 500, 60
SOURCES = sorted(p for room in ("sidecar", "tests", "bench") for p in (ROOT / room).rglob("*.py"))


def test_no_file_is_too_long():
    offenders = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in SOURCES
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > FILE_LINES
    ]
    assert not offenders, "\n".join(offenders)


def test_no_function_is_too_long():
    offenders = [offender for path in SOURCES for offender in _long_functions(path)]
    assert not offenders, "\n".join(offenders)


def _long_functions(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {lines} lines"
