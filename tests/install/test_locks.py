"""The locks: what pip and npm install, to the last package, by its hash.

`make lock` writes them; here is no network, only a look whether they still belong to
what is pinned by hand.
"""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ENVIRONMENTS = ("member", "instructor", "hub", "test")
HASH = r"--hash=sha256:[0-9a-f]{64}"


def read_lock(path: Path) -> dict[str, set[str]]:
    """Returns the versions of each package; markers can give one more than one.

    Raises:
        ValueError: if there is a package without hashes, or anything else in the file.
    """
    lines = [line for line in path.read_text().splitlines() if "#" not in line]
    versions = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        first, *hashes = re.split(r"\s+(?=--)", line.strip())
        if not hashes or not all(re.fullmatch(HASH, item) for item in hashes):
            raise ValueError(
                f"{path.name}: {line[:80]} has no hashes, or more than that."
            )
        requirement = Requirement(first)
        (pin,) = requirement.specifier
        if pin.operator != "==" or requirement.url:
            raise ValueError(f"{path.name}: {first} is not pinned.")
        versions.setdefault(canonicalize_name(requirement.name), set()).add(pin.version)
    return versions


@pytest.fixture(scope="module")
def locks(root) -> dict[str, dict[str, set[str]]]:
    return {path.stem: read_lock(path) for path in (root / "locks").glob("*.txt")}


def list_pins(project: dict, extra: str) -> list[str]:
    """Returns what an extra asks for, and the extras that it names."""
    pins = []
    for line in project["optional-dependencies"][extra]:
        other = re.fullmatch(r"courseai-helpers\[(\w+)\]", line)
        pins += list_pins(project, other[1]) if other else [line]
    return pins


@pytest.mark.parametrize("extra", ENVIRONMENTS)
def test_a_lock_has_every_pin_of_its_environment(root, locks, extra):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    for line in [*project["dependencies"], *list_pins(project, extra)]:
        pin = Requirement(line)
        wanted = {specifier.version for specifier in pin.specifier}
        found = locks[extra].get(canonicalize_name(pin.name))
        assert found == wanted, f"{line} is locked as {found}: run `make lock`"


def test_all_environments_have_the_same_versions(locks):
    for extra in ENVIRONMENTS:
        for name, versions in locks[extra].items():
            assert locks["test"][name] == versions, f"{extra}: {name}"


def test_every_lock_brings_what_builds_the_package(root, locks):
    built = tomllib.loads((root / "pyproject.toml").read_text())["build-system"]
    (needed,) = map(Requirement, built["requires"])
    for extra in ENVIRONMENTS:
        assert all(version in needed.specifier for version in locks[extra][needed.name])


def test_the_clusters_exchange_is_locked_as_it_is_pinned(root, locks):
    lines = (root / "deploy/kubernetes/ngshare.in").read_text().splitlines()
    (pin,) = [Requirement(line) for line in lines if not line.startswith("#")]
    (specifier,) = pin.specifier
    assert locks["ngshare"] == {canonicalize_name(pin.name): {specifier.version}}


def test_a_package_without_a_hash_is_noticed(tmp_path):
    for text in ("torch==1.0", "-e .", "torch @ file:///torch.whl --hash=sha256:1"):
        (tmp_path / "lock.txt").write_text(text)
        with pytest.raises(ValueError, match="lock.txt"):
            read_lock(tmp_path / "lock.txt")


def test_the_proxy_is_locked_with_all_that_it_needs(root):
    folder = root / "deploy" / "jupyterhub"
    wanted = json.loads((folder / "package.json").read_text())["dependencies"]
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert packages.pop("")["dependencies"] == wanted
    for name, version in wanted.items():
        assert packages[f"node_modules/{name}"]["version"] == version
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        # The hash is what counts; an address would tie the lock to one registry.
        assert "resolved" not in package, name
