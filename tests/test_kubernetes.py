"""The files in deploy/kubernetes/, against what the charts document.

There is no cluster here: what a file says can be checked, not what comes of it.
"""

import re
import tomllib

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
    """The pods of the Dask cluster."""
    spec = files["grading.yaml"][0]["spec"]
    return {name: spec[name]["spec"] for name in ("worker", "scheduler")}


def run_config(source: str, **names) -> Config:
    """Runs a settings file and returns what it set."""
    config = Config()
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

    class Spawner:
        class user:  # noqa: N801 - as the spawner has it
            pass

    spawner = Spawner()
    spawner.user.name = name
    config.KubeSpawner.pre_spawn_hook(spawner)
    return spawner


def test_grader_and_workers_have_what_the_sandbox_needs_and_students_have_not(
    values, pods
):
    grader, student = make_grader(values, "grader-courseai"), make_grader(values, "one")
    (worker,) = pods["worker"]["containers"]
    assert grader.container_security_context == worker["securityContext"]
    assert worker["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "procMount": "Unmasked",
        "seccompProfile": {"type": "Unconfined"},
        "appArmorProfile": {"type": "Unconfined"},
    }
    assert grader.extra_pod_config == {"hostUsers": False}
    assert pods["worker"]["hostUsers"] is False
    assert not hasattr(student, "container_security_context")
    assert not hasattr(student, "image")


def test_students_and_graders_get_their_images(root, values, pods, files):
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    grader = f"registry.example.org/courseai-grader:{version}"
    assert make_grader(values, "grader-courseai").image == grader
    assert all(pod["containers"][0]["image"] == grader for pod in pods.values())
    student = values["singleuser"]["image"]
    assert f"{student['name']}:{student['tag']}" == grader.replace("grader", "student")
    for image in (grader, grader.replace("grader", "student")):
        assert f"-t {image}" in files["Dockerfile"]
        assert f"docker push {image}" in files["README.md"]


def test_the_image_of_students_has_no_solutions(files):
    stages = re.split(r"^FROM ", files["Dockerfile"], flags=re.M)
    student = next(stage for stage in stages if stage.startswith("base AS student"))
    assert "COPY . " not in student and "-e " not in student
    assert "COPY --from=packed /opt/wheels" in student


def test_the_images_have_the_pinned_hub(root, files):
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    pins = project["dependencies"] + project["optional-dependencies"]["hub"]
    for name in ("jupyterhub", "requests"):
        (pin,) = [pin for pin in pins if pin.startswith(f"{name}==")]
        assert pin in files["Dockerfile"]


def test_nbgrader_in_a_pod_knows_course_and_exchange(root, values, monkeypatch):
    called = []
    module = type("module", (), {"configureExchange": called.append})
    monkeypatch.setitem(__import__("sys").modules, "ngshare_exchange", module)
    extra = values["singleuser"]["extraFiles"]["nbgrader"]
    config = run_config(extra["stringData"])
    course = run_config((root / "nbgrader_config.py").read_text())
    assert called == [config]
    assert config.CourseDirectory.course_id == course.CourseDirectory.course_id
    assert f"formgrade-{config.CourseDirectory.course_id}" in str(values["hub"])


def test_only_the_cluster_itself_and_the_grader_reach_the_scheduler(files):
    cluster, policy = files["grading.yaml"]
    service = cluster["spec"]["scheduler"]["service"]
    name = cluster["metadata"]["name"]
    labels = {"dask.org/cluster-name": name}
    assert service["type"] == "ClusterIP"
    assert service["selector"] == labels | {"dask.org/component": "scheduler"}
    assert policy["spec"]["podSelector"]["matchLabels"] == labels
    assert policy["spec"]["ingress"] == [
        {
            "from": [
                {"podSelector": {"matchLabels": labels}},
                {
                    "podSelector": {
                        "matchLabels": {"hub.jupyter.org/username": "grader-courseai"}
                    }
                },
            ]
        }
    ]
    command = f"courseai grade {ASSIGNMENT} --scheduler tcp://{name}-scheduler:8786"
    assert command in files["README.md"]
