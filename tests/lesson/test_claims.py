"""What the lesson says about its pictures and numbers, computed.

Each test names the cell that makes the claim. The claims hold for the embedded network
and, where one can be wrapped, for a network that knows ImageNet well. Those about the
shortcut laboratory are in `test_shortcut.py`.
"""

import numpy as np
import pytest
import torch
from networks import load_imagenet_network

from courseai_helpers.explain import (
    compute_other_heatmaps,
    correlate_ranks,
    make_random_heatmaps,
    randomize_layers,
    score_heatmaps,
)
from courseai_helpers.images import (
    join_crops,
    load_photo,
    preprocess,
    preprocess_crop,
)
from courseai_helpers.models import (
    class_names,
    load_stand_in,
    predict_top_k,
    watch_layer,
)
from courseai_helpers.reference.visualizing_features import (
    capture_activations,
    grad_cam,
    heat_inside,
)

CAT, ESPRESSO = 285, 967
LEFT, RIGHT = (0, 0, 224, 224), (224, 0, 448, 224)
MOTORCYCLE = (0, 48, 224, 176)  # as in the cell heat_inside_first


@pytest.fixture(scope="module", params=[load_stand_in, load_imagenet_network])
def model(request):
    return request.param()


@pytest.fixture(scope="module")
def embedded():
    return load_stand_in()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return preprocess(load_photo("motorcycle"))


def correlate(first: np.ndarray, second: np.ndarray) -> float:
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def test_setup_photo_outro_the_motorcycle_is_something_near(model, image):
    names = class_names()
    assert names[CAT] == "Egyptian cat" and names[ESPRESSO] == "espresso"
    assert "motorcycle" not in names
    assert predict_top_k(model, image, 1)[0].label in ("moped", "motor scooter")


def test_part_6_there_is_no_class_for_a_person_in_a_space_suit():
    assert not {"astronaut", "person", "space suit"} & set(class_names())


def test_show_filters_outro_a_third_of_the_filters_care_for_color(embedded):
    weights = embedded.conv1.weight.detach()
    gray = weights.mean(dim=1, keepdim=True)
    color = (weights - gray).square().sum(dim=(1, 2, 3))
    share = color / weights.square().sum(dim=(1, 2, 3))
    assert 1 / 5 < (share > 0.5).float().mean() < 1 / 2


def test_activation_grids_conv1_has_both_signs_and_later_stages_none(embedded, image):
    maps = capture_activations(embedded, image, ["conv1", "layer2", "layer4"])
    assert maps["conv1"].min() < -1 and maps["conv1"].max() > 1
    assert maps["layer2"].min() >= 0 and maps["layer4"].min() >= 0


def test_activation_grids_outro_layer4_is_mostly_dark_with_a_few_bright_cells(
    embedded, image
):
    maps = capture_activations(embedded, image, ["layer4"])["layer4"][0, :16]
    bright = (maps > maps.quantile(0.995) / 4).float().mean()
    assert 0 < bright < 0.25


def test_show_grad_cam_outro_a_cell_of_layer4_sees_435_pixels(embedded):
    # Batch norm in eval mode and convolutions: a gradient marks what a cell sees.
    image = torch.zeros(1, 3, 512, 512, requires_grad=True)
    names = {"conv1": 7, "layer1": 43, "layer2": 99, "layer3": 211, "layer4": 435}
    net = load_stand_in()
    for module in net.modules():  # nothing may be cut off, and nothing cancel out
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.constant_(module.weight, 1e-3)
    net.relu = torch.nn.Identity()
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in stage:
            block.relu = torch.nn.Identity()
    net.maxpool = torch.nn.AvgPool2d(3, 2, 1)
    x = image
    for name, stage in net.named_children():
        if name == "avgpool":
            break
        x = stage(x)
        if name in names:
            middle = x[0, 0, x.shape[2] // 2, x.shape[3] // 2]
            (seen,) = torch.autograd.grad(middle, image, retain_graph=True)
            rows = seen[0].abs().sum(dim=(0, 2)).nonzero().flatten()
            assert rows.max() - rows.min() + 1 == names[name], name


def test_cam_one_line_equals_the_heatmap(model, image):
    cam, target_class = grad_cam(model, image)
    maps = capture_activations(model, image, ["layer4"])["layer4"]
    row = model.fc.weight[target_class].detach()
    one_line = torch.einsum("k,nkhw->nhw", row, maps).relu()[None]
    one_line = torch.nn.functional.interpolate(one_line, cam.shape, mode="bilinear")
    np.testing.assert_allclose(one_line[0, 0] / one_line.max(), cam, atol=1e-6)


def test_two_things_outro_each_class_has_its_heat_on_its_own_half(model, show_table):
    photos = load_photo("cat"), load_photo("coffee")
    cams = {}
    for order in (1, -1):
        pair = preprocess_crop(join_crops(*photos[::order]))[None]
        homes = {CAT: LEFT, ESPRESSO: RIGHT}
        if order < 0:
            homes = {CAT: RIGHT, ESPRESSO: LEFT}
        for target_class, home in homes.items():
            cams[target_class], _ = grad_cam(model, pair, target_class)
            share = heat_inside(cams[target_class], home)
            show_table(f"class {target_class}: {share:.0%} of the heat at home")
            assert share >= 0.75
        alike = correlate(cams[CAT], cams[ESPRESSO])
        show_table(f"correlation of the two maps: {alike:.2f}")
        assert alike < 0.3


def test_compare_classes_outro_sister_classes_share_their_evidence(model, image):
    first, second = (p.class_index for p in predict_top_k(model, image, 2))
    cams = [grad_cam(model, image, index)[0] for index in (first, second, CAT)]
    assert correlate(cams[0], cams[1]) > 0.8
    assert correlate(cams[0], cams[2]) < 0.5


def test_heat_inside_first_the_motorcycle_has_more_than_its_share(model, image):
    cam, _ = grad_cam(model, image)
    area = heat_inside(np.ones_like(cam), MOTORCYCLE)
    assert heat_inside(cam, MOTORCYCLE) > area + 0.1


def test_explorer_outro_early_stages_know_little_about_the_class(embedded):
    pair = preprocess_crop(join_crops(load_photo("cat"), load_photo("coffee")))[None]

    def explain(layer, target_class):
        with watch_layer(embedded, layer) as watched:
            scores = embedded(pair)
            maps = watched.activations
            (gradients,) = torch.autograd.grad(scores[0, target_class], maps)
            weights = gradients.mean(dim=(2, 3), keepdim=True)
            return (weights * maps).sum(dim=1).relu().detach().numpy()

    alike = {
        layer: correlate(explain(layer, CAT), explain(layer, ESPRESSO))
        for layer in ("layer1", "layer4")
    }
    assert alike["layer4"] < 0 < alike["layer1"]


@pytest.mark.parametrize("seed", range(2))
def test_sanity_check_text_grad_cam_is_ahead_of_random_maps(model, seed, show_table):
    own, random = [], []
    maps = make_random_heatmaps(3, (224, 224), seed)
    for name in ("motorcycle", "coffee", "rocket"):
        image = preprocess(load_photo(name))
        cam, target_class = grad_cam(model, image)
        tried = {"own": [cam], "random": maps}
        scores = score_heatmaps(model, image, tried, target_class)
        own += scores["own"]
        random.append(scores["random"])
    means = np.mean(random, axis=0)
    show_table(f"seed {seed}: {np.mean(own):.2f}, random {np.round(means, 2)}")
    assert np.mean(own) > means.max()
    assert np.mean(own) - means.mean() > np.ptp(means)


def test_comparison_scores_text_the_embedded_network_is_unsure(embedded):
    image = preprocess(load_photo("coffee"))
    assert predict_top_k(embedded, image, 1)[0].probability < 0.2


def test_comparison_text_hirescam_is_the_twin(embedded, image):
    cam, target_class = grad_cam(embedded, image)
    others = compute_other_heatmaps(embedded, image, target_class)
    np.testing.assert_allclose(others["HiResCAM"], cam, atol=1e-5)
    assert np.abs(others["occlusion"] - cam).max() > 0.1


def test_sanity_check_outro_the_heatmap_does_not_stay(embedded, image, show_table):
    cam, target_class = grad_cam(embedded, image)
    similar = {"fc": [], "layer4": [], "conv1": []}
    for seed in range(5):
        for name, network in randomize_layers(embedded, seed).items():
            if name in similar:
                other, _ = grad_cam(network, image, target_class)
                similar[name].append(correlate_ranks(cam, other))
    show_table(str({name: np.round(values, 2) for name, values in similar.items()}))
    for values in similar.values():
        assert np.mean(values) < 0.6 and np.ptp(values) > 0.3
