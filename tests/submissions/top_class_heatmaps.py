# Student work for `top_class_heatmaps`, an entry to a cell; see tests/bank.py.


# %% right: the helper of the lesson predicts
def top_class_heatmaps(model, img_tensor, k=2):
    return [
        (best.class_index, best.probability, grad_cam(model, img_tensor, best[2])[0])
        for best in predict_top_k(model, img_tensor, k=k)
    ]


# %% right: NumPy sorts
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.inference_mode():
        scores = model(img_tensor).squeeze(0).double().numpy()
    powers = np.exp(scores - scores.max())
    probabilities = powers / powers.sum()
    result = []
    for index in np.argsort(probabilities)[::-1][:k]:
        cam, _ = grad_cam(model, img_tensor, int(index))
        result.append((int(index), float(probabilities[index]), cam))
    return result


# %% right: sorted() with a key, a tuple of lists
def top_class_heatmaps(model, img_tensor, k=2):
    p = F.softmax(model(img_tensor).detach(), dim=1)[0].tolist()
    order = sorted(range(len(p)), key=lambda index: -p[index])[:k]
    return tuple(
        [i, p[i], grad_cam(model, img_tensor, target_class=i)[0]] for i in order
    )


# %% right: the logarithms are sorted, then raised again
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        logs = torch.log_softmax(model(img_tensor), dim=-1)
    values, indices = logs.sort(dim=-1, descending=True)
    pairs = list(zip(indices[0, :k], values[0, :k].exp()))
    cams = [grad_cam(model, img_tensor, index.item())[0] for index, _ in pairs]
    return [(i.item(), p.item(), cam) for (i, p), cam in zip(pairs, cams)]


# %% right: the best class is taken out k times
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        left = torch.softmax(model(img_tensor)[0], 0)
    found = []
    while len(found) < k:
        index = int(left.argmax())
        found.append((index, left[index].item(), grad_cam(model, img_tensor, index)[0]))
        left[index] = -1
    return found


# %% right: it is not to blame for a grad_cam that is wrong
def grad_cam(model, img_tensor, target_class=None):
    with torch.no_grad():
        scores = model(img_tensor)[0]
    if target_class is None:
        target_class = int(scores.argmax())
    height, width = img_tensor.shape[-2:]
    cam = np.linspace(0, 1, height * width).reshape(height, width)
    return cam ** (1 + target_class), target_class


def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(dim=0)
    best = probabilities.topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% right: relies on what the docstring says of the arguments
def top_class_heatmaps(model, img_tensor, k=2):
    assert not model.training and img_tensor.ndim == 4
    assert img_tensor.shape[:2] == (1, 3)
    with torch.no_grad():
        probabilities = model(img_tensor).softmax(dim=1)[0]
    best = [int(index) for index in probabilities.argsort(descending=True)[:k]]
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0]) for i in best
    ]


# %% right: the probabilities are float32 numbers of NumPy
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor).softmax(dim=1)[0].numpy()
    best = [int(index) for index in probabilities.argsort()[::-1][:k]]
    return [(i, probabilities[i], grad_cam(model, img_tensor, i)[0]) for i in best]


# %% wrong, caught by probabilities: class scores in the place of probabilities
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: softmax over the k best only
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        values, indices = model(img_tensor)[0].topk(k)
    pairs = zip(indices.tolist(), values.softmax(dim=0).tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: softmax twice, probabilities taken for scores
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(0).softmax(0)
    best = probabilities.topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by order and probabilities: softmax over the batch axis, all are 1
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor).softmax(dim=0)[0]
    indices = probabilities.argsort(stable=True, descending=True)[:k].tolist()
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0]) for i in indices
    ]


# %% wrong, caught by probabilities: a sigmoid for each class
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].sigmoid().topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: the logarithm of the probability
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = F.log_softmax(model(img_tensor), dim=1)[0].topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: in percent
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, 100 * p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: rounded to two digits
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, round(p, 2), grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: probabilities are tensors
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values)
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: the probability is formatted text
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, f"{p:.1%}", grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by probabilities: divided by the 1,000 classes of ImageNet
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        scores = model(img_tensor)[0]
    padded = F.pad(scores, (0, 1000 - len(scores)))
    best = padded.softmax(0)[: len(scores)].topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by order: the indices are tensors
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices, best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, int(i))[0]) for i, p in pairs]


# %% wrong, caught by order: the least probable classes
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k, largest=False)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by order: the best classes, the most probable one last
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(0)
    indices = probabilities.argsort()[-k:].tolist()
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0]) for i in indices
    ]


# %% wrong, caught by order: in the order of the class index
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(0)
    indices = sorted(probabilities.topk(k).indices.tolist(), reverse=True)
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0]) for i in indices
    ]


# %% wrong, caught by order: the largest magnitudes, positive or not
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        scores = model(img_tensor)[0]
    probabilities = scores.softmax(0)
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0])
        for i in scores.abs().topk(k).indices.tolist()
    ]


# %% wrong, caught by heatmaps: always the heatmap of the predicted class
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    cam, _ = grad_cam(model, img_tensor)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, cam) for i, p in pairs]


# %% wrong, caught by heatmaps: the place in the list is taken for the class
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [
        (i, p, grad_cam(model, img_tensor, place)[0])
        for place, (i, p) in enumerate(pairs)
    ]


# %% wrong, caught by heatmaps: the heatmaps are in the opposite order
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    indices, values = best.indices.tolist(), best.values.tolist()
    cams = [grad_cam(model, img_tensor, i)[0] for i in reversed(indices)]
    return list(zip(indices, values, cams))


# %% wrong, caught by heatmaps: heatmaps fade with the probability
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, p * grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by heatmaps: the whole result of grad_cam, class and all
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)) for i, p in pairs]


# %% wrong, caught by heatmaps: heatmaps of earlier calls are used again
_cams = {}


def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    result = []
    for i, p in zip(best.indices.tolist(), best.values.tolist()):
        key = (i, img_tensor.shape)
        if key not in _cams:
            _cams[key] = grad_cam(model, img_tensor, i)[0]
        result.append((i, p, _cams[key]))
    return result


# %% wrong, caught by k: always two
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(2)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by k: at most two
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(min(k, 2))
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by k: three if nothing is said
def top_class_heatmaps(model, img_tensor, k=3):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by k: k has to be given
def top_class_heatmaps(model, img_tensor, k):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(i, p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by k: one class too many
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        probabilities = model(img_tensor)[0].softmax(0)
    order = probabilities.argsort(descending=True).tolist()
    return [
        (i, probabilities[i].item(), grad_cam(model, img_tensor, i)[0])
        for n, i in enumerate(order)
        if n <= k
    ]


# %% wrong, caught by order and k: the predicted class, k times
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        p, i = model(img_tensor)[0].softmax(0).max(0)
    cam, _ = grad_cam(model, img_tensor)
    return [(int(i), float(p), cam)] * k


# %% wrong, caught by order and probabilities and heatmaps and k: the notebook's photo, whatever is given
def top_class_heatmaps(model, image, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    return [
        (i, p, grad_cam(model, img_tensor, i)[0])
        for i, p in zip(best.indices.tolist(), best.values.tolist())
    ]


# %% wrong, caught by order and probabilities and heatmaps and k: a dict by class
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return {i: (p, grad_cam(model, img_tensor, i)[0]) for i, p in pairs}


# %% wrong, caught by order and probabilities and heatmaps and k: only the heatmaps
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    return [grad_cam(model, img_tensor, i)[0] for i in best.indices.tolist()]


# %% wrong, caught by order and probabilities and heatmaps and k: ends in the first round of the loop
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    for i, p in zip(best.indices.tolist(), best.values.tolist()):
        return (i, p, grad_cam(model, img_tensor, i)[0])


# %% wrong, caught by order and probabilities and heatmaps and k: the probability comes first
def top_class_heatmaps(model, img_tensor, k=2):
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(0).topk(k)
    pairs = zip(best.indices.tolist(), best.values.tolist())
    return [(p, i, grad_cam(model, img_tensor, i)[0]) for i, p in pairs]


# %% wrong, caught by order: a class is found by the first word of its name
def top_class_heatmaps(model, img_tensor, k=2):
    from courseai_helpers.models import class_names

    words = [name.split()[0] for name in class_names()]
    with torch.no_grad():
        best = model(img_tensor)[0].softmax(dim=0).topk(k)
    found = [words.index(words[index]) for index in best.indices.tolist()]
    return [
        (index, probability, grad_cam(model, img_tensor, index)[0])
        for index, probability in zip(found, best.values.tolist())
    ]
