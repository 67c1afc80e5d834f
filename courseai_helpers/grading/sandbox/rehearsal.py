"""Computes ahead what every submission of the lesson asks for.

The given cells of the notebook ask for the features of the laboratory's scenes and for
the other methods' heatmaps, whatever the student wrote. The process that forks kernels
computes them once; its children find them in memory, see `_common/cache.py`. There is
nothing secret in them: they are what the student's own JupyterLab shows.
"""

import torch

from courseai_helpers.explain.methods import compute_other_heatmaps
from courseai_helpers.explain.metrics import make_random_heatmaps, score_heatmap
from courseai_helpers.explain.shortcut import compute_features, make_scenes
from courseai_helpers.images.photos import load_photo
from courseai_helpers.images.preprocessing import CROP, preprocess
from courseai_helpers.models import embedded

# As the notebook asks for them: kind, count and seed. A test notices a difference.
SCENES = (
    ("biased", 16, 1),
    ("balanced", 16, 1),
    ("biased", 8, 2),
    ("swapped", 8, 2),
)
PHOTOS = ("motorcycle", "coffee", "rocket")


def rehearse() -> None:
    """Leaves in memory what the sandboxed lesson will ask for, and its network.

    In a sandbox the network is the stand-in: there are no other weights.
    """
    model = embedded.load_stand_in()
    for kind, count, seed in SCENES:
        compute_features(model, make_scenes(kind, count, seed=seed))
    maps = make_random_heatmaps(3, (CROP, CROP))
    for name in PHOTOS:
        image = preprocess(load_photo(name))
        with torch.no_grad():
            target_class = int(model(image).argmax())
        others = {}
        if name == PHOTOS[0]:
            others = compute_other_heatmaps(model, image, target_class)
        for heatmap in (*maps, *others.values()):
            score_heatmap(model, image, heatmap, target_class)
    embedded.keep_spare()
