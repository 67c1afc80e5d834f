"""In CI a skipped test is a failure: it would be green, and nothing was tested."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SKIPS = {
    "mark": "@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "call": "def test(): pytest.skip('no browser')",
    "fixture": "@pytest.fixture\ndef it(): pytest.skip('no browser')\n"
    "def test(it): pass",
    "file": "pytest.importorskip('no_such_module', reason='no browser')",
}
EXPECTED = "@pytest.mark.xfail\ndef test(): assert 0"  # no skip


@pytest.fixture(scope="module")
def run_pytest(tmp_path_factory) -> Callable[[str], str]:
    """Runs tests of each kind with the hooks of this folder; returns what it says."""
    folder = tmp_path_factory.mktemp("skips")
    for name, code in {**SKIPS, "expected": EXPECTED}.items():
        text = f"import pytest\n\n{code}\ndef test_other(): pass\n"
        (folder / f"test_{name}.py").write_text(text)

    def run(ci: str) -> str:
        here = str(Path(__file__).parents[1])
        options = ["-p", "conftest", "-rA", "--continue-on-collection-errors"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *options],
            cwd=folder,
            env=os.environ | {"CI": ci, "PYTHONPATH": here, "PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
        ).stdout

    return run


def test_in_ci_a_skip_is_a_failure_that_says_why(run_pytest):
    said = run_pytest("true")
    assert "1 failed, 4 passed, 1 xfailed, 3 errors" in said, said
    assert said.count("In CI nothing may be skipped: ") >= 4 and "no browser" in said


def test_the_rest_is_judged_as_ever(run_pytest):
    said = run_pytest("")
    assert "4 passed, 4 skipped, 1 xfailed" in said and "no browser" in said, said
