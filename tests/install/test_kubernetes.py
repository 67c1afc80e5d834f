"""The files in deploy/kubernetes/, against what the charts document.

There is no cluster here: what a file says can be checked, not what comes of it.
"""

import copy
import os
import re
import subprocess
import sys
import tomllib
import types
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import dask
import pytest
import yaml
from conftest import ASSIGNMENT
from traitlets.config import Config

# Source: jupyterhub/values.schema.yaml of jupyterhub/zero-to-jupyterhub-k8s (BSD 3). It
# allows no other key at these levels; below `*` it takes anything.
CHART = """
hub.config.*
hub.loadRoles.*
hub.services.*
hub.extraConfig.*
singleuser.image.name
singleuser.image.tag
singleuser.defaultUrl
singleuser.startTimeout
singleuser.cpu.limit
singleuser.cpu.guarantee
singleuser.memory.limit
singleuser.memory.guarantee
singleuser.storage.capacity
singleuser.networkPolicy.egress
singleuser.extraFiles.*
cull.timeout
""".split()
# Source: helmchart/ngshare/values.yaml of LibreTexts/ngshare (BSD 3).
NGSHARE = ["ngshare.admins", "pvc.storage", "deployment.resources.*"]


def list_paths(tree: dict, before: str = "") -> set[str]:
    """Returns the paths of all leaves, with dots between the keys."""
    paths = set()
    for key, value in tree.items():
        path = f"{before}.{key}" if before else key
        paths |= list_paths(value, path) if isinstance(value, dict) else {path}
    return paths


def find_unknown(tree: dict, known: list[str]) -> set[str]:
    """Returns the paths that a chart does not know."""
    patterns = [re.escape(path).replace(r"\*", ".+") for path in known]
    return {
        path
        for path in list_paths(tree)
        if not any(re.fullmatch(pattern, path) for pattern in patterns)
    }


@pytest.fixture(scope="module")
def files(root):
    """Everything in deploy/kubernetes/: YAML parsed, other files as text."""
    found = {}
    for path in (root / "deploy/kubernetes").iterdir():
        text = path.read_text()
        parsed = list(yaml.safe_load_all(text)) if path.suffix == ".yaml" else text
        found[path.name] = parsed
    return found


@pytest.fixture(scope="module")
def values(files):
    return files["values.yaml"][0]


@pytest.fixture(scope="module")
def pods(files) -> dict[str, dict]:
    """The pods that grade, by their component."""
    return {
        item["spec"]["template"]["metadata"]["labels"]["component"]: item["spec"][
            "template"
        ]["spec"]
        for item in files["grading.yaml"]
        if item["kind"] == "Deployment"
    }


def run_config(source: str, config: Config | None = None, **names) -> Config:
    """Runs a settings file and returns what is set afterwards."""
    config = Config() if config is None else config
    exec(source, {"c": config, "get_config": lambda: config, **names})
    return config


def test_the_charts_know_every_key_that_is_set(values, files):
    assert find_unknown(values, CHART) == set()
    assert find_unknown(files["ngshare.yaml"][0], NGSHARE) == set()


def test_a_key_that_no_chart_knows_is_noticed():
    wrong = {"singleuser": {"memory": {"limt": "1G"}, "defaultUrl": "/lab"}}
    assert find_unknown(wrong, CHART) == {"singleuser.memory.limt"}


def make_grader(values, name: str):
    """Runs the hook that prepares a user's pod; returns the spawner afterwards."""
    config = run_config(values["hub"]["extraConfig"]["grader"])

    spawner = SimpleNamespace(
        user=SimpleNamespace(name=name), volumes=[], volume_mounts=[], environment={}
    )
    config.KubeSpawner.pre_spawn_hook(spawner)
    return spawner


def test_grader_and_workers_have_what_the_sandbox_needs_and_students_have_not(
    values, pods
):
    grader, student = make_grader(values, "grader-courseai"), make_grader(values, "one")
    (worker,) = pods["worker"]["containers"]
    assert grader.container_security_context == worker["securityContext"]
    assert worker["securityContext"]["allowPrivilegeEscalation"] is False
    # Kubernetes unmasks /proc only where root in the pod is nobody on the node.
    assert worker["securityContext"]["procMount"] == "Unmasked"
    assert grader.extra_pod_config["hostUsers"] is pods["worker"]["hostUsers"] is False
    assert not hasattr(student, "container_security_context")
    assert not hasattr(student, "image") and not student.volumes


def list_images(files, values, pods) -> dict[str, list[str]]:
    """Returns the images that students and graders get."""
    student = values["singleuser"]["image"]
    workers = [pod["containers"][0]["image"] for pod in pods.values()]
    return {
        "student": [f"{student['name']}:{student['tag']}"],
        "grader": [make_grader(values, "grader-courseai").image, *workers],
    }


def test_no_image_can_be_had_before_its_digest_is_known(root, values, pods, files):
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    for target, images in list_images(files, values, pods).items():
        image = f"registry.example.org/courseai-{target}:{version}@DIGEST"
        assert set(images) == {image}


DOCKER = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$1" in buildx) echo "$@" | sha256sum | sed 's/ .*//; s/^/sha256:/' ;; esac
"""


def test_publishing_puts_the_digests_of_what_was_pushed_everywhere(root, tmp_path):
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    out = tmp_path / "out"
    subprocess.run(
        ["deploy/kubernetes/publish.sh", "hub.example.edu/class", str(out)],
        cwd=root,
        env=os.environ | {"PATH": path, "CALLS": str(tmp_path / "calls")},
        check=True,
    )
    files = {
        p.name: list(yaml.safe_load_all(p.read_text())) for p in out.glob("*.yaml")
    }
    python, *pinned = (out / "images.txt").read_text().splitlines()
    digest = r"[\w./-]+:[\w.-]+@sha256:[0-9a-f]{64}"
    assert all(re.fullmatch(digest, image) for image in (python, *pinned))
    calls = (tmp_path / "calls").read_text().splitlines()
    builds = [call for call in calls if call.startswith("build ")]
    assert all(f"PYTHON={python}" in call for call in builds) and len(builds) == 2
    deployments = [i for i in files["grading.yaml"] if i["kind"] == "Deployment"]
    pods = {n: item["spec"]["template"]["spec"] for n, item in enumerate(deployments)}
    images = list_images(files, files["values.yaml"][0], pods)
    assert images == {"student": [pinned[0]], "grader": [pinned[1]] * 3}
    left = "".join(path.read_text() for path in out.iterdir())
    assert "@DIGEST" not in left and "registry.example.org" not in left


def test_the_images_are_built_on_a_python_that_somebody_has_to_name(files):
    lines = files["Dockerfile"].splitlines()
    assert "ARG PYTHON" in lines and "FROM ${PYTHON} AS base" in lines
    assert not [line for line in lines if re.match(r"FROM (?!base |\$)", line)]


def test_all_that_pip_installs_into_an_image_is_locked(root, files):
    text = files["Dockerfile"].replace("\\\n", " ")
    installs = re.findall(r"pip install ([^&\n]*)", text)
    assert len(installs) == 4
    for arguments in installs:
        assert "--no-deps" in arguments
        if "--require-hashes" in arguments:
            for name in re.findall(r"-r /opt/(locks/\S+)", arguments):
                assert (root / name).is_file()
        else:
            assert "/opt/wheels/" in arguments or arguments.endswith("/opt/courseai")


def test_the_image_of_students_has_no_solutions(files):
    stages = re.split(r"^FROM ", files["Dockerfile"], flags=re.M)
    student = next(stage for stage in stages if stage.startswith("base AS student"))
    assert "COPY . " not in student and "-e " not in student
    assert "COPY --from=packed /opt/wheels" in student


def test_nothing_of_a_class_can_get_into_an_image(root):
    lines = (root / ".dockerignore").read_text().splitlines()
    everything, *names = [line for line in lines if line and not line.startswith("#")]
    let_through = {name[1:] for name in names if name.startswith("!")}
    assert everything == "*" and all((root / name).exists() for name in let_through)
    ignored = (root / ".gitignore").read_text()
    assert not [name for name in let_through if f"/{name}" in ignored]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    assert {"pyproject.toml", project["project"]["readme"], "LICENSE"} <= let_through
    assert {"courseai_helpers", "locks", "source", "nbgrader_config.py"} <= let_through


@pytest.mark.parametrize("login", [None, "dummy", "null"])
def test_a_hub_without_a_login_does_not_start(values, login):
    with pytest.raises(ValueError, match="There is no login"):
        configure_login(values, login)


def configure_login(values, login: str | None) -> Config:
    """Does what the chart does with its values, and returns the hub's settings."""
    config = Config()
    for section, settings in values["hub"]["config"].items():
        config[section].update(settings)
    if login:
        config.JupyterHub.authenticator_class = login
    config.JupyterHub.load_groups["formgrade-courseai"]["users"] = ["ada"]
    config.JupyterHub.load_groups["nbgrader-courseai"]["users"] = ["ben"]
    return run_config(values["hub"]["extraConfig"]["members"], config)


def test_only_those_who_are_named_get_in(values):
    from jupyterhub.auth import DummyAuthenticator

    config = configure_login(copy.deepcopy(values), "generic-oauth")
    config.DummyAuthenticator = config.Authenticator
    authenticator = DummyAuthenticator(config=config)
    assert not authenticator.allow_all and not authenticator.allow_existing_users
    names = ("ada", "ben", "eve", "grader-courseai")
    allowed = [name for name in names if authenticator.check_allowed(name, None)]
    assert allowed == ["ada", "ben"]


def test_no_key_stands_on_a_command_line(files):
    blocks = re.findall(r"```\w+\n(.*?)```", files["README.md"], re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    assert not [line for line in lines if "--set" in line or "--from-literal" in line]
    # printf is the shell's own: no other process sees its arguments.
    shown = [line for line in lines if "$token" in line]
    assert shown and all(line.startswith("printf ") for line in shown)


def test_nbgrader_in_a_pod_knows_course_and_exchange(root, values, monkeypatch):
    called = []
    course = run_config((root / "nbgrader_config.py").read_text())
    assert "collect" in course.ExchangeFactory
    spec = ModuleSpec("ngshare_exchange", None)
    module = types.SimpleNamespace(configureExchange=called.append, __spec__=spec)
    monkeypatch.setitem(sys.modules, "ngshare_exchange", module)
    extra = values["singleuser"]["extraFiles"]["nbgrader"]
    config = run_config(extra["stringData"])
    course = run_config((root / "nbgrader_config.py").read_text())
    assert called == [config] and "ExchangeFactory" not in course
    assert config.CourseDirectory.course_id == course.CourseDirectory.course_id
    assert f"formgrade-{config.CourseDirectory.course_id}" in str(values["hub"])


def find_labels(files, component: str) -> dict[str, str]:
    """Returns the labels of the pods that grade."""
    (labels,) = [
        item["spec"]["template"]["metadata"]["labels"]
        for item in files["grading.yaml"]
        if item["kind"] == "Deployment"
        and item["metadata"]["name"] == f"grading-{component}"
    ]
    return labels


NAMES = "the cluster's own name server"
USER = "hub.jupyter.org/username"  # KubeSpawner's label for the pod of a user


def selects(selector: dict, pod: dict[str, str] | str) -> bool:
    """Tells whether a podSelector of this namespace selects a pod by its labels."""
    wanted = selector["matchLabels"].items()
    return isinstance(pod, dict) and wanted <= pod.items()


def is_peer(peer: dict, pod: dict[str, str] | str) -> bool:
    """Tells whether a pod is among those that a rule of a policy names."""
    if "podSelector" in peer:
        return selects(peer["podSelector"], pod)
    system = {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}
    return pod == NAMES and peer["namespaceSelector"] == system


def lets_through(files, direction: str, pod, peer, port: int) -> bool:
    """Tells what the policies that select a pod say of one direction.

    A pod that none selects is open; what one policy allows is allowed.

    Source: https://kubernetes.io/docs/concepts/services-networking/network-policies
    """
    ours = [
        item["spec"]
        for item in files["grading.yaml"]
        if item["kind"] == "NetworkPolicy" and selects(item["spec"]["podSelector"], pod)
    ]
    policies = [spec for spec in ours if direction.title() in spec["policyTypes"]]
    key = {"ingress": "from", "egress": "to"}[direction]
    return not policies or any(
        any(is_peer(item, peer) for item in rule[key])
        and ("ports" not in rule or port in {item["port"] for item in rule["ports"]})
        for spec in policies
        for rule in spec.get(direction, [])
    )


def can_reach(files, source, target, port: int) -> bool:
    """Tells whether one pod can open a connection to another."""
    return lets_through(files, "egress", source, target, port) and lets_through(
        files, "ingress", target, source, port
    )


def test_only_the_cluster_itself_and_the_grader_reach_the_scheduler(files):
    scheduler = find_labels(files, "scheduler")
    worker = find_labels(files, "worker")
    grader, student = {USER: "grader-courseai"}, {USER: "ada"}
    (service,) = [i["spec"] for i in files["grading.yaml"] if i["kind"] == "Service"]
    assert service["type"] == "ClusterIP"
    assert service["selector"].items() <= scheduler.items()
    assert not service["selector"].items() <= worker.items()
    (port,) = [item["port"] for item in service["ports"]]
    command = f"courseai grade {ASSIGNMENT} --scheduler tls://grading-scheduler:{port}"
    assert command in files["README.md"]
    assert can_reach(files, grader, scheduler, port)
    assert can_reach(files, worker, scheduler, port)
    assert can_reach(files, scheduler, worker, 40000)  # a worker takes any port
    assert not can_reach(files, grader, scheduler, 22)
    for outsider in (student, {}, {"app": "jupyterhub"}):
        assert not can_reach(files, outsider, scheduler, port)
    for outsider in (student, grader, {}):
        assert not can_reach(files, outsider, worker, 40000)


def test_workers_reach_nothing_but_each_other_and_names(files):
    for component in ("scheduler", "worker"):
        pod = find_labels(files, component)
        assert can_reach(files, pod, find_labels(files, "worker"), 40000)
        assert can_reach(files, pod, NAMES, 53)
        assert not can_reach(files, pod, NAMES, 443)
        for target in ("1.1.1.1", {USER: "ada"}, {"component": "hub"}):
            for port in (53, 80, 443, 8081):
                assert not can_reach(files, pod, target, port)


def test_scheduler_workers_and_grader_show_the_same_certificate(files, values, pods):
    from distributed.security import Security

    grader = make_grader(values, "grader-courseai")
    volumes = [(grader.volumes, grader.volume_mounts, grader.environment, "client")]
    for component, pod in pods.items():
        (container,) = pod["containers"]
        environment = {item["name"]: item["value"] for item in container["env"]}
        volumes.append(
            (pod["volumes"], container["volumeMounts"], environment, component)
        )
        assert any("tls" in word for word in container["args"])
        assert "--no-dashboard" in container["args"]
    for volume, mounts, environment, component in volumes:
        assert volume[0]["secret"] == {"secretName": "grading", "defaultMode": 0o440}
        assert mounts[0]["name"] == volume[0]["name"] and mounts[0]["readOnly"] is True
        settings = dask.config.collect_env(environment)
        with dask.config.set(dask.config.merge(dask.config.config, settings)):
            security = Security()
        place = f"{mounts[0]['mountPath']}/grading.pem"
        assert security.tls_ca_file == place
        assert security.get_tls_config_for_role(component)["cert"] == place
    assert "--from-file=deployed/grading.pem" in files["README.md"]
