"""In CI a skipped test is a failure: it would be green, and nothing was tested."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "mark": "@pytest.mark.skipif(True, reason='no browser')\ndef test(): pass",
    "call": "def test(): pytest.skip('no browser')",
    "fixture": "@pytest.fixture\ndef it(): pytest.skip('no browser')\n"
    "def test(it): pass",
    "file": "pytest.importorskip('no_such_module', reason='no browser')",
}


def run_pytest(file: Path, ci: str) -> subprocess.CompletedProcess:
    """Runs the tests of a file with the hooks of this folder."""
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "conftest", "-rs", str(file)],
        cwd=file.parent,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("kind", SKIPS)
def test_a_skip_fails_in_ci_only_and_says_why(tmp_path, kind):
    file = tmp_path / "test_it.py"
    file.write_text(f"import pytest\n\n{SKIPS[kind]}\ndef test_other(): pass\n")
    in_ci = run_pytest(file, "true")
    assert in_ci.returncode != 0
    assert "In CI nothing may be skipped" in in_ci.stdout
    assert "no browser" in in_ci.stdout
    at_home = run_pytest(file, "")
    assert at_home.returncode in (0, 5), at_home.stdout  # 5: there was nothing else
    assert "no browser" in at_home.stdout


def test_what_is_expected_to_fail_is_no_skip(tmp_path):
    file = tmp_path / "test_it.py"
    file.write_text("import pytest\n\n@pytest.mark.xfail\ndef test(): assert 0\n")
    assert run_pytest(file, "true").returncode == 0
