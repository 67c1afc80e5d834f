"""ResNet-18: where its weights come from, whatever happens, and what it predicts."""

import hashlib
import io
import pickle
import random
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from local_server import LocalServer, find_closed_port, serve
from torchvision.models import ResNet18_Weights

from courseai_helpers._common import http
from courseai_helpers.models import (
    Prediction,
    WeightsError,
    choose_device,
    class_names,
    load_resnet18,
    load_stand_in,
    predict_top_k,
    weights,
)

NAME = "resnet18-f37072fd.pth"


def make_state(seed: int) -> dict[str, torch.Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torchvision.models.resnet18().state_dict()


def pack(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def published() -> tuple[dict[str, torch.Tensor], bytes]:
    """Weights that stand for the published ones: as tensors, and as a file."""
    state = make_state(seed=7)
    return state, pack(state)


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published) -> Path:
    """An online computer with an empty cache; the path that the weights will have."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("COURSEAI_OFFLINE", raising=False)
    monkeypatch.delenv("COURSEAI_WEIGHTS", raising=False)
    monkeypatch.setattr(http, "_silent_since", {})
    digest = hashlib.sha256(published[1]).hexdigest()
    monkeypatch.setattr(weights, "WEIGHTS_SHA256", digest)
    return tmp_path / "hub" / "checkpoints" / NAME


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, published):
    with serve() as server:
        url = server.add(f"/models/{NAME}", published[1])
        monkeypatch.setattr(weights, "WEIGHTS_URL", url)
        yield server


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{find_closed_port()}/models/{NAME}"
    monkeypatch.setattr(weights, "WEIGHTS_URL", url)


def holds(model: torch.nn.Module, state: dict[str, torch.Tensor]) -> bool:
    found = model.state_dict()
    return all(torch.equal(found[name], value) for name, value in state.items())


def is_stand_in(model: torch.nn.Module) -> bool:
    return holds(model, load_stand_in().state_dict())


# The published weights


def test_the_address_and_the_hash_are_those_of_torchvision(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.undo()
    assert weights.WEIGHTS_URL == ResNet18_Weights.IMAGENET1K_V1.url
    assert len(weights.WEIGHTS_SHA256) == 64
    prefix = Path(weights.WEIGHTS_URL).stem.split("-")[1]
    assert weights.WEIGHTS_SHA256.startswith(prefix)


def test_the_weights_are_downloaded_with_progress_and_ready_to_use(
    server: LocalServer, published, capfd
):
    model = load_resnet18()
    assert holds(model, published[0])
    assert not any(module.training for module in model.modules())
    assert sum(value.numel() for value in model.parameters()) == 11_689_512
    for value in model.parameters():
        assert value.requires_grad and value.device.type == "cpu"
        assert value.dtype == torch.float32
    output = capfd.readouterr()
    assert "ResNet-18 weights: 100%" in output.out
    assert "Notice" not in output.out
    assert output.err == ""


def test_the_weights_are_found_again_without_a_network(
    cached: Path, published, capsys, monkeypatch: pytest.MonkeyPatch
):
    with serve() as server:
        url = server.add(f"/models/{NAME}", published[1])
        monkeypatch.setattr(weights, "WEIGHTS_URL", url)
        load_resnet18()
    capsys.readouterr()
    assert holds(load_resnet18(), published[0])
    assert len(server.requests) == 1
    assert capsys.readouterr().out == ""
    assert [path.name for path in cached.parent.iterdir()] == [NAME]


def test_torchvision_finds_the_kept_file_too(server: LocalServer, published):
    load_resnet18()
    torch_weights = ResNet18_Weights.IMAGENET1K_V1
    assert holds(torchvision.models.resnet18(weights=torch_weights), published[0])


def test_weights_that_torchvision_kept_are_found(no_network, cached: Path, published):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(published[1])
    assert holds(load_resnet18(), published[0])


# When something is wrong with them


def test_without_a_network_the_stand_in_is_used_with_a_notice(no_network, capsys):
    model = load_resnet18()
    assert is_stand_in(model)
    output = capsys.readouterr()
    assert "The ImageNet weights could not be downloaded" in output.out
    assert "You work with the stand-in embedded in this package" in output.out
    assert "wrong about most photos" in output.out
    assert f"let COURSEAI_WEIGHTS name a copy of {NAME}" in output.out
    assert output.err == ""


def test_a_silent_host_does_not_hold_up_the_lesson(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    server.add_answer(f"/models/{NAME}", lambda handler: server.released.wait())
    assert is_stand_in(load_resnet18())
    assert "127.0.0.1 does not answer" in capsys.readouterr().out


def test_damaged_weights_in_the_cache_are_replaced(
    server: LocalServer, cached: Path, published, capsys
):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(published[1][:-1000])
    assert holds(load_resnet18(), published[0])
    assert cached.read_bytes() == published[1]
    assert f"kept in {cached} are damaged: their hash" in capsys.readouterr().out


def test_damaged_weights_in_the_cache_are_not_used_without_a_network(
    no_network, cached: Path, published, capsys
):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(published[1][:-1000])
    assert is_stand_in(load_resnet18())
    output = capsys.readouterr().out
    assert "are damaged" in output
    assert "stand-in" in output


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"<html>Please log in</html>", "is damaged: its hash is not the"),
        (404, b"", "answers with status 404"),
    ],
)
def test_a_wrong_download_is_not_kept(
    server: LocalServer, cached: Path, status: int, body: bytes, reason: str, capsys
):
    server.add(f"/models/{NAME}", body, status)
    assert is_stand_in(load_resnet18())
    assert reason in capsys.readouterr().out
    assert not cached.parent.exists()


def test_weights_that_cannot_be_kept_are_used_with_a_notice(
    server: LocalServer, tmp_path: Path, published, capsys
):
    (tmp_path / "hub").write_text("a file where the directory should be")
    assert holds(load_resnet18(), published[0])
    output = capsys.readouterr().out
    assert "loaded but cannot be kept" in output
    assert "let TORCH_HOME name a directory" in output


def test_a_full_disk_keeps_no_half_written_weights(
    server: LocalServer, cached: Path, published, capsys
):
    resource = pytest.importorskip("resource", reason="limits of POSIX systems")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        assert holds(load_resnet18(), published[0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cached.parent.iterdir()) == []
    assert "cannot be kept" in capsys.readouterr().out


def test_offline_the_embedded_model_is_used_whatever_the_cache_holds(
    server: LocalServer, cached: Path, published, capsys, monkeypatch
):
    cached.parent.mkdir(parents=True)
    cached.write_bytes(published[1])
    monkeypatch.setenv("COURSEAI_OFFLINE", "1")
    assert is_stand_in(load_resnet18())
    assert "COURSEAI_OFFLINE forbids the network" in capsys.readouterr().out
    assert server.requests == []


# A file that the user names


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("offline", ["0", "1"])
def test_a_named_file_is_loaded(
    suffix: str, offline: str, tmp_path: Path, capfd, monkeypatch
):
    state = make_state(seed=3)
    path = tmp_path / f"mine{suffix}"
    packed = safetensors.torch.save(state) if suffix != ".pth" else pack(state)
    path.write_bytes(packed)
    monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
    monkeypatch.setenv("COURSEAI_OFFLINE", offline)
    model = load_resnet18()
    assert holds(model, state)
    assert all(value.requires_grad for value in model.parameters())
    assert capfd.readouterr() == ("", "")


def test_half_precision_and_old_files_are_loaded(tmp_path: Path, monkeypatch):
    state = {
        name: value.half()
        for name, value in make_state(seed=3).items()
        if not name.endswith("num_batches_tracked")
    }
    path = tmp_path / "old.pth"
    path.write_bytes(pack(state))
    monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
    model = load_resnet18()
    assert model.conv1.weight.dtype == torch.float32
    assert not any(value.is_meta for value in model.state_dict().values())
    assert model(torch.zeros(1, 3, 64, 64)).isfinite().all()


class Exploit:
    """Creates a file when it is unpickled by a careless reader."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_named_file_that_would_run_code_is_refused(tmp_path: Path, monkeypatch):
    trace = tmp_path / "trace"
    path = tmp_path / "evil.pth"
    for data in (pack(Exploit(trace)), pickle.dumps(Exploit(trace))):
        path.write_bytes(data)
        monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
        with pytest.raises(WeightsError, match="not a file of tensors"):
            load_resnet18()
    assert not trace.exists()


WRONG_FILES = {
    "empty.pth": "not a file of tensors, or is damaged",
    "page.pth": "not a file of tensors",
    "half.pth": "not a file of tensors",
    "half.safetensors": "cannot be used: ",
    "text.safetensors": "cannot be used: ",
    "list.pth": "not hold a state dict",
    "numbers.pth": "not hold a state dict",
    "checkpoint.pth": "not hold a state dict",
    "lacking.pth": "it has no tensor 'fc.bias'",
    "more.pth": "ResNet-18 has no tensor 'x'",
    "ten.pth": r"'fc.weight' has shape \[10, 512\] where \[1000, 512\] is wanted",
}


def make_wrong_file(name: str, state: dict[str, torch.Tensor]) -> bytes:
    match name:
        case "empty.pth":
            return b""
        case "page.pth":
            return b"<html>Not found</html>"
        case "half.pth":
            return pack(state)[:1_000_000]
        case "half.safetensors":
            return safetensors.torch.save(state)[:-9]
        case "text.safetensors":
            return b"no tensors in here at all"
        case "list.pth":
            return pack([1, 2])
        case "numbers.pth":
            return pack({"conv1.weight": 1})
        case "checkpoint.pth":
            return pack({"state_dict": {}})
        case "lacking.pth":
            return pack({key: state[key] for key in state if key != "fc.bias"})
        case "more.pth":
            return pack(state | {"x": torch.ones(1)})
    return pack(state | {"fc.weight": torch.zeros(10, 512)})


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_named_file_that_is_wrong_is_an_error(
    name: str, tmp_path: Path, server: LocalServer, published, capfd, monkeypatch
):
    path = tmp_path / name
    path.write_bytes(make_wrong_file(name, published[0]))
    monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
    with pytest.raises(WeightsError, match=WRONG_FILES[name]) as caught:
        load_resnet18()
    assert str(caught.value).startswith(f"COURSEAI_WEIGHTS names {path}, which cannot")
    assert "or unset it to download" in str(caught.value)
    assert capfd.readouterr() == ("", "")
    assert server.requests == []


def test_no_damage_to_a_named_file_leads_to_another_error(
    tmp_path: Path, capfd, monkeypatch: pytest.MonkeyPatch
):
    generator = random.Random(0)
    state = {"conv1.weight": torch.ones(2, 3), "fc.bias": torch.ones(4)}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    seeds = {
        ".pth": [pack(state), buffer.getvalue(), pickle.dumps([1, {"a": 2.0}])],
        ".safetensors": [safetensors.torch.save(state)],
    }
    for round_ in range(400):
        suffix = generator.choice(list(seeds))
        data = bytearray(generator.choice(seeds[suffix]))
        for _ in range(generator.choice([1, 3, 20])):
            reach = min(len(data), generator.choice([40, 200, len(data)]))
            data[generator.randrange(reach)] = generator.randrange(256)
        path = tmp_path / f"{round_}{suffix}"
        path.write_bytes(data)
        monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
        with pytest.raises(WeightsError, match="cannot be used: "):
            load_resnet18()
    assert capfd.readouterr() == ("", "")


def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, monkeypatch):
    for path in (tmp_path / "nowhere.pth", tmp_path):
        monkeypatch.setenv("COURSEAI_WEIGHTS", str(path))
        with pytest.raises(WeightsError, match="there is no such file. Let it name"):
            load_resnet18()


# The device, the names


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [
        (True, True, "cuda"),
        (True, False, "cuda"),
        (False, True, "mps"),
        (False, False, "cpu"),
    ],
)
def test_the_device_is_the_fastest_there_is(
    cuda: bool, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device() == torch.device(expected)


def test_the_class_names_are_imagenets_in_its_order():
    names = class_names()
    assert len(names) == 1000
    assert names[0] == "tench"
    assert names[207] == "golden retriever"
    assert names[999] == "toilet tissue"
    names.clear()
    assert len(class_names()) == 1000


# Predictions


class Scores(torch.nn.Module):
    """Answers every image with the same class scores, in eval mode only."""

    def __init__(self, scores: list[float]):
        super().__init__()
        self.scores = torch.nn.Parameter(torch.tensor([scores]))
        self.inner = torch.nn.Dropout()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.training or self.inner.training:
            raise RuntimeError("asked in train mode")
        return self.scores * 1


IMAGE = torch.zeros(1, 3, 8, 8)


def test_predictions_are_sorted_probabilities_with_names():
    scores = torch.zeros(1000)
    scores[281], scores[817] = 9.0, 8.0
    first, second = predict_top_k(Scores(scores.tolist()), IMAGE, k=2)
    # e^9 and e^8 among 998 times e^0
    total = torch.e**9 + torch.e**8 + 998
    assert first == ("tabby", pytest.approx(torch.e**9 / total, rel=1e-5), 281)
    assert second == ("sports car", pytest.approx(torch.e**8 / total, rel=1e-5), 817)
    assert isinstance(first, Prediction)
    assert [type(value) for value in first] == [str, float, int]


def test_five_predictions_are_the_default_and_all_sum_to_one():
    model = Scores(torch.linspace(-3, 3, 1000).tolist())
    assert [p.class_index for p in predict_top_k(model, IMAGE)] == list(
        range(999, 994, -1)
    )
    everything = predict_top_k(model, IMAGE, k=1000)
    assert sum(p.probability for p in everything) == pytest.approx(1, abs=1e-4)


def test_classes_of_another_classifier_are_numbered():
    predictions = predict_top_k(Scores([0.0, 5.0, 1.0]), IMAGE, k=3)
    assert [p.label for p in predictions] == ["class 1", "class 2", "class 0"]


def test_the_model_is_left_in_its_modes_with_no_gradients():
    model = Scores([1.0, 2.0]).train()
    model.inner.eval()
    predict_top_k(model, IMAGE, k=1)
    assert (model.training, model.inner.training) == (True, False)
    assert model.scores.grad is None
    with pytest.raises(ValueError, match="k is 3"):
        predict_top_k(model, IMAGE, k=3)
    assert (model.training, model.inner.training) == (True, False)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (torch.zeros(3, 8, 8), r"got shape \[3, 8, 8\].*img_tensor\[None\]"),
        (torch.zeros(2, 3, 8, 8), r"one image.*got shape \[2, 3, 8, 8\]"),
        (torch.zeros(1, 1, 8, 8), r"got shape \[1, 1, 8, 8\]"),
        (torch.zeros(1, 3, 8, 8, device="meta"), r"on meta, the model on cpu. Move"),
        (torch.zeros(1, 3, 8, 8).double(), "torch.float64, the model torch.float32"),
        ("cat.jpg", r"got a str\. preprocess\(photo\)"),
    ],
)
def test_a_wrong_image_is_refused_with_advice(image: object, message: str):
    with pytest.raises(ValueError, match=message):
        predict_top_k(Scores([1.0, 2.0]), image, k=1)


@pytest.mark.parametrize("k", [0, 3, -1, 1.5, "5"])
def test_an_impossible_number_of_predictions_is_refused(k: object):
    with pytest.raises(ValueError, match="whole number from 1 to 2, the number of"):
        predict_top_k(Scores([1.0, 2.0]), IMAGE, k=k)


def test_what_is_no_classifier_is_refused():
    with pytest.raises(ValueError, match=r"shape \[1, 3, 8, 8\], not class scores"):
        predict_top_k(torch.nn.Identity(), IMAGE)
