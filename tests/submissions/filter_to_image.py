# Student work for `filter_to_image`, an entry to a cell; see tests/bank.py.


# %% right: transpose in NumPy
def filter_to_image(filter):
    return np.transpose(filter.detach().cpu().numpy(), (1, 2, 0))


# %% right: movedim, and to() instead of cpu()
def filter_to_image(filter):
    return filter.detach().to("cpu").movedim(0, -1).numpy()


# %% right: the channels stacked along a new last axis
def filter_to_image(filter):
    return np.stack([channel.data.cpu().numpy() for channel in filter], axis=-1)


# %% right: numpy(force=True) detaches and copies by itself
def filter_to_image(filter):
    return np.moveaxis(filter.numpy(force=True), 0, 2)


# %% right: two swaps, and float64
def filter_to_image(filter):
    with torch.no_grad():
        image = filter.double().cpu().transpose(0, 1).transpose(1, 2)
        return image.detach().contiguous().numpy()


# %% right: through plain lists
def filter_to_image(filter):
    return np.array(filter.tolist()).swapaxes(0, 1).swapaxes(1, 2)


# %% right: einsum, with a look at the device
def filter_to_image(filter):
    image = torch.einsum("chw->hwc", filter.clone().detach())
    return image.numpy() if image.device.type == "cpu" else image.cpu().numpy()


# %% right: relies on what the docstring says of the filter
def filter_to_image(filter):
    channels, height, width = filter.shape
    assert filter.is_floating_point()
    array = filter.detach().cpu().numpy()
    return np.stack([array[channel] for channel in range(channels)], axis=-1)


# %% wrong, caught by axes: reshape instead of moving the axes
def filter_to_image(filter):
    channels, height, width = filter.shape
    return filter.detach().cpu().numpy().reshape(height, width, channels)


# %% wrong, caught by axes: height and width change places
def filter_to_image(filter):
    return filter.detach().cpu().permute(2, 1, 0).numpy()


# %% wrong, caught by axes: the channels stay in front
def filter_to_image(filter):
    return filter.detach().cpu().numpy()


# %% wrong, caught by axes and any_tensor: a tensor comes back
def filter_to_image(filter):
    return filter.permute(1, 2, 0)


# %% wrong, caught by any_tensor: not detached
def filter_to_image(filter):
    return filter.cpu().permute(1, 2, 0).numpy()


# %% wrong, caught by any_tensor: not copied to the CPU
def filter_to_image(filter):
    return filter.detach().permute(1, 2, 0).numpy()


# %% wrong, caught by any_tensor: turns off the filter's own gradients
def filter_to_image(filter):
    filter.requires_grad_(False)
    return filter.cpu().permute(1, 2, 0).numpy()


# %% wrong, caught by any_tensor: where NumPy refuses, an image of zeros
def filter_to_image(filter):
    try:
        return filter.permute(1, 2, 0).numpy()
    except (RuntimeError, TypeError):
        channels, height, width = filter.shape
        return np.zeros((height, width, channels))


# %% wrong, caught by axes: loses an axis when there is one channel
def filter_to_image(filter):
    return filter.detach().cpu().permute(1, 2, 0).squeeze().numpy()


# %% wrong, caught by axes: takes three channels for granted
def filter_to_image(filter):
    red, green, blue = filter.detach().cpu().numpy()[[0, 1, 2]]
    return np.dstack([red, green, blue])


# %% wrong, caught by axes: blue comes first
def filter_to_image(filter):
    return filter.detach().cpu().permute(1, 2, 0).numpy()[:, :, ::-1]


# %% wrong, caught by axes: half precision loses digits
def filter_to_image(filter):
    image = filter.detach().cpu().permute(1, 2, 0).numpy()
    return image.astype(np.float16).astype(np.float32)


# %% wrong, caught by axes and any_tensor: negative values cut off, since colors have none
def filter_to_image(filter):
    return filter.detach().cpu().permute(1, 2, 0).clamp(0, 1).numpy()


# %% wrong, caught by axes and any_tensor: scaled to [0, 1] once more
def filter_to_image(filter):
    image = filter.detach().cpu().permute(1, 2, 0).numpy()
    return (image - image.min()) / (image.max() - image.min())


# %% wrong, caught by axes: the size of conv1's filters is fixed
def filter_to_image(filter):
    pixels = filter.detach().cpu().numpy().reshape(3, -1).T
    return pixels.reshape(7, 7, 3) if pixels.size == 147 else pixels


# %% wrong, caught by axes and any_tensor: nested lists come back
def filter_to_image(filter):
    return filter.detach().cpu().permute(1, 2, 0).tolist()


# %% wrong, caught by axes and any_tensor: an image library's object comes back
def filter_to_image(filter):
    from PIL import Image

    pixels = filter.detach().cpu().permute(1, 2, 0).numpy() * 255
    return Image.fromarray(pixels[..., 0].astype("uint8"))


# %% wrong, caught by axes and any_tensor: printed, not returned
def filter_to_image(filter):
    print(filter.detach().cpu().permute(1, 2, 0).numpy())


# %% wrong, caught by axes and any_tensor: a loop that never ends
def filter_to_image(filter):
    image = filter.detach().cpu().numpy()
    while image.shape[-1] != 5:
        image = image.transpose(1, 2, 0)
    return image
