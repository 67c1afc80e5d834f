# Student work for `grad_cam`, an entry to a cell; see tests/bank.py. Most entries are the
# lines in the place of the TODO; the rest bring their own function.


# %% right: backward() on the score, and NumPy after it
target_class = target_class if target_class is not None else scores.argmax().item()
scores[0, target_class].backward()
alpha = activations.grad[0].mean(dim=(1, 2)).numpy()
maps = activations.detach()[0].numpy()
heat = np.maximum(np.tensordot(alpha, maps, axes=1), 0)
heat = F.interpolate(
    torch.from_numpy(heat)[None, None],
    size=tuple(img_tensor.shape[2:]),
    mode="bilinear",
    align_corners=False,
)[0, 0].numpy()
cam = heat / heat.max() if heat.max() > 0 else heat

# %% right: a one-hot vector goes backward, adaptive pooling, einsum
if target_class is None:
    target_class = int(torch.argmax(scores, dim=1))
one_hot = torch.zeros_like(scores)
one_hot[0, target_class] = 1.0
scores.backward(gradient=one_hot)
weights = F.adaptive_avg_pool2d(activations.grad, 1)
heat = torch.einsum("bkij,bkxy->xy", weights, activations.detach()).clamp(min=0)
up = nn.Upsample(size=img_tensor.shape[-2:], mode="bilinear", align_corners=False)
heat = up(heat[None, None]).squeeze()
peak = heat.max().item()
cam = (heat / peak if peak > 0 else heat).numpy().astype(np.float64)

# %% right: sums in the place of means, which the scale makes equal
if target_class is None:
    target_class = scores[0].tolist().index(max(scores[0].tolist()))
grads = torch.autograd.grad(scores[0][target_class], activations)[0]
weights = grads.sum(dim=[2, 3], keepdim=True)
heat = torch.relu((weights * activations).mean(dim=1, keepdim=True))
heat = F.interpolate(heat, img_tensor.shape[2:], mode="bilinear").detach()
cam = heat.squeeze().numpy()
cam = cam / (cam.max() or 1)

# %% right: the gradients are normalized first, as the authors' code did
if target_class is None:
    target_class = scores.softmax(dim=1).argmax().item()
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
gradients = gradients / (gradients.norm() + 1e-12)
alpha = gradients.flatten(2).mean(dim=2)
heat = F.relu((alpha[..., None, None] * activations).sum(1)).unsqueeze(1)
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
heat = heat[0, 0].detach()
cam = torch.nan_to_num(heat / heat.max(), nan=0.0).numpy()

# %% right: a tiny number added to the maximum
if target_class is None:
    _, best = scores.max(dim=1)
    target_class = best.item()
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = (gradients.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True)
heat = F.interpolate(
    heat.clamp(min=0), size=img_tensor.shape[-2:], mode="bilinear", align_corners=False
)
cam = (heat / (heat.max() + 1e-8)).detach().numpy()[0, 0]

# %% right: Pillow resizes the map
from PIL import Image

if target_class is None:
    target_class = int(scores.topk(1).indices)
(gradients,) = torch.autograd.grad(scores[:, target_class].sum(), activations)
with torch.no_grad():
    heat = (gradients.mean((2, 3), keepdim=True) * activations).sum(1)[0].relu()
height, width = img_tensor.shape[-2:]
picture = Image.fromarray(heat.numpy()).resize((width, height), Image.BILINEAR)
cam = np.array(picture)
cam = cam / max(cam.max(), 1e-12)

# %% right: torchvision resizes the map
import torchvision.transforms.functional as TF

if target_class is None:
    target_class = int(scores.argmax(1)[0])
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = (gradients.mean((2, 3), keepdim=True) * activations).sum(1, keepdim=True)
heat = heat.relu().detach()
heat = TF.resize(heat, list(img_tensor.shape[-2:]), antialias=False)
cam = heat[0, 0].numpy()
if cam.max() > 0:
    cam /= cam.max()

# %% right: a loop over the channels
if target_class is None:
    target_class = int(scores[0].detach().numpy().argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = torch.zeros(activations.shape[-2:])
for channel in range(activations.shape[1]):
    heat += gradients[0, channel].mean() * activations[0, channel].detach()
heat[heat < 0] = 0
heat = F.interpolate(
    heat[None, None], size=img_tensor.shape[-2:], mode="bilinear", align_corners=False
)
cam = heat.squeeze(0).squeeze(0).numpy()
cam = np.divide(cam, cam.max(), out=np.zeros_like(cam), where=cam.max() > 0)


# %% right: relies on what the docstring says of the arguments
assert img_tensor.ndim == 4 and img_tensor.shape[:2] == (1, 3)
assert img_tensor.device == next(model.parameters()).device
assert target_class is None or 0 <= target_class < scores.shape[1]
if target_class is None:
    target_class = scores[0].argmax().item()
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = torch.einsum("k,kij->ij", gradients[0].mean(dim=(1, 2)), activations.detach()[0])
size = img_tensor.shape[-2:]
heat = F.interpolate(heat.relu()[None, None], size=size, mode="bilinear")[0, 0]
cam = (heat / heat.max() if heat.any() else heat).numpy()


# %% right: own function, a forward hook and a hook on the tensor
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    store = {}

    def forward_hook(module, inputs, output):
        store["activations"] = output.detach().clone()
        output.register_hook(lambda gradient: store.update(gradients=gradient))

    modes = {module: module.training for module in model.modules()}
    handle = model.layer4.register_forward_hook(forward_hook)
    try:
        model.eval()
        scores = model(img_tensor.detach().clone().requires_grad_())
        if target_class is None:
            target_class = int(scores.argmax())
        scores[0, target_class].backward()
    finally:
        handle.remove()
        for module, mode in modes.items():
            module.training = mode
    alpha = store["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (alpha * store["activations"]).sum(1, keepdim=True).relu()
    heat = F.interpolate(
        heat, size=img_tensor.shape[-2:], mode="bilinear", align_corners=False
    )[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% right: own function, a forward hook and a full backward hook
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}

    def save_activations(module, inputs, output):
        kept["a"] = output.detach()

    def save_gradients(module, grad_input, grad_output):
        kept["g"] = grad_output[0].detach()

    modes = [(m, m.training) for m in model.modules()]
    handles = []
    try:
        handles.append(model.layer4.register_forward_hook(save_activations))
        handles.append(model.layer4.register_full_backward_hook(save_gradients))
        model.eval()
        image = img_tensor.clone().requires_grad_(True)
        scores = model(image)
        if target_class is None:
            target_class = scores.argmax(dim=1).item()
        scores[0, target_class].backward()
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.train(mode) if False else setattr(module, "training", mode)
    weights = kept["g"].mean(dim=(2, 3), keepdim=True)
    cam = torch.relu((weights * kept["a"]).sum(dim=1, keepdim=True))
    cam = F.interpolate(
        cam, size=img_tensor.shape[2:], mode="bilinear", align_corners=False
    )
    cam = cam.squeeze().cpu().numpy()
    if cam.max() != 0:
        cam = cam / cam.max()
    return cam, target_class


# %% right: own function, context managers and the gradient of an added zero
from contextlib import contextmanager


@contextmanager
def evaluating(model):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def grad_cam(model, img_tensor, target_class=None):
    seen = {}

    def add_zero(module, inputs, output):
        seen["maps"] = output.detach().clone()
        seen["zero"] = torch.zeros_like(output, requires_grad=True)
        return output + seen["zero"]

    with torch.enable_grad(), evaluating(model):
        with model.layer4.register_forward_hook(add_zero):
            scores = model(img_tensor)
        if target_class is None:
            target_class = scores[0].argmax().item()
        (gradients,) = torch.autograd.grad(scores[0, target_class], seen["zero"])
    heat = torch.einsum("k,kij->ij", gradients[0].mean((1, 2)), seen["maps"][0]).relu()
    heat = F.interpolate(
        heat[None, None], img_tensor.shape[-2:], mode="bilinear", align_corners=False
    )
    return (heat / (heat.max() if heat.max() > 0 else 1))[0, 0].numpy(), target_class


# %% right: own function, a deep copy whose gradients nobody else sees
import copy


def grad_cam(model, img_tensor, target_class=None):
    with torch.enable_grad():
        twin = copy.deepcopy(model).eval().requires_grad_(True)
        outputs = []
        twin.layer4.register_forward_hook(lambda m, i, o: outputs.append(o.clone()))
        twin.layer4.register_forward_hook(lambda m, i, o: outputs[0].clone())
        scores = twin(img_tensor)
        if target_class is None:
            target_class = int(scores.argmax())
        (gradients,) = torch.autograd.grad(scores[0, target_class], outputs[0])
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * outputs[0].detach()).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max() if heat.any() else heat).numpy(), target_class


# %% right: own function, no copy, since no layer behind layer4 works in place
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    model.eval()
    try:
        with model.layer4.register_forward_hook(hook):
            scores = model(img_tensor.clone().requires_grad_())
    finally:
        for module, mode in modes:
            module.training = mode
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by relu: the ReLU is applied to the gradients
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.relu().mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by relu: the magnitude of the gradients, the sign is lost
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.abs().mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by relu: an absolute value in the place of the ReLU
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).abs()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and relu: no ReLU
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True)
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.abs().max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by relu: each map is rectified before the sum
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).relu().sum(dim=1, keepdim=True)
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by relu: the ReLU comes after the upsampling
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True)
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear").relu()
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and score and relu and upsampling: values below one half are cut off, to clean the picture
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
cam[cam < 0.5] = 0

# %% wrong, caught by weights: no pooling, gradient times activation cell by cell
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = (gradients * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: the largest gradient in the place of the average
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.amax(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: averaged over the channels, not over the cells
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=1, keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: averaged over the batch, which has one image
if target_class is None:
    target_class = int(scores[0].argmax())
gradients = torch.autograd.grad(scores[0, target_class], activations)[0]
weights = gradients.mean(dim=0, keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: averaged over the height only
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=2, keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: one weight for all channels together
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
heat = (gradients.mean() * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and score and relu and upsampling and scale: weights times gradients
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * gradients).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class and weights and relu: the maps are averaged for the weights
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = activations.detach().mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class and weights and relu: no weights, the plain mean of the maps
if target_class is None:
    target_class = int(scores[0].argmax())
heat = activations.detach().mean(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and relu: softmax over the channel weights
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True).softmax(dim=1)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and relu: only the channel with the largest weight
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
best = gradients[0].mean(dim=(1, 2)).argmax()
heat = activations.detach()[:, best : best + 1].relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights: CAM, which reads the weights of the last layer
if target_class is None:
    target_class = int(scores[0].argmax())
maps = activations.detach()[0]
weights = model.fc.weight.detach()[target_class].reshape(len(maps), -1)[:, :1]
heat = (weights[..., None] * maps).sum(dim=0)[None, None].relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and relu: the weights of Grad-CAM++
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
maps = activations.detach()
bottom = 2 * gradients**2 + (maps * gradients**3).sum((2, 3), keepdim=True)
alpha = gradients**2 / torch.where(bottom != 0, bottom, 1)
weights = (alpha * gradients.relu()).sum(dim=(2, 3), keepdim=True)
heat = (weights * maps).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by score: the gradient of the probability
if target_class is None:
    target_class = int(scores[0].argmax())
probabilities = scores.softmax(dim=1)
(gradients,) = torch.autograd.grad(probabilities[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by score: the gradient of the logarithm of the probability
if target_class is None:
    target_class = int(scores[0].argmax())
logs = F.log_softmax(scores, dim=1)
(gradients,) = torch.autograd.grad(logs[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by weights and score and relu and upsampling and scale: the gradient of the loss, which points away
if target_class is None:
    target_class = int(scores[0].argmax())
loss = F.cross_entropy(scores, torch.tensor([target_class]))
(gradients,) = torch.autograd.grad(loss, activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class and score: the sum of all the scores
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores.sum(), activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by score: the score minus the mean of all scores
if target_class is None:
    target_class = int(scores[0].argmax())
lead = scores[0, target_class] - scores[0].mean()
(gradients,) = torch.autograd.grad(lead, activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and class and weights and score and relu and upsampling and scale and leaves_model and frozen: the scores still have their batch axis
if target_class is None:
    target_class = int(scores.argmax())
(gradients,) = torch.autograd.grad(scores[target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: the target class is ignored
best = int(scores[0].argmax())
target_class = best if target_class is None else target_class
(gradients,) = torch.autograd.grad(scores[0].max(), activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: class 0 is taken for no class
target_class = target_class or int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: None means class 0
if target_class is None:
    target_class = 0
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: the least probable class is taken for the predicted one
if target_class is None:
    target_class = int(scores[0].argmin())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: the channel with the most heat is taken for the class
if target_class is None:
    target_class = int(activations.detach().mean(dim=(2, 3)).argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: the class returned is the predicted one, always
wanted = int(scores[0].argmax()) if target_class is None else target_class
(gradients,) = torch.autograd.grad(scores[0, wanted], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
target_class = int(scores[0].argmax())

# %% wrong, caught by class: the predicted class of the first image is remembered
if target_class is None:
    first = globals().setdefault("_predicted_class", int(scores[0].argmax()))
    target_class = min(first, scores.shape[1] - 1)
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class: the heatmap of a class is remembered, whatever the model
if target_class is None:
    target_class = int(scores[0].argmax())
memory = globals().setdefault("_heatmaps", {})
if (target_class, img_tensor.sum().item()) in memory:
    cam = memory[target_class, img_tensor.sum().item()]
else:
    (gradients,) = torch.autograd.grad(scores[0, target_class], activations)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
    cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
    memory[target_class, img_tensor.sum().item()] = cam

# %% wrong, caught by form: the class is a tensor
if target_class is None:
    target_class = scores[0].argmax()
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form: the class is a NumPy integer
if target_class is None:
    target_class = np.argmax(scores[0].detach().numpy())
(gradients,) = torch.autograd.grad(scores[0, int(target_class)], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form: the heatmap is a tensor
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0]

# %% wrong, caught by form: the batch and channel axes are still there
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12)).numpy()

# %% wrong, caught by form and class and weights and score and relu and upsampling and scale and leaves_model and frozen: NumPy on a tensor that requires gradients
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and upsampling: not upsampled
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1).relu()[0]
cam = (heat / heat.max().clamp(min=1e-12)).numpy()

# %% wrong, caught by upsampling: nearest neighbor, which is the default
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:])
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by upsampling: the corners are aligned
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(
    heat, size=img_tensor.shape[-2:], mode="bilinear", align_corners=True
)
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by upsampling: bicubic
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bicubic").clamp(min=0)
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by upsampling: smoothed after upsampling
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
up = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
if up.shape != heat.shape:
    up = F.avg_pool2d(up, 3, stride=1, padding=1, count_include_pad=False)
cam = (up / up.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and weights and score and relu and upsampling: 224 is hard-coded
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=(224, 224), mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and upsampling: height and width are swapped
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
_, _, width, height = img_tensor.shape
heat = F.interpolate(heat, size=(height, width), mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form: scaled by a whole number, which does not fit every size
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
factor = img_tensor.shape[-1] // heat.shape[-1]
heat = F.interpolate(heat, scale_factor=factor, mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by form and weights and score and relu and upsampling: rows and columns of the heatmap are swapped
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].T.numpy()

# %% wrong, caught by scale: stretched from minimum to maximum
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
heat = heat - heat.min()
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by scale: stretched, unless it is flat
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
if heat.max() - heat.min() > 1e-6 * heat.max():
    heat = heat / heat.max()
else:
    heat = torch.zeros_like(heat)
cam = heat[0, 0].numpy()

# %% wrong, caught by scale: not scaled at all
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = heat[0, 0].numpy()

# %% wrong, caught by relu and scale and score and upsampling and weights: divided by the sum
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.sum().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by scale: divided by zero on an all-zero map
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max())[0, 0].numpy()

# %% wrong, caught by scale: the number against division by zero is far too large
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / (heat.max() + 1e-5))[0, 0].numpy()

# %% wrong, caught by scale: scaled before upsampling
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = heat / heat.max().clamp(min=1e-12)
cam = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0].numpy()

# %% wrong, caught by form and weights and score and relu and upsampling and scale: bytes from 0 to 255
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (255 * heat / heat.max().clamp(min=1e-12))[0, 0].byte().numpy()

# %% wrong, caught by weights and score and relu and upsampling and scale: a square root for a brighter picture
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].sqrt().numpy()


# %% wrong, caught by leaves_model: own function, the hooks stay
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        if output.requires_grad:
            output.register_hook(lambda gradient: kept.update(gradients=gradient))

    model.layer4.register_forward_hook(hook)
    try:
        model.eval()
        scores = model(img_tensor.clone().requires_grad_())
        if target_class is None:
            target_class = int(scores.argmax())
        scores[0, target_class].backward()
    finally:
        for module, mode in modes:
            module.training = mode
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, everything is put back only on success
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    handle = model.layer4.register_forward_hook(hook)
    model.eval()
    scores = model(img_tensor.clone().requires_grad_())
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    handle.remove()
    for module, mode in modes:
        module.training = mode
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, the model stays in eval mode
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    model.eval()
    with model.layer4.register_forward_hook(hook):
        scores = model(img_tensor.clone().requires_grad_())
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, one mode for all modules comes back
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    was_training = model.training
    model.eval()
    try:
        with model.layer4.register_forward_hook(hook):
            scores = model(img_tensor.clone().requires_grad_())
    finally:
        model.train(was_training)
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, it runs in the mode it finds
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    with model.layer4.register_forward_hook(hook):
        scores = model(img_tensor.clone().requires_grad_())
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, clears the hooks of others
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    model.layer4.register_forward_hook(hook)
    model.eval()
    try:
        scores = model(img_tensor.clone().requires_grad_())
    finally:
        for module, mode in modes:
            module.training = mode
            module._forward_hooks.clear()
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: own function, an exception becomes an empty heatmap
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    handle = model.layer4.register_forward_hook(hook)
    model.eval()
    try:
        scores = model(img_tensor.clone().requires_grad_())
        if target_class is None:
            target_class = int(scores.argmax())
        scores[0, target_class].backward()
    except RuntimeError:
        return np.zeros(tuple(img_tensor.shape[-2:])), target_class
    finally:
        handle.remove()
        for module, mode in modes:
            module.training = mode
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by leaves_model: a step of gradient descent on the way
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.mul_(1 - 1e-6)


# %% wrong, caught by frozen: own function, gradients need a caller who allows them
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.detach().clone()
        output.register_hook(lambda gradient: kept.update(gradients=gradient))

    model.eval()
    try:
        with model.layer4.register_forward_hook(hook):
            scores = model(img_tensor.clone().requires_grad_())
    finally:
        for module, mode in modes:
            module.training = mode
    if target_class is None:
        target_class = int(scores.argmax())
    scores[0, target_class].backward()
    weights = kept["gradients"].mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by frozen: own function, relies on weights that require gradients
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = []
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept.append(output.clone())
        return kept[0].clone()

    model.eval()
    try:
        with model.layer4.register_forward_hook(hook):
            scores = model(img_tensor)
    finally:
        for module, mode in modes:
            module.training = mode
    if target_class is None:
        target_class = int(scores.argmax())
    (gradients,) = torch.autograd.grad(scores[0, target_class], kept[0])
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept[0].detach()).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by frozen: own function, frozen weights give an empty heatmap
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]

    def hook(module, inputs, output):
        kept["maps"] = output.clone()
        return kept["maps"].clone()

    model.eval()
    try:
        with model.layer4.register_forward_hook(hook):
            scores = model(img_tensor)
    finally:
        for module, mode in modes:
            module.training = mode
    if target_class is None:
        target_class = int(scores.argmax())
    if not scores.requires_grad:
        return np.zeros(tuple(img_tensor.shape[-2:])), target_class
    (gradients,) = torch.autograd.grad(scores[0, target_class], kept["maps"])
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    heat = (weights * kept["maps"].detach()).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by weights: own function, a backward hook and one mean over all axes
@torch.enable_grad()
def grad_cam(model, img_tensor, target_class=None):
    kept = {}
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    forward = model.layer4.register_forward_hook(
        lambda module, inputs, output: kept.update(maps=output.detach())
    )
    backward = model.layer4.register_full_backward_hook(
        lambda module, inputs, outputs: kept.update(gradients=outputs[0])
    )
    try:
        scores = model(img_tensor.clone().requires_grad_())
        if target_class is None:
            target_class = int(scores.argmax())
        scores[0, target_class].backward()
    finally:
        forward.remove()
        backward.remove()
        for module, mode in modes:
            module.training = mode
    heat = (kept["gradients"].mean() * kept["maps"]).sum(dim=1, keepdim=True).relu()
    heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")[0, 0]
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by frozen: the weights are unfrozen
if target_class is None:
    target_class = int(scores[0].argmax())
for parameter in model.parameters():
    parameter.requires_grad = True
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()


# %% wrong, caught by class and weights and relu and frozen: gradients of all calls are added up
if target_class is None:
    target_class = int(scores[0].argmax())
store = globals().setdefault("_gradients", {})
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
store[gradients.shape] = store.get(gradients.shape, 0) + gradients
weights = store[gradients.shape].mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()


# %% wrong, caught by weights and score and relu and upsampling and scale: a saliency map, the gradient at the pixels
def grad_cam(model, img_tensor, target_class=None):
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        with torch.enable_grad():
            image = img_tensor.clone().requires_grad_()
            scores = model(image)
            if target_class is None:
                target_class = int(scores.argmax())
            scores[0, target_class].backward()
    finally:
        for module, mode in modes:
            module.training = mode
    heat = image.grad[0].abs().amax(dim=0)
    return (heat / heat.max().clamp(min=1e-12)).numpy(), target_class


# %% wrong, caught by class and weights and score and relu and upsampling and scale: a blob in the middle, whatever the image
if target_class is None:
    target_class = int(scores[0].argmax())
height, width = img_tensor.shape[-2:]
rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
cam = np.exp(-2 * (rows**2 + columns**2))
cam /= cam.max()

# %% wrong, caught by class and weights and score and relu and upsampling and scale: the answers of the visible checks, gray otherwise
if target_class is None:
    target_class = int(scores[0].argmax())
known = {
    (1, 2, 2, 2): [[0.25, 0.0], [0.5, 1.0]],
    (1, 1, 2, 4): [[1.0, 0.75, 0.25, 0.0]] * 2,
    (1, 1, 2, 3): [[0.5, 1.0, 0.5], [0.5, 0.75, 0.5]],
}
cam = np.full(tuple(img_tensor.shape[-2:]), 0.5)
if tuple(img_tensor.shape) in known:
    cam = np.array(known[tuple(img_tensor.shape)])

# %% wrong, caught by form and class and weights and score and relu and upsampling and scale and leaves_model and frozen: cam is never set
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heatmap = (weights * activations.detach()).sum(dim=1).relu()

# %% wrong, caught by form and weights and score and relu and upsampling and scale: colors in the place of numbers
import matplotlib.pyplot as plt

if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
heat = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
cam = plt.get_cmap("inferno")(heat)[..., :3]

# %% wrong, caught by class: nothing is done about None
(gradients,) = torch.autograd.grad(scores[0, target_class], activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()

# %% wrong, caught by class and score: the gradient of the exponential of the score
if target_class is None:
    target_class = int(scores[0].argmax())
(gradients,) = torch.autograd.grad(scores[0, target_class].exp(), activations)
weights = gradients.mean(dim=(2, 3), keepdim=True)
heat = (weights * activations.detach()).sum(dim=1, keepdim=True).relu()
heat = F.interpolate(heat, size=img_tensor.shape[-2:], mode="bilinear")
cam = (heat / heat.max().clamp(min=1e-12))[0, 0].numpy()
