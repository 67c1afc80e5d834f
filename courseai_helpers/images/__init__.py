"""Photos of the lessons: a gallery with licenses, loading, preprocessing.

A photo is a PIL image until `preprocess` makes of it what ImageNet networks expect.
What was downloaded once is kept, and is used again only if it is still the same.
"""

from courseai_helpers.images.decoding import ImageError, load_image
from courseai_helpers.images.gallery import GALLERY
from courseai_helpers.images.photos import (
    gallery_names,
    load_image_from_url,
    load_photo,
    load_photos,
)
from courseai_helpers.images.preprocessing import (
    crop_seen,
    join_crops,
    preprocess,
    preprocess_crop,
)

__all__ = [
    "GALLERY",
    "ImageError",
    "crop_seen",
    "gallery_names",
    "join_crops",
    "load_image",
    "load_image_from_url",
    "load_photo",
    "load_photos",
    "preprocess",
    "preprocess_crop",
]
