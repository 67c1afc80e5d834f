"""Puts solutions together from independent choices: how to catch, to pool, to clean up.

Nobody says here which of them are right: the oracle does. Among the choices of a step
are some that students make and should not, so that wrong work comes about as well.
"""

import random
import string
from collections.abc import Iterator

CAPTURE = """
import contextlib
import copy
import functools


def capture_activations(model, img_tensor, layer_names):
    activations = {}
$find
$hook
$run
    return activations
"""
FIND = {
    "get_submodule": "    find = model.get_submodule",
    "named modules": "    find = dict(model.named_modules()).__getitem__",
    "step by step": """
    def find(name):
        layer = model
        for part in name.split("."):
            layer = getattr(layer, part)
        return layer
""",
    "reduce": """
    def find(name):
        return functools.reduce(getattr, name.split("."), model)
""",
    "the first part of the name": """
    def find(name):
        return getattr(model, name.split(".")[0])
""",
}
KEEP = {
    "detach, clone, cpu": "output.detach().clone().cpu()",
    "cpu, then clone": "output.detach().cpu().clone()",
    "data": "output.data.clone().to('cpu')",
    "clone, then detach": "output.clone().detach().cpu()",
    "deep copy": "copy.deepcopy(output.detach().cpu())",
    "times one": "output.detach().cpu() * 1.0",
    "no copy": "output.detach().cpu()",
    "no detach": "output.clone().cpu()",
    "not on the CPU": "output.detach().clone()",
    "the input": "inputs[0].detach().clone().cpu()",
}
HOOK = {
    "closure": """
    def make_hook(name):
        def hook(module, inputs, output):
            activations[name] = $keep
        return hook
""",
    "partial": """
    def hook_for(name, module, inputs, output):
        activations[name] = $keep

    def make_hook(name):
        return functools.partial(hook_for, name)
""",
    "lambda": """
    def make_hook(name):
        return lambda module, inputs, output: activations.update({name: $keep})
""",
    "class": """
    class Hook:
        def __init__(self, name):
            self.name = name

        def __call__(self, module, inputs, output):
            activations[self.name] = $keep

    make_hook = Hook
""",
    "setdefault": """
    def make_hook(name):
        def hook(module, inputs, output):
            activations.setdefault(name, $keep)
        return hook
""",
    "returns what it keeps": """
    def make_hook(name):
        def hook(module, inputs, output):
            activations[name] = $keep
            return activations[name]
        return hook
""",
    "scales what goes on": """
    def make_hook(name):
        def hook(module, inputs, output):
            activations[name] = $keep
            return output / output.abs().max()
        return hook
""",
}
RUN = {
    "finally": """
    handles = []
    try:
        for name in layer_names:
            handles.append(find(name).register_forward_hook(make_hook(name)))
        with $grad:
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
""",
    "exit stack": """
    with contextlib.ExitStack() as stack:
        for name in layer_names:
            handle = find(name).register_forward_hook(make_hook(name))
            stack.callback(handle.remove)
        with $grad:
            model(img_tensor)
""",
    "handles are contexts": """
    with contextlib.ExitStack() as stack, $grad:
        for name in layer_names:
            layer = find(name)
            stack.enter_context(layer.register_forward_hook(make_hook(name)))
        model.forward(img_tensor)
""",
    "except and raise": """
    handles = [
        find(name).register_forward_hook(make_hook(name)) for name in layer_names
    ]
    try:
        with $grad:
            model(img_tensor)
    except BaseException:
        for handle in handles:
            handle.remove()
        raise
    for handle in handles:
        handle.remove()
""",
    "after success only": """
    handles = [
        find(name).register_forward_hook(make_hook(name)) for name in layer_names
    ]
    with $grad:
        model(img_tensor)
    for handle in handles:
        handle.remove()
""",
    "after some exceptions": """
    handles = [
        find(name).register_forward_hook(make_hook(name)) for name in layer_names
    ]
    try:
        with $grad:
            model(img_tensor)
    except RuntimeError:
        for handle in handles:
            handle.remove()
        raise
    for handle in handles:
        handle.remove()
""",
    "a pass for each name": """
    for name in layer_names:
        handle = find(name).register_forward_hook(make_hook(name))
        try:
            with $grad:
                model(img_tensor)
        finally:
            handle.remove()
""",
    "names in the order of the pass": """
    outputs = []
    handles = []
    keep = make_hook("output")

    def collect(module, inputs, output):
        keep(module, inputs, output)
        outputs.append(activations.pop("output"))

    try:
        for name in layer_names:
            handles.append(find(name).register_forward_hook(collect))
        with $grad:
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    activations.update(zip(layer_names, outputs))
""",
}
GRAD = {
    "no_grad": "torch.no_grad()",
    "inference": "torch.inference_mode()",
    "set": "torch.set_grad_enabled(False)",
    "nothing": "contextlib.nullcontext()",
}

GRAD_CAM = """
import contextlib

import torchvision.transforms.functional as TF


def grad_cam(model, img_tensor, target_class=None):
    kept = {}
$catch
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    handles = register()
    try:
        with torch.enable_grad():
            image = $image
            scores = model(image)
            if target_class is None:
                target_class = $best
            score = $score
$back
    finally:
        for handle in handles:
            handle.remove()
$modes
    alpha = $pool
    heat = $weigh
    heat = $rectify
    heat = heat.detach().cpu()
    heat = $enlarge
$scale
    return $result
"""
CATCH = {
    "autograd.grad": (
        """
    def hook(module, inputs, output):
        kept["activations"] = output

    def register():
        return [model.layer4.register_forward_hook(hook)]
""",
        """
            (gradients,) = torch.autograd.grad(score, kept["activations"])
            activations = kept["activations"].detach()
""",
    ),
    "retain_grad": (
        """
    def hook(module, inputs, output):
        output.retain_grad()
        kept["activations"] = output

    def register():
        return [model.layer4.register_forward_hook(hook)]
""",
        """
            score.backward()
            gradients = kept["activations"].grad
            activations = kept["activations"].detach()
""",
    ),
    "a hook on the tensor": (
        """
    def hook(module, inputs, output):
        kept["activations"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    def register():
        return [model.layer4.register_forward_hook(hook)]
""",
        """
            score.backward()
            gradients, activations = kept["gradients"], kept["activations"]
""",
    ),
    "a full backward hook": (
        """
    def hook(module, inputs, output):
        kept["activations"] = output.detach()

    def back(module, before, after):
        kept["gradients"] = after[0].detach()

    def register():
        return [
            model.layer4.register_forward_hook(hook),
            model.layer4.register_full_backward_hook(back),
        ]
""",
        """
            score.backward()
            gradients, activations = kept["gradients"], kept["activations"]
""",
    ),
    "cut at layer4": (
        """
    def hook(module, inputs, output):
        kept["activations"] = output.detach().clone().requires_grad_()
        return kept["activations"].clone()

    def register():
        return [model.layer4.register_forward_hook(hook)]
""",
        """
            (gradients,) = torch.autograd.grad(score, kept["activations"])
            activations = kept["activations"].detach()
""",
    ),
    "the gradient of what goes in": (
        """
    def hook(module, inputs, output):
        kept["activations"] = output.detach()

    def back(module, before, after):
        kept["gradients"] = before[0].detach()

    def register():
        return [
            model.layer4.register_forward_hook(hook),
            model.layer4.register_full_backward_hook(back),
        ]
""",
        """
            score.backward()
            gradients, activations = kept["gradients"], kept["activations"]
""",
    ),
}
CHOICES = {
    "image": {
        "requires gradients": "img_tensor.detach().clone().requires_grad_()",
        "times one": "(img_tensor * 1.0).requires_grad_()",
        "as it is": "img_tensor",
    },
    "best": {
        "argmax": "int(scores[0].argmax())",
        "item": "scores.argmax(dim=1).item()",
        "topk": "scores.topk(1).indices.item()",
        "max": "int(scores.max(dim=1)[1])",
        "a tensor": "scores[0].argmax()",
        "the least": "int(scores[0].argmin())",
    },
    "score": {
        "index": "scores[0, target_class]",
        "sum over the batch": "scores[:, target_class].sum()",
        "one hot": "(scores * F.one_hot(torch.tensor(target_class), "
        "scores.shape[1])).sum()",
        "select": "scores.select(1, target_class).squeeze()",
        "probability": "scores.softmax(dim=1)[0, target_class]",
        "logarithm": "scores.log_softmax(dim=1)[0, target_class]",
        "maximum": "scores.max()",
    },
    "modes": {
        "each": """
        for module, training in modes:
            module.training = training
""",
        "train(False) of each": """
        for module, training in reversed(modes):
            module.train(training) if not list(module.children()) else None
            module.training = training
""",
        "the whole": """
        model.train(modes[0][1])
""",
        "never": """
        pass
""",
    },
    "pool": {
        "mean": "gradients.mean(dim=(2, 3), keepdim=True)",
        "sum": "gradients.sum(dim=(2, 3), keepdim=True)",
        "flatten": "gradients.flatten(2).mean(dim=2)[..., None, None]",
        "adaptive": "F.adaptive_avg_pool2d(gradients, 1)",
        "einsum": "torch.einsum('bkxy->bk', gradients)[:, :, None, None]",
        "maximum": "gradients.amax(dim=(2, 3), keepdim=True)",
        "rows only": "gradients.mean(dim=2, keepdim=True)",
        "not at all": "gradients",
        "size": "gradients.abs().mean(dim=(2, 3), keepdim=True)",
    },
    "weigh": {
        "sum": "(alpha * activations).sum(dim=1, keepdim=True)",
        "mean": "(alpha * activations).mean(dim=1, keepdim=True)",
        "einsum": "torch.einsum('bkij,bkxy->bxy', alpha[..., :1, :1], activations)"
        "[:, None]",
        "convolution": "F.conv2d(activations, alpha[:, :, :1, :1])",
        "maximum": "(alpha * activations).amax(dim=1, keepdim=True)",
        "activations alone": "activations.sum(dim=1, keepdim=True)",
    },
    "rectify": {
        "relu": "F.relu(heat)",
        "clamp": "heat.clamp(min=0)",
        "where": "torch.where(heat > 0, heat, 0.0)",
        "times": "heat * (heat > 0)",
        "size": "heat.abs()",
        "not at all": "heat",
    },
    "enlarge": {
        "interpolate": "F.interpolate(heat, size=img_tensor.shape[-2:], "
        "mode='bilinear', align_corners=False)[0, 0]",
        "default corners": "F.interpolate(heat, img_tensor.shape[2:], mode='bilinear')"
        "[0, 0]",
        "Upsample": "nn.Upsample(tuple(img_tensor.shape[-2:]), mode='bilinear')(heat)"
        "[0, 0]",
        "torchvision": "TF.resize(heat, list(img_tensor.shape[-2:]), antialias=False)"
        "[0, 0]",
        "corners aligned": "F.interpolate(heat, size=img_tensor.shape[-2:], "
        "mode='bilinear', align_corners=True)[0, 0]",
        "nearest": "F.interpolate(heat, size=img_tensor.shape[-2:])[0, 0]",
        "bicubic": "F.interpolate(heat, size=img_tensor.shape[-2:], mode='bicubic')"
        "[0, 0]",
        "224": "F.interpolate(heat, size=(224, 224), mode='bilinear')[0, 0]",
    },
    "scale": {
        "if": """
    if heat.max() > 0:
        heat = heat / heat.max()
""",
        "clamp": """
    heat = heat / heat.max().clamp(min=1e-12)
""",
        "tiny": """
    heat = heat / (heat.max() + 1e-8)
""",
        "nan_to_num": """
    heat = torch.nan_to_num(heat / heat.max(), nan=0.0)
""",
        "or": """
    heat = heat / (heat.max().item() or 1)
""",
        "not for zeros": """
    heat = heat / heat.max()
""",
        "minimum, too": """
    heat = (heat - heat.min()) / (heat.max() - heat.min() + 1e-8)
""",
        "sum": """
    heat = heat / (heat.sum() + 1e-8)
""",
    },
    "result": {
        "numpy": "heat.numpy(), target_class",
        "asarray": "np.asarray(heat), int(target_class)",
        "float64": "heat.double().numpy(), target_class",
        "a tensor": "heat, target_class",
        "alone": "heat.numpy()",
    },
}
# How many of the choices of a step are right in every place, as its list begins.
USUAL = {
    **{"find": 4, "keep": 6, "hook": 5, "run": 4, "grad": 3},
    **{"catch": 5, "image": 2, "best": 4, "score": 4, "modes": 2, "pool": 5},
    **{"weigh": 4, "rectify": 4, "enlarge": 4, "scale": 5, "result": 3},
}


def compose(exercise: str, count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Draws different solutions: most of usual choices only, a third with odd ones.

    Args:
        exercise: "capture_activations" or "grad_cam".
        count: How many.
        seed: What the draw depends on.

    Yields:
        What was chosen, and the code.
    """
    random_ = random.Random(seed)
    seen = set()
    while len(seen) < count:
        odd = random_.random() < 1 / 3
        titles, parts = choose(exercise, random_, odd)
        title = "; ".join(f"{step}: {name}" for step, name in titles.items())
        if title not in seen:
            seen.add(title)
            yield title, fill(exercise, parts)


def choose(exercise: str, random_: random.Random, odd: bool) -> tuple[dict, dict]:
    """Chooses for each step; returns the names of the choices, and their code."""
    capture = {"find": FIND, "keep": KEEP, "hook": HOOK, "run": RUN, "grad": GRAD}
    steps = capture if exercise == "capture_activations" else {"catch": CATCH} | CHOICES
    strange = random_.sample(list(steps), 2) if odd else []
    names = {}
    for step, options in steps.items():
        listed = list(options)
        names[step] = random_.choice(
            listed if step in strange else listed[: USUAL[step]]
        )
    return names, {step: options[names[step]] for step, options in steps.items()}


def fill(exercise: str, parts: dict) -> str:
    """Puts the chosen parts into their places."""
    if exercise == "grad_cam":
        catch, back = parts["catch"]
        parts = parts | {"catch": catch, "back": back}
        frame = GRAD_CAM
    else:
        frame = CAPTURE
        parts = parts | {
            name: string.Template(parts[name]).safe_substitute(parts)
            for name in ("hook", "run")
        }
    return string.Template(frame).substitute(parts)
