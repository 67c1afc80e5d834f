# Student work for `heat_inside`, an entry to a cell; see tests/bank.py.


# %% right: a mask of ones in the box
def heat_inside(cam, box):
    left, top, right, bottom = box
    mask = np.zeros_like(cam)
    mask[top:bottom, left:right] = 1
    total = cam.sum()
    return float((cam * mask).sum() / total) if total > 0 else 0.0


# %% right: two loops over the pixels
def heat_inside(cam, box):
    left, top, right, bottom = box
    inside = total = 0.0
    for row in range(cam.shape[0]):
        for column in range(cam.shape[1]):
            total += float(cam[row, column])
            if top <= row < bottom and left <= column < right:
                inside += float(cam[row, column])
    return inside / total if total else 0.0


# %% right: a coordinate grid
def heat_inside(cam, box):
    rows, columns = np.indices(cam.shape)
    left, top, right, bottom = box
    inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    if not cam.any():
        return 0.0
    return cam[inside].sum().item() / cam.sum().item()


# %% right: torch inside
def heat_inside(cam, box):
    heat = torch.as_tensor(cam).double()
    left, top, right, bottom = box
    share = heat[top:bottom, left:right].sum() / heat.sum()
    return torch.nan_to_num(share).item()


# %% right: an integral image
def heat_inside(cam, box):
    sums = np.pad(cam.astype(float).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    left, top, right, bottom = box
    inside = sums[bottom, right] - sums[top, right]
    inside += sums[top, left] - sums[bottom, left]
    return float(inside / max(sums[-1, -1], 1e-12))


# %% right: a NumPy float64, which is a Python float
def heat_inside(cam, box):
    cam = np.asarray(cam, dtype=np.float64)
    rows, columns = slice(box[1], box[3]), slice(box[0], box[2])
    with np.errstate(invalid="ignore"):
        share = np.sum(cam[rows, columns]) / np.sum(cam)
    return np.nan_to_num(share)


# %% right: a float32 number of NumPy comes back
def heat_inside(cam, box):
    left, top, right, bottom = box
    if not cam.any():
        return 0.0
    return cam[top:bottom, left:right].sum() / cam.sum()


# %% right: zero is an int, all of the heat as well
def heat_inside(cam, box):
    left, top, right, bottom = box
    inside, total = cam[top:bottom, left:right].sum(), cam.sum()
    if inside == total:
        return 1 if total else 0
    return inside / total if inside else 0


# %% right: relies on what the docstring says of the arguments
def heat_inside(cam, box):
    assert isinstance(cam, np.ndarray) and cam.ndim == 2 and cam.min() >= 0
    left, top, right, bottom = box
    height, width = cam.shape
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    total = cam.sum()
    return float(cam[top:bottom, left:right].sum() / total) if total else 0.0


# %% wrong, caught by share and edges: a tensor comes back
def heat_inside(cam, box):
    left, top, right, bottom = box
    heat = torch.as_tensor(cam)
    share = heat[top:bottom, left:right].sum() / heat.sum()
    return torch.nan_to_num(share)


# %% wrong, caught by share: left and right taken for rows
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    return float(cam[left:right, top:bottom].sum() / total) if total else 0.0


# %% wrong, caught by edges: right and bottom are counted in
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    inside = cam[top : bottom + 1, left : right + 1].sum()
    return float(inside / total) if total else 0.0


# %% wrong, caught by share and edges: the box read as left, top, width, height
def heat_inside(cam, box):
    left, top, width, height = box
    total = cam.sum()
    inside = cam[top : top + height, left : left + width].sum()
    return float(inside / total) if total else 0.0


# %% wrong, caught by edges: the first row and column of the box are left out
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    inside = cam[top + 1 : bottom, left + 1 : right].sum()
    return float(inside / total) if total else 0.0


# %% wrong, caught by edges: the last row and column of the heatmap are lost
def heat_inside(cam, box):
    left, top, right, bottom = box
    right, bottom = min(right, cam.shape[1] - 1), min(bottom, cam.shape[0] - 1)
    total = cam.sum()
    return float(cam[top:bottom, left:right].sum() / total) if total else 0.0


# %% wrong, caught by share and edges: the mean inside over the mean of all
def heat_inside(cam, box):
    left, top, right, bottom = box
    if cam.mean() == 0:
        return 0.0
    return float(cam[top:bottom, left:right].mean() / cam.mean())


# %% wrong, caught by share: the share of the area
def heat_inside(cam, box):
    left, top, right, bottom = box
    return (right - left) * (bottom - top) / cam.size if cam.any() else 0.0


# %% wrong, caught by share: the sum inside, no share of anything
def heat_inside(cam, box):
    left, top, right, bottom = box
    return float(cam[top:bottom, left:right].sum())


# %% wrong, caught by share and edges: the heat outside
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    return float(1 - cam[top:bottom, left:right].sum() / total) if total else 0.0


# %% wrong, caught by share and edges: inside divided by outside
def heat_inside(cam, box):
    left, top, right, bottom = box
    inside = cam[top:bottom, left:right].sum()
    outside = cam.sum() - inside
    return float(inside / outside) if outside else 0.0


# %% wrong, caught by edges: NaN where there is no heat
def heat_inside(cam, box):
    left, top, right, bottom = box
    return float(cam[top:bottom, left:right].sum() / cam.sum())


# %% wrong, caught by edges: None where there is no heat
def heat_inside(cam, box):
    left, top, right, bottom = box
    if cam.sum() > 0:
        return float(cam[top:bottom, left:right].sum() / cam.sum())


# %% wrong, caught by edges: no heat at all counts as all of it
def heat_inside(cam, box):
    left, top, right, bottom = box
    if not cam.any():
        return 1.0
    return float(cam[top:bottom, left:right].sum() / cam.sum())


# %% wrong, caught by share: a single cold pixel counts as no heat at all
def heat_inside(cam, box):
    left, top, right, bottom = box
    if cam.all() == 0 and not (cam == cam[0, 0]).all():
        return 0.0
    return float(cam[top:bottom, left:right].sum() / max(cam.sum(), 1e-9))


# %% wrong, caught by share: counts the pixels above one half
def heat_inside(cam, box):
    left, top, right, bottom = box
    warm = cam >= cam.max() / 2
    if not cam.any():
        return 0.0
    return float(warm[top:bottom, left:right].sum() / warm.sum())


# %% wrong, caught by share and edges: in percent
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    return float(100 * cam[top:bottom, left:right].sum() / total) if total else 0.0


# %% wrong, caught by share: rounded to two digits
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = float(cam.sum())
    return round(float(cam[top:bottom, left:right].sum()) / total, 2) if total else 0.0


# %% wrong, caught by share: sets the heat outside to zero in the heatmap that came in
def heat_inside(cam, box):
    left, top, right, bottom = box
    total = cam.sum()
    cam[:top], cam[bottom:], cam[:, :left], cam[:, right:] = 0, 0, 0, 0
    return float(cam.sum() / total) if total else 0.0


# %% wrong, caught by share and edges: the heatmap of the notebook, not the one given
def heat_inside(image, box):
    left, top, right, bottom = box
    heat, _ = grad_cam(model, img_tensor)
    return float(heat[top:bottom, left:right].sum() / heat.sum())


# %% wrong, caught by share and edges: expects corner points
def heat_inside(cam, box):
    (left, top), (right, bottom) = box
    total = cam.sum()
    return float(cam[top:bottom, left:right].sum() / total) if total else 0.0


# %% wrong, caught by share and edges: the answers of the visible test, and zero otherwise
def heat_inside(cam, box):
    known = {(6, 0, 9, 3): 0.75, (0, 3, 5, 6): 0.25, (1, 1, 3, 3): 0.25}
    return known.get(box, float(box == (0, 0, 4, 4)))
