"""The examiner's own networks go to the student's process anew if they have changed."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from courseai_helpers.grading.examiner.proxies import compute_network_digest
from courseai_helpers.testing import move_elsewhere

CHANGES = {
    "a weight": lambda net: net.conv.weight.data.mul_(2),
    "a buffer": lambda net: net.norm.running_mean.add_(1),
    "a mode": lambda net: net.norm.train(),
    "what requires gradients": lambda net: net.conv.bias.requires_grad_(False),
    "a layer": lambda net: net.append(nn.ReLU()),
    "a setting of a layer": lambda net: setattr(net.conv, "stride", (2, 2)),
    "a hook": lambda net: net.conv.register_forward_hook(lambda *_: None),
    "its device": move_elsewhere,
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_is_noticed(change):
    parts = OrderedDict(conv=nn.Conv2d(3, 2, 3), norm=nn.BatchNorm2d(2))
    net = nn.Sequential(parts).eval()
    before = compute_network_digest(net)
    net(torch.randn(1, 3, 5, 5))
    assert compute_network_digest(net) == before
    CHANGES[change](net)
    assert compute_network_digest(net) != before
