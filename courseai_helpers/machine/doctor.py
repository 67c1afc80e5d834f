"""Checks before a class that a machine has what a student needs."""

import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

DISTRIBUTION = "courseai-helpers"
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"  # in a clone
OLDEST_PYTHON = (3, 11)
FREE_BYTES = 2 * 2**30  # for weights, photos, and a student's own work
MEMORY_BYTES = 2 * 2**30  # torch, the lesson and JupyterLab take 1.5
SECONDS = 60  # for a question to JupyterLab


class Finding(NamedTuple):
    """What a check has found.

    Attributes:
        subject: What was checked.
        state: "ok", "warning" or "problem".
        text: What was found.
        fix: What to do about it, in one line; empty if nothing is to be done.
    """

    subject: str
    state: str
    text: str
    fix: str = ""


Check = Callable[[], Iterable[Finding]]


def list_student_checks() -> list[Check]:
    """Returns the checks of what a student needs."""
    return [
        check_python,
        check_packages,
        check_device,
        check_weights,
        check_photos,
        check_lab_extension,
        lambda: check_server_extensions(["validate_assignment", "assignment_list"]),
        check_disk,
        check_memory,
    ]


def run_checks(checks: list[Check]) -> list[Finding]:
    """Runs checks; one whose own package is missing says so."""
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except ImportError as error:
            text = f"{error.name or error} can't be imported"
            fix = "install the course again: pip install -e ."
            findings.append(Finding("packages", "problem", text, fix))
    return findings


def describe(findings: list[Finding]) -> str:
    """Returns a table of the findings, with a summary."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for subject, state, text, fix in findings:
        lines.append(f"{state:8} {subject:{width}}  {text}")
        if fix:
            lines.append(f"{'':8} {'':{width}}  fix: {fix}")
    counts = {state: 0 for state in ("ok", "warning", "problem")}
    for finding in findings:
        counts[finding.state] += 1
    lines.append(", ".join(f"{name}: {count}" for name, count in counts.items()))
    return "\n".join(lines)


def check_python() -> Iterator[Finding]:
    """Checks Python's version."""
    version = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        yield Finding("Python", "ok", f"{version}, {sys.executable}")
    else:
        fix = "install Python 3.11 or newer and make the environment anew with it"
        yield Finding("Python", "problem", version, fix)


def check_packages(extra: str = "") -> Iterator[Finding]:
    """Compares what is installed with the versions that the course was tested with.

    Args:
        extra: An extra of the package that has to be installed as well.
    """
    subject = f"packages {extra}".strip()
    wanted = read_pins(extra)
    if not wanted:
        fix = "at the top of the course: pip install -e ."
        yield Finding(subject, "problem", f"{DISTRIBUTION} is not installed", fix)
        return
    installed = {name: find_version(name) for name in wanted}
    other = {name: v for name, v in installed.items() if v != wanted[name]}
    target = f".[{extra}]" if extra else "."
    fix = f'at the top of the course: pip install -e "{target}"'
    if missing := sorted(name for name, version in other.items() if not version):
        text = f"missing: {', '.join(missing)}"
        yield Finding(subject, "problem", text, fix)
    if changed := sorted(name for name, version in other.items() if version):
        pairs = [f"{name} {other[name]}, not {wanted[name]}" for name in changed]
        text = f"not as tested: {'; '.join(pairs)}"
        yield Finding(subject, "warning", text, fix)
    if not other:
        yield Finding(subject, "ok", f"{len(wanted)} as tested")


def read_pins(extra: str = "") -> dict[str, str]:
    """Returns the versions that the package asks for here, by the packages' names."""
    pins: dict[str, str] = {}
    for requirement in map(Requirement, read_requirements(extra)):
        marker = requirement.marker
        if marker and not marker.evaluate({"extra": extra}):
            continue  # for another extra, or another kind of machine
        if requirement.name == DISTRIBUTION:
            for other in requirement.extras:
                pins |= read_pins(other)
        for pin in requirement.specifier:
            pins[requirement.name] = pin.version
    return pins


def read_requirements(extra: str) -> list[str]:
    """Returns what the package asks for, perhaps for more than this extra.

    In a clone, what pyproject.toml says now counts: what pip noted when it installed
    the clone may be older.
    """
    if PROJECT.is_file():
        content = tomllib.loads(PROJECT.read_text())["project"]
        more = content["optional-dependencies"][extra] if extra else []
        return content["dependencies"] + more
    try:
        return metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []


def find_version(name: str) -> str:
    """Returns an installed package's version, without the local part after the "+"."""
    try:
        return metadata.version(name).partition("+")[0]
    except metadata.PackageNotFoundError:
        return ""


def check_device() -> Iterator[Finding]:
    """Says which device torch will use; a CPU is enough."""
    import torch

    from courseai_helpers.models.pretrained import choose_device

    device = choose_device()
    try:
        (torch.ones(2, device=device) + 1).cpu()
    except RuntimeError as error:
        fix = "update its driver, or hide it: CUDA_VISIBLE_DEVICES="
        text = f"{device} is there but does not compute: {str(error).splitlines()[0]}"
        yield Finding("torch device", "problem", text, fix)
    else:
        yield Finding("torch device", "ok", f"{device}, torch {torch.__version__}")


def check_weights() -> Iterator[Finding]:
    """Checks that the weights are kept here and intact, and the stand-in as well."""
    from courseai_helpers.models import embedded, weights

    place = weights.find_place()
    if weights.read_kept():
        yield Finding("weights", "ok", f"kept and intact, {place}")
    elif place.exists():
        yield Finding("weights", "problem", f"{place} is damaged", "courseai fetch")
    else:
        text = f"not kept in {place.parent}; each student would download 45 MB"
        fix = "courseai fetch, or without a network: courseai fetch --from FILE.zip"
        yield Finding("weights", "warning", text, fix)
    try:
        embedded.load_stand_in()
    except (RuntimeError, OSError) as error:
        fix = "install the course again: pip install -e ."
        yield Finding("stand-in", "problem", str(error).partition(": ")[0], fix)
    else:
        yield Finding("stand-in", "ok", "intact; it takes over without a network")


def check_photos() -> Iterator[Finding]:
    """Checks that the photos from the web are kept here."""
    from courseai_helpers.images.photo_cache import read_kept
    from courseai_helpers.machine.prefetch import list_web_photos

    wanted = list_web_photos()
    missing = [name for name in wanted if not read_kept(wanted[name].url)]
    if not missing:
        yield Finding("photos", "ok", f"all {len(wanted)} from the web are kept")
        return
    fix = "courseai fetch, or without a network: courseai fetch --from FILE.zip"
    yield Finding("photos", "warning", f"not kept: {', '.join(missing)}", fix)


def check_lab_extension() -> Iterator[Finding]:
    """Checks that JupyterLab shows nbgrader's buttons."""
    yield check_extension(
        "labextension", "@jupyter/nbgrader", "JupyterLab extension nbgrader"
    )


def check_server_extensions(names: list[str]) -> Iterator[Finding]:
    """Checks that Jupyter's server answers nbgrader's buttons."""
    for name in names:
        extension = f"nbgrader.server_extensions.{name}"
        yield check_extension("server extension", extension, f"server {name}")


def check_extension(kind: str, name: str, subject: str) -> Finding:
    """Checks that an extension is there and enabled."""
    line = next((s for s in list_extensions(kind).splitlines() if name in s), "")
    if "enabled" in line:
        return Finding(subject, "ok", "enabled")
    if line:
        fix = f"jupyter {kind} enable {name}"
        return Finding(subject, "problem", "disabled", fix)
    fix = "install it again: pip install --force-reinstall --no-deps nbgrader"
    return Finding(subject, "problem", "not found", fix)


@cache
def list_extensions(kind: str) -> str:
    """Returns Jupyter's own list of extensions."""
    command = [sys.executable, "-m", "jupyter", *kind.split(), "list"]
    try:
        result = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return ""
    return re.sub(r"\x1b\[\d*m", "", result.stdout)


def check_disk() -> Iterator[Finding]:
    """Checks that there is room in the working directory and for what is kept."""
    from courseai_helpers.models import weights

    for subject, path in (("disk, here", Path.cwd()), ("disk, weights", None)):
        path = path or weights.find_place().parent
        while not path.exists():
            path = path.parent
        free = shutil.disk_usage(path).free
        text = f"{free / 2**30:.1f} GiB free, {path}"
        if not os.access(path, os.W_OK):
            fix = f"work elsewhere, or make {path} yours: sudo chown $USER {path}"
            yield Finding(subject, "problem", f"{path} can't be written", fix)
        elif free < FREE_BYTES:
            state = "problem" if free < FREE_BYTES / 10 else "warning"
            yield Finding(subject, state, text, f"delete something on {path}")
        else:
            yield Finding(subject, "ok", text)


def check_memory() -> Iterator[Finding]:
    """Checks that there is enough memory, within a container's limit as well."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        yield Finding("memory", "ok", "this system does not tell")
        return
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        size = min(size, int(text))
    text = f"{size / 2**30:.1f} GiB"
    if size >= MEMORY_BYTES:
        yield Finding("memory", "ok", text)
    else:
        fix = "close other programs, or take a machine with 4 GiB or more"
        yield Finding("memory", "warning", text, fix)
