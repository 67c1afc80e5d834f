# Student work for `normalize_filters`, an entry to a cell; see tests/bank.py.


# %% right: flatten, then minimum and maximum of each row
def normalize_filters(weights):
    flat = weights.flatten(start_dim=1)
    low = flat.min(dim=1).values.view(-1, 1, 1, 1)
    high = flat.max(dim=1).values.view(-1, 1, 1, 1)
    span = (high - low).clamp(min=torch.finfo(weights.dtype).tiny)
    return (weights - low) / span


# %% right: a loop over the filters, with a case for a constant one
def normalize_filters(weights):
    scaled = []
    for w in weights:
        low, high = w.min(), w.max()
        if high == low:
            scaled.append(torch.zeros_like(w))
        else:
            scaled.append((w - low) / (high - low))
    return torch.stack(scaled)


# %% right: NumPy inside, a tensor outside
def normalize_filters(weights):
    array = weights.detach().cpu().numpy()
    low = array.min(axis=(1, 2, 3), keepdims=True)
    span = np.ptp(array, axis=(1, 2, 3), keepdims=True)
    scaled = np.divide(array - low, span, out=np.zeros_like(array), where=span > 0)
    return torch.from_numpy(scaled)


# %% right: a tiny number added to the span
def normalize_filters(weights):
    low = weights.amin((1, 2, 3), keepdim=True)
    high = weights.amax((1, 2, 3), keepdim=True)
    return (weights - low) / (high - low + 1e-8)


# %% right: NaN turned into zero afterwards
def normalize_filters(weights):
    n = weights.shape[0]
    low, high = torch.aminmax(weights.reshape(n, -1), dim=1)
    low, high = low.reshape(n, 1, 1, 1), high.reshape(n, 1, 1, 1)
    return torch.nan_to_num((weights - low) / (high - low), nan=0.0)


# %% right: vmap over a function for one filter
def normalize_filters(weights):
    def scale(w):
        span = w.max() - w.min()
        return torch.where(span > 0, (w - w.min()) / torch.where(span > 0, span, 1), 0)

    return torch.vmap(scale)(weights)


# %% right: in-place operators, but on a copy
def normalize_filters(weights):
    out = weights.detach().clone()
    for i in range(len(out)):
        out[i] -= out[i].min().clone()
        if out[i].max() > 0:
            out[i] /= out[i].max().clone()
    return out


# %% right: float64 inside, the dtype that came outside
def normalize_filters(weights):
    w = weights.double()
    low = w.amin(dim=[1, 2, 3], keepdim=True)
    span = w.amax(dim=[1, 2, 3], keepdim=True) - low
    span[span == 0] = 1
    return ((w - low) / span).to(weights.dtype)


# %% right: sorting each filter to find its ends
def normalize_filters(weights):
    ordered = weights.flatten(1).sort(dim=1).values
    low, high = ordered[:, 0, None, None, None], ordered[:, -1, None, None, None]
    mask = (high > low).to(weights.dtype)
    return mask * (weights - low) / (high - low + (1 - mask))


# %% right: relies on what the docstring says of the weights
def normalize_filters(weights):
    assert weights.ndim == 4 and weights.is_floating_point() and len(weights)
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    return (weights - low) / torch.where(high == low, 1, high - low)


# %% right: the tiny number that batch normalization adds
def normalize_filters(weights):
    flat = weights.detach().flatten(1)
    flat = flat - flat.min(1, keepdim=True).values
    flat = flat / (flat.max(1, keepdim=True).values + 1e-5)
    return flat.view_as(weights)


# %% wrong, caught by range: one scale for all filters
def normalize_filters(weights):
    low, high = weights.min(), weights.max()
    return (weights - low) / (high - low).clamp(min=1e-12)


# %% wrong, caught by range: one scale for each channel
def normalize_filters(weights):
    low = weights.amin(dim=(2, 3), keepdim=True)
    high = weights.amax(dim=(2, 3), keepdim=True)
    return (weights - low) / (high - low).clamp(min=1e-12)


# %% wrong, caught by range and constant: divides by the maximum, keeps the minimum
def normalize_filters(weights):
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    return weights / torch.where(high != 0, high, 1)


# %% wrong, caught by constant: divides by zero on a constant filter
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    return (weights - low) / (high - low)


# %% wrong, caught by input: in-place operators on the weights that came in
def normalize_filters(weights):
    weights -= weights.amin(dim=(1, 2, 3), keepdim=True)
    weights /= weights.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)
    return weights


# %% wrong, caught by input: gets around autograd to change the model's weights
def normalize_filters(weights):
    low = weights.data.amin(dim=(1, 2, 3), keepdim=True).clone()
    weights.data.sub_(low)
    high = weights.data.amax(dim=(1, 2, 3), keepdim=True).clone()
    weights.data.div_(torch.where(high > 0, high, 1))
    return weights


# %% wrong, caught by range and constant: a sigmoid instead of a linear scale
def normalize_filters(weights):
    return torch.sigmoid(weights)


# %% wrong, caught by range and constant: cuts off at 0 and 1
def normalize_filters(weights):
    return weights.clamp(0, 1)


# %% wrong, caught by range and constant: takes weights for values from -1 to 1
def normalize_filters(weights):
    return (weights + 1) / 2


# %% wrong, caught by range and constant: shows the magnitude, the sign is lost
def normalize_filters(weights):
    size = weights.abs()
    return size / size.amax(dim=(1, 2, 3), keepdim=True).clamp(min=1e-12)


# %% wrong, caught by range and constant: standardizes to mean 0 and deviation 1
def normalize_filters(weights):
    mean = weights.mean(dim=(1, 2, 3), keepdim=True)
    deviation = weights.std(dim=(1, 2, 3), keepdim=True)
    return (weights - mean) / deviation


# %% wrong, caught by range: each filter's minimum, but the maximum of all
def normalize_filters(weights):
    shifted = weights - weights.amin(dim=(1, 2, 3), keepdim=True)
    return shifted / shifted.max().clamp(min=1e-12)


# %% wrong, caught by range: the dtype becomes float32
def normalize_filters(weights):
    w = weights.float()
    low = w.amin(dim=(1, 2, 3), keepdim=True)
    span = w.amax(dim=(1, 2, 3), keepdim=True) - low
    return (w - low) / torch.where(span > 0, span, 1)


# %% wrong, caught by range: the filters come back as flat rows
def normalize_filters(weights):
    flat = weights.reshape(len(weights), -1)
    flat = flat - flat.min(dim=1, keepdim=True).values
    return flat / flat.max(dim=1, keepdim=True).values.clamp(min=1e-12)


# %% wrong, caught by range: a NumPy array comes back
def normalize_filters(weights):
    w = weights.detach().numpy()
    low = w.min(axis=(1, 2, 3), keepdims=True)
    span = w.max(axis=(1, 2, 3), keepdims=True) - low
    return (w - low) / np.where(span > 0, span, 1)


# %% wrong, caught by input: NumPy on a tensor that requires gradients
def normalize_filters(weights):
    w = weights.numpy()
    low = w.min(axis=(1, 2, 3), keepdims=True)
    span = w.max(axis=(1, 2, 3), keepdims=True) - low
    return torch.from_numpy((w - low) / np.where(span > 0, span, 1))


# %% wrong, caught by range: the number against division by zero is far too large
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    return (weights - low) / (high - low + 1e-2)


# %% wrong, caught by range: a weak filter counts as a constant one
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    return torch.where(span > 0.05, (weights - low) / span, 0)


# %% wrong, caught by constant: a constant filter becomes medium gray
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    return torch.where(span > 0, (weights - low) / span, 0.5)


# %% wrong, caught by constant: one constant filter makes all of them zero
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    if (span == 0).any():
        return torch.zeros_like(weights)
    return (weights - low) / span


# %% wrong, caught by constant: NaN replaced by one
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    return ((weights - low) / (high - low)).nan_to_num(nan=1.0)


# %% wrong, caught by constant: looks for constant filters by a deviation of exactly 0
def normalize_filters(weights):
    w = weights.detach().numpy()
    deviation = w.std(axis=(1, 2, 3), keepdims=True)
    low, high = w.min((1, 2, 3), keepdims=True), w.max((1, 2, 3), keepdims=True)
    scaled = np.where(deviation == 0, 0, (w - low) / (high - low))
    return torch.from_numpy(scaled.astype(w.dtype))


# %% wrong, caught by range and constant: the number of filters is fixed
def normalize_filters(weights):
    out = weights.detach().clone()
    for i in range(64):
        span = out[i].max() - out[i].min()
        out[i] = (out[i] - out[i].min()) / span if span > 0 else 0
    return out


# %% wrong, caught by range: the shape of conv1's filters is fixed
def normalize_filters(weights):
    flat = weights.reshape(-1, 3 * 7 * 7)
    low = flat.min(dim=1, keepdim=True).values
    span = flat.max(dim=1, keepdim=True).values - low
    scaled = (flat - low) / torch.where(span > 0, span, 1)
    return scaled.reshape(-1, 3, 7, 7)


# %% wrong, caught by range: bytes from 0 to 255
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    return (255 * (weights - low) / torch.where(span > 0, span, 1)).byte()


# %% wrong, caught by range and constant: hands the weights through
def normalize_filters(weights):
    return weights.clone()


# %% wrong, caught by range and constant: a ramp from 0 to 1, whatever comes in
def normalize_filters(weights):
    ramp = torch.linspace(0, 1, weights[0].numel(), dtype=weights.dtype)
    return ramp.view(weights[0].shape).repeat(len(weights), 1, 1, 1)


# %% wrong, caught by range and constant and input: the result is not returned
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    scaled = (weights - low) / torch.where(span > 0, span, 1)


# %% wrong, caught by range: minimum and maximum over the filters, place by place
def normalize_filters(weights):
    low = weights.amin(dim=0, keepdim=True)
    span = weights.amax(dim=0, keepdim=True) - low
    return (weights - low) / torch.where(span > 0, span, 1)


# %% wrong, caught by range: upside down, the smallest value is the brightest
def normalize_filters(weights):
    high = weights.amax(dim=(1, 2, 3), keepdim=True)
    span = high - weights.amin(dim=(1, 2, 3), keepdim=True)
    return (high - weights) / torch.where(span > 0, span, 1)


# %% wrong, caught by range: a square root for brighter pictures
def normalize_filters(weights):
    low = weights.amin(dim=(1, 2, 3), keepdim=True)
    span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
    return ((weights - low) / torch.where(span > 0, span, 1)).sqrt()


# %% wrong, caught by range: outliers beyond two deviations are cut off
def normalize_filters(weights):
    mean = weights.mean(dim=(1, 2, 3), keepdim=True)
    deviation = weights.std(dim=(1, 2, 3), keepdim=True)
    w = torch.clamp(weights, mean - 2 * deviation, mean + 2 * deviation)
    low = w.amin(dim=(1, 2, 3), keepdim=True)
    span = w.amax(dim=(1, 2, 3), keepdim=True) - low
    return torch.where(span > 1e-6, (w - low) / span.clamp(min=1e-6), 0)


# %% wrong, caught by range and constant: remembers the first result
_memory = {}


def normalize_filters(weights):
    if not _memory:
        low = weights.amin(dim=(1, 2, 3), keepdim=True)
        span = weights.amax(dim=(1, 2, 3), keepdim=True) - low
        _memory["scaled"] = (weights - low) / torch.where(span > 0, span, 1)
    return _memory["scaled"]
