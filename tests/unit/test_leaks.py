"""The search for leaks (`make leaks`) finds what it is for."""

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


def test_the_search_finds_leaks_and_nothing_else(request):
    if not request.config.getoption("leaks"):
        pytest.skip("only beside the search itself")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [*command, "--leaks", str(TESTS / "support" / "leaking.py")],
        capture_output=True,
        cwd=TESTS.parent,
        timeout=60,
        text=True,
        check=False,
    )
    assert ran.returncode == 1, ran.stdout + ran.stderr
    for name in ("logs_a_comment", "logs_a_comment_through_a_library", "counts_by_comment"):
        assert f"ERROR tests/support/leaking.py::test_{name} " in ran.stdout
    assert "4 passed, 3 errors" in ran.stdout
