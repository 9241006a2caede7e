"""The network that takes noise out of images."""

import pytest
import torch

from embudo.nn.denoising import DenoisingNetwork
from embudo.nn.layers import initialise


def network(channels=1, widths=(4, 6, 8), n_blocks=1):
    net = DenoisingNetwork(channels, widths, n_blocks)
    initialise(net, torch.Generator().manual_seed(0))
    return net.eval()


@pytest.mark.parametrize("channels", [1, 3])
def test_at_first_the_image_passes_through(channels):
    x = torch.rand(2, channels, 24, 40)
    torch.testing.assert_close(network(channels)(x, torch.full((2,), 0.1)), x)


@pytest.mark.parametrize(("widths", "n_blocks"), [((4, 6, 8), 1), ((4, 6), 2), ((4, 4, 4), 2)])
def test_reach_is_how_far_a_pixel_is_felt(widths, n_blocks):
    net = network(widths=widths, n_blocks=n_blocks).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.copy_(torch.rand(weight.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    side = 2 * (net.reach // net.multiple + 2) * net.multiple
    x = torch.rand(1, 1, side, side, dtype=torch.float64)
    felt = torch.zeros(side, side, dtype=torch.bool)
    for place in range(side // 2, side // 2 + net.multiple):  # each place within a block
        changed = x.clone()
        changed[..., place, place] += 1
        felt = (net(changed, torch.zeros(1)) != net(x, torch.zeros(1)))[0, 0]
        rows = felt.any(dim=1).nonzero()
        assert place - net.reach <= rows.min()
        assert rows.max() <= place + net.reach


def test_the_level_of_the_noise_changes_what_comes_out():
    net = network()
    with torch.no_grad():
        net.tail.weight.fill_(0.1)
    x = torch.rand(1, 1, 16, 16)
    assert not torch.equal(net(x, torch.tensor([0.0])), net(x, torch.tensor([0.2])))
