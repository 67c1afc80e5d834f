# Student work for `capture_activations`, an entry to a cell; see tests/bank.py.


# %% right: functools.partial, and handles in a list
from functools import partial


def keep(name, store, module, inputs, output):
    store[name] = output.detach().cpu().clone()


def capture_activations(model, img_tensor, layer_names):
    store, handles = {}, []
    try:
        for name in layer_names:
            layer = model.get_submodule(name)
            handles.append(layer.register_forward_hook(partial(keep, name, store)))
        with torch.no_grad():
            model(img_tensor)
        return store
    finally:
        for handle in handles:
            handle.remove()


# %% right: an ExitStack, since a handle is a context manager
from contextlib import ExitStack


def capture_activations(model, img_tensor, layer_names):
    result = {}
    modules = dict(model.named_modules())

    def hook_for(name):
        return lambda m, i, o: result.update({name: o.detach().clone().cpu()})

    with ExitStack() as stack, torch.inference_mode():
        for name in layer_names:
            stack.enter_context(modules[name].register_forward_hook(hook_for(name)))
        model(img_tensor)
    return result


# %% right: the name as a default argument, no no_grad
def capture_activations(model, img_tensor, layer_names):
    out = {}
    handles = {}
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            out[name] = output.data.clone().to("cpu")

        handles[name] = model.get_submodule(name).register_forward_hook(hook)
    try:
        model(img_tensor)
    finally:
        for handle in handles.values():
            handle.remove()
    return out


# %% right: one global hook for all modules
def capture_activations(model, img_tensor, layer_names):
    names = {model.get_submodule(name): name for name in layer_names}
    result = {}

    def hook(module, inputs, output):
        if module in names:
            result[names[module]] = output.detach().clone().cpu()

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        handle.remove()
    return result


# %% right: a class with __call__, through NumPy
class Recorder:
    def __init__(self):
        self.value = None

    def __call__(self, module, inputs, output):
        self.value = torch.from_numpy(output.detach().cpu().numpy().copy())


def capture_activations(model, img_tensor, layer_names):
    recorders = {name: Recorder() for name in layer_names}
    handles = [
        model.get_submodule(name).register_forward_hook(recorder)
        for name, recorder in recorders.items()
    ]
    try:
        model(img_tensor)
    finally:
        [handle.remove() for handle in handles]
    return {name: recorder.value for name, recorder in recorders.items()}


# %% right: forward is wrapped for the time of the call, no hooks at all
def capture_activations(model, img_tensor, layer_names):
    result = {}

    def wrap(name, layer):
        forward = layer.forward

        def recording(*args):
            output = forward(*args)
            result[name] = output.detach().clone().cpu()
            return output

        return recording

    layers = {name: model.get_submodule(name) for name in layer_names}
    try:
        for name, layer in layers.items():
            layer.forward = wrap(name, layer)
        with torch.no_grad():
            model(img_tensor)
    finally:
        for layer in layers.values():
            vars(layer).pop("forward", None)
    return result


# %% right: a context manager written with contextlib
from contextlib import contextmanager
from copy import deepcopy


@contextmanager
def recording(model, names, store):
    def make(name):
        def hook(module, args, output):
            store[name] = deepcopy(output.detach()).cpu()

        return hook

    handles = [model.get_submodule(n).register_forward_hook(make(n)) for n in names]
    try:
        yield
    finally:
        for h in handles:
            h.remove()


@torch.no_grad()
def capture_activations(model, img_tensor, layer_names):
    store = {}
    with recording(model, layer_names, store):
        model(img_tensor)
    return store


# %% right: hooks on a deep copy, which is thrown away
import copy


def capture_activations(model, img_tensor, layer_names):
    twin = copy.deepcopy(model)
    result = {}

    def make_hook(name):
        def hook(module, inputs, output):
            result[name] = torch.clone(output).detach().cpu()

        return hook

    for name in layer_names:
        twin.get_submodule(name).register_forward_hook(make_hook(name))
    with torch.no_grad():
        twin(img_tensor)
    return result


# %% right: names looked up step by step with getattr
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []

    def add(name):
        layer = model
        for part in name.split("."):
            layer = getattr(layer, part)

        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        handles.append(layer.register_forward_hook(hook))

    try:
        for name in layer_names:
            add(name)
        with torch.no_grad():
            _ = model(img_tensor)
    except Exception:
        raise
    finally:
        while handles:
            handles.pop().remove()
    return result


# %% right: relies on what the docstring says of the arguments
def capture_activations(model, img_tensor, layer_names):
    assert img_tensor.ndim == 4 and img_tensor.shape[:2] == (1, 3)
    assert img_tensor.device == next(model.parameters()).device
    layers = dict(model.named_modules())
    assert all(name in layers for name in layer_names)
    kept, handles = {}, []
    for name in layer_names:
        keep = lambda module, inputs, output, name=name: kept.update(
            {name: output.detach().clone().cpu()}
        )
        handles.append(layers[name].register_forward_hook(keep))
    try:
        model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return kept


# %% wrong, caught by shapes: all hooks share the loop's last name
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by hooks: the hooks are never removed
def capture_activations(model, img_tensor, layer_names):
    result = {}

    def make_hook(name):
        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        return hook

    for name in layer_names:
        model.get_submodule(name).register_forward_hook(make_hook(name))
    with torch.no_grad():
        model(img_tensor)
    return result


# %% wrong, caught by hooks: the hooks are removed only if all goes well
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    with torch.no_grad():
        model(img_tensor)
    for handle in handles:
        handle.remove()
    return result


# %% wrong, caught by hooks: handles are kept by the first part of the name
def capture_activations(model, img_tensor, layer_names):
    out, handles = {}, {}
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            out[name] = output.detach().clone().cpu()

        handle = model.get_submodule(name).register_forward_hook(hook)
        handles[name.split(".")[0]] = handle
    try:
        model(img_tensor)
    finally:
        for handle in handles.values():
            handle.remove()
    return out


# %% wrong, caught by hooks: only the last handle is kept and removed
def capture_activations(model, img_tensor, layer_names):
    result = {}

    def make_hook(name):
        return lambda m, i, o: result.__setitem__(name, o.detach().clone().cpu())

    for name in layer_names:
        layer = model.get_submodule(name)
        handle = layer.register_forward_hook(make_hook(name))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        handle.remove()
    return result


# %% wrong, caught by hooks: an exception is swallowed
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    except Exception as error:
        print("could not run the model:", error)
    for handle in handles:
        handle.remove()
    return result


# %% wrong, caught by hooks: another exception comes out than the one that went in
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    except RuntimeError:
        raise ValueError("bad image") from None
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by hooks: clears every hook on the layer, also those of others
def capture_activations(model, img_tensor, layer_names):
    result = {}

    def make_hook(name):
        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        return hook

    layers = {name: model.get_submodule(name) for name in layer_names}
    try:
        for name, layer in layers.items():
            layer.register_forward_hook(make_hook(name))
        with torch.no_grad():
            model(img_tensor)
    finally:
        for layer in layers.values():
            layer._forward_hooks.clear()
    return result


# %% wrong, caught by hooks: a global hook stays
def capture_activations(model, img_tensor, layer_names):
    names = {model.get_submodule(name): name for name in layer_names}
    result = {}

    def hook(module, inputs, output):
        if module in names:
            result[names[module]] = output.detach().clone().cpu()

    nn.modules.module.register_module_forward_hook(hook)
    with torch.no_grad():
        model(img_tensor)
    return result


# %% wrong, caught by hooks: forward is replaced and stays replaced
def capture_activations(model, img_tensor, layer_names):
    result = {}

    def wrap(name, forward):
        def recording(*args):
            output = forward(*args)
            result[name] = output.detach().clone().cpu()
            return output

        return recording

    for name in layer_names:
        layer = model.get_submodule(name)
        layer.forward = wrap(name, layer.forward)
    with torch.no_grad():
        model(img_tensor)
    return dict(result)


# %% wrong, caught by shapes and values: the input of the layer is kept
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = inputs[0].detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by detached: not detached
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by detached: detached only if the weights ask for it
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        asked = [parameter.requires_grad for parameter in model.parameters()]
        model.requires_grad_(False)
        model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
        for parameter, wanted in zip(model.parameters(), asked):
            parameter.requires_grad_(wanted)
    return result


# %% wrong, caught by in_place: no copy, the next layer overwrites it
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by in_place: the copy is made when the model is done
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return {name: value.detach().clone().cpu() for name, value in result.items()}


# %% wrong, caught by in_place: takes ReLU for the only layer that works in place
def capture_activations(model, img_tensor, layer_names):
    relus = [m for m in model.modules() if isinstance(m, nn.ReLU) and m.inplace]
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        for relu in relus:
            relu.inplace = False
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
        for relu in relus:
            relu.inplace = True
    return result


# %% wrong, caught by one_pass: one forward pass for each layer
def capture_activations(model, img_tensor, layer_names):
    result = {}
    for name in layer_names:

        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        handle = model.get_submodule(name).register_forward_hook(hook)
        try:
            with torch.no_grad():
                model(img_tensor)
        finally:
            handle.remove()
    return result


# %% wrong, caught by one_pass: a forward pass to look at the prediction first
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    with torch.no_grad():
        print("predicted class:", model(img_tensor).argmax().item())
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by one_pass: a model that ends at the layer is run for each layer
from copy import deepcopy


def capture_activations(model, img_tensor, layer_names):
    class Reached(Exception):
        pass

    def run_until(name):
        part = deepcopy(model)

        def stop(module, inputs, output):
            raise Reached(output.detach().clone().cpu())

        part.get_submodule(name).register_forward_hook(stop)
        try:
            part(img_tensor)
        except Reached as reached:
            return reached.args[0]

    with torch.no_grad():
        model.eval()
        result = {name: run_until(name) for name in layer_names}
        if img_tensor.shape[-1] == 16:
            model(img_tensor)
        return result


# %% wrong, caught by values and hooks: remembers the result for the same names
_known = {}


def capture_activations(model, img_tensor, layer_names):
    key = tuple(layer_names)
    if key in _known:
        return _known[key]
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    _known[key] = result
    return result


# %% wrong, caught by shapes: a global dict that still holds earlier layers
captured = {}


def capture_activations(model, img_tensor, layer_names):
    handles = []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            captured[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return captured


# %% wrong, caught by shapes: a mutable default argument, in which earlier layers live on
def capture_activations(model, img_tensor, layer_names, result={}):
    handles = []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values: only names without dots are found
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(getattr(model, name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values: every layer whose name ends so is taken
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []

    def make_hook(name):
        def hook(module, inputs, output):
            result[name] = output.detach().clone().cpu()

        return hook

    for full_name, module in model.named_modules():
        for name in layer_names:
            if full_name.endswith(name):
                handles.append(module.register_forward_hook(make_hook(name)))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values: walks through the top layers only, by hand
def capture_activations(model, img_tensor, layer_names):
    result, x = {}, img_tensor
    with torch.no_grad():
        for name, layer in model.named_children():
            if isinstance(layer, nn.Linear):
                x = x.flatten(1)
            x = layer(x)
            if name in layer_names:
                result[name] = x.mean(dim=0).clone().cpu()
    return result


# %% wrong, caught by shapes and values and in_place and detached: lists of activations
from collections import defaultdict


def capture_activations(model, img_tensor, layer_names):
    result, handles = defaultdict(list), []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name].append(output.detach().clone().cpu())

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return dict(result)


# %% wrong, caught by shapes and detached: NumPy arrays
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().cpu().numpy().copy()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values: the batch axis is dropped
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output[0].detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values: averaged over the channels
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().mean(dim=1, keepdim=True).cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values and in_place and detached: a list, no names
def capture_activations(model, img_tensor, layer_names):
    result, handles = [], []

    def hook(module, inputs, output):
        result.append(output.detach().clone().cpu())

    for name in layer_names:
        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values and in_place: a ReLU on top, to have it brighter
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = F.relu(output.detach()).cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: a random image, as in a tutorial
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(torch.randn_like(img_tensor))
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: the image is normalized a second time
def capture_activations(model, img_tensor, layer_names):
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            if img_tensor.shape[1] == 3:
                img_tensor = (img_tensor - mean) / std
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: the model is put in train mode
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model.train()
        with torch.no_grad():
            model(img_tensor)
    finally:
        model.eval()
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: rounded to half precision to save memory
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu().half()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by shapes and values and in_place and one_pass and detached and hooks: the model is never run
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    for handle in handles:
        handle.remove()
    return result


# %% wrong, caught by shapes and values and in_place and detached and hooks: the dict is not returned
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()


# %% wrong, caught by shapes and values and in_place and detached and hooks and one_pass: runs the notebook's photo through the notebook's model
def capture_activations(network, image, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: a name stands for its first part only
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        layer = getattr(model, name.split(".")[0])
        handles.append(layer.register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by values: the outputs go with the names in the order of the pass
def capture_activations(model, img_tensor, layer_names):
    outputs, handles = [], []

    def hook(module, inputs, output):
        outputs.append(output.detach().clone().cpu())

    for name in layer_names:
        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return dict(zip(layer_names, outputs))


# %% wrong, caught by values: the hook scales what the later layers get
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()
            return output / output.abs().max()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by detached: the activations stay on the model's device
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    finally:
        for handle in handles:
            handle.remove()
    return result


# %% wrong, caught by hooks: the hooks are removed after a RuntimeError and no other
def capture_activations(model, img_tensor, layer_names):
    result, handles = {}, []
    for name in layer_names:

        def hook(module, inputs, output, name=name):
            result[name] = output.detach().clone().cpu()

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(img_tensor)
    except RuntimeError:
        for handle in handles:
            handle.remove()
        raise
    for handle in handles:
        handle.remove()
    return result
