"""Prepares photos for networks that were trained on ImageNet."""

import torch
from PIL import Image
from torchvision.transforms import functional

from courseai_helpers.images.decoding import ImageError, to_rgb

RESIZE = 256
CROP = 224
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MAX_RATIO = 50


def crop_seen(image: Image.Image) -> Image.Image:
    """Returns the part of a photo that the network sees.

    The shorter side is scaled to 256 pixels, then the center is cut out, just as
    `preprocess` does it. A heatmap lies over this crop, not over the whole photo.

    Args:
        image: A photo of any mode and size, not thinner than 1:50.

    Returns:
        RGB image, 224x224 pixels.

    Raises:
        ImageError: If it is not such a photo.
    """
    picture = to_rgb(image)
    if max(picture.size) > MAX_RATIO * min(picture.size):
        raise ImageError(
            f"The picture is {picture.width}x{picture.height} pixels, a mere strip. "
            f"Take one that is less than {MAX_RATIO} times as long as it is wide."
        )
    return functional.center_crop(functional.resize(picture, RESIZE), CROP)


def join_crops(left: Image.Image, right: Image.Image) -> Image.Image:
    """Puts the crops of two photos side by side: one picture with two things in it.

    Args:
        left: A photo of any mode and size, not thinner than 1:50.
        right: Another one.

    Returns:
        RGB image, 448 pixels wide and 224 high: `crop_seen` of both. Prepare it with
        `preprocess_crop`, which cuts nothing off.

    Raises:
        ImageError: If one of them is not such a photo.
    """
    both = Image.new("RGB", (2 * CROP, CROP))
    both.paste(crop_seen(left), (0, 0))
    both.paste(crop_seen(right), (CROP, 0))
    return both


def preprocess(image: Image.Image) -> torch.Tensor:
    """Turns a photo into the input of a network trained on ImageNet.

    Args:
        image: A photo of any mode and size, not thinner than 1:50.

    Returns:
        float32 tensor [1, 3, 224, 224]: the pixels of `crop_seen(image)` in [0, 1],
        minus ImageNet's mean of each channel, divided by its standard deviation.

    Raises:
        ImageError: If it is not such a photo.

    Source: the transforms of torchvision's `ResNet18_Weights.IMAGENET1K_V1`.
    """
    return preprocess_crop(crop_seen(image))[None]


def preprocess_crop(crop: Image.Image) -> torch.Tensor:
    """Scales the colors of a crop as `preprocess` does.

    Args:
        crop: RGB image of any size, 224x224 as a rule.

    Returns:
        float32 tensor [3, H, W].
    """
    return functional.normalize(functional.to_tensor(crop), MEAN, STD)
