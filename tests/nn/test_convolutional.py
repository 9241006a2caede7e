"""Convolutional layers: sizes, transposes, tied kernels, residual blocks, and first weights."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from embudo import MLP, ConvNet
from embudo.errors import InvalidParameter
from embudo.nn.activations import ACTIVATIONS
from embudo.nn.convolutional import Convolution, ResidualBlock, TiedTransposedConvolution, ToMaps, ToRows, most_values
from embudo.nn.layers import Dense, TiedDense, initialise, multiply_adds

KERNELS = [(3, 1), (5, 1), (2, 2), (3, 2), (4, 2), (5, 2), (3, 3), (5, 3), (6, 4)]
SIZES = [(8, 8), (7, 5), (1, 9), (28, 27)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def samples(*shape: int, seed: int = 3) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def drawn(module: nn.Module) -> nn.Module:
    initialise(module, generator())
    for parameter in module.parameters():  # also those that begin at 0
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator(parameter.numel())))
    return module.double()


def pair(part: ConvNet, shape: tuple[int, ...], tied: bool = False) -> tuple[nn.Sequential, nn.Sequential]:
    encoder = part.build_encoder(shape, 4, "tanh")
    decoder = part.mirrored().build_decoder(4, shape, "sigmoid", encoder if tied else None)
    return drawn(encoder), drawn(decoder)


def test_maps_are_views_of_rows_whose_values_are_height_by_width_by_channels():
    images = torch.arange(2 * 4 * 5 * 3.0).reshape(2, 4, 5, 3)
    rows = images.flatten(1)
    maps = ToMaps((4, 5, 3))(rows)
    assert maps.shape == (2, 3, 4, 5)
    assert torch.equal(maps[1, 2], images[1, :, :, 2])
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(back := ToRows()(maps), rows)
    assert maps.data_ptr() == back.data_ptr() == rows.data_ptr()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kernel_size", "stride"), KERNELS)
def test_every_pixel_is_seen_and_the_maps_shrink_by_the_stride_rounded_up(kernel_size, stride, size):
    layer = Convolution(2, 3, kernel_size, stride, size, "relu").double()
    nn.init.ones_(layer.weight)
    x = samples(1, 2, *size).requires_grad_()
    y = layer(x)
    assert y.shape[2:] == tuple(int(np.ceil(length / stride)) for length in size)
    y.sum().backward()
    assert (x.grad >= 3).all()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("shape", [*SIZES, (6, 7, 3)])
@pytest.mark.parametrize(("kernel_size", "stride"), KERNELS)
def test_a_decoder_returns_rows_of_the_size_that_went_in(kernel_size, stride, shape, tied):
    encoder, decoder = pair(ConvNet((3, 2), kernel_size=kernel_size, stride=stride), shape, tied)
    x = samples(5, int(np.prod(shape)))
    assert encoder(x).shape == (5, 4)
    assert decoder(encoder(x)).shape == x.shape


@pytest.mark.parametrize(("kernel_size", "stride"), KERNELS)
def test_a_tied_layer_is_the_adjoint_of_its_convolution(kernel_size, stride):
    for size in SIZES:
        layer = drawn(Convolution(2, 3, kernel_size, stride, size, "relu"))
        transposed = TiedTransposedConvolution(layer, size).double()
        nn.init.zeros_(layer.bias)
        nn.init.zeros_(transposed.bias)
        x = samples(1, 2, *size)
        y = layer(x)
        h = samples(*y.shape, seed=4)
        torch.testing.assert_close((y * h).sum(), (x * transposed(h)).sum())


def test_tied_networks_hold_each_kernel_once_and_mirror_each_layer():
    encoder, decoder = pair(ConvNet((3, 2)), (8, 7, 2), tied=True)
    assert {name.split(".")[1] for name, _ in decoder.named_parameters()} == {"bias"}
    sources = [layer for layer in encoder if isinstance(layer, Dense | Convolution)]
    tied = [layer for layer in decoder if isinstance(layer, TiedDense | TiedTransposedConvolution)]
    for source, layer in zip(sources, reversed(tied), strict=True):
        assert layer.weight.data_ptr() == source.weight.data_ptr()


def test_the_gradient_of_a_tied_network_has_both_parts():
    encoder, decoder = pair(ConvNet(2, activation="tanh"), (3, 4), tied=True)
    x = samples(3, 12)
    assert torch.autograd.gradcheck(lambda kernels: decoder(encoder(x)), encoder[1].weight)  # which is moved in place


def test_residual_blocks_cannot_be_tied():
    part = ConvNet(2, residual_blocks=1)
    encoder = part.build_encoder((4, 4), 2, "relu")
    with pytest.raises(InvalidParameter, match=r"^tied=True ties layer to layer, but the residual blocks of ConvNet\("):
        part.mirrored().build_decoder(2, (4, 4), "relu", encoder)


def test_a_residual_block_begins_as_the_identity_and_adds_two_convolutions():
    block, x = ResidualBlock(3, (5, 4), "tanh").double(), samples(2, 3, 5, 4)
    initialise(block, generator())
    assert torch.equal(block(x), x)
    assert block.first.weight.std() > 0
    block = drawn(block)
    inner = torch.tanh(F.conv2d(x, block.first.weight, block.first.bias, padding=1))
    torch.testing.assert_close(block(x), x + F.conv2d(inner, block.second.weight, block.second.bias, padding=1))


def test_residual_blocks_stand_after_convolutions_and_before_transposed_ones():
    encoder, decoder = pair(ConvNet((4, 6), residual_blocks=2), (8, 8))
    for half, channels in ((encoder, [4, 4, 6, 6]), (decoder, [6, 6, 4, 4])):
        blocks = [layer for layer in half if isinstance(layer, ResidualBlock)]
        assert [block.first.in_channels for block in blocks] == channels


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("kernel_size", [3, 4, 6])
def test_activations_keep_the_variance_of_a_deep_network_in_bounds(activation, kernel_size):
    part = ConvNet((24,) * 4, kernel_size=kernel_size, residual_blocks=1, activation=activation)
    halves = part.build_encoder((32, 32, 16), 50, "identity"), part.build_decoder(50, (32, 32, 16), "identity")
    out = torch.randn(20, 32 * 32 * 16, generator=generator(1))
    with torch.no_grad():
        for half in halves:
            initialise(half, generator())
            out = half(out)
            assert out.isfinite().all()
            assert 1e-2 < out.std() < 1e2


def test_both_kinds_of_convolution_keep_the_variance_that_rectifiers_halve():
    part = ConvNet((64,), kernel_size=4, activation="relu")
    encoder, decoder = part.build_encoder((40, 40, 64), 2, "relu"), part.build_decoder(2, (40, 40, 64), "relu")
    for layer, size in ((encoder[1], 40), (decoder[3], 20)):
        layer.reset_parameters(generator())
        with torch.no_grad():
            y = layer(torch.randn(8, 64, size, size, generator=generator(1)))
        assert y[..., 2:-2, 2:-2].var().item() == pytest.approx(2, rel=0.1)


def test_mirrors_and_mixtures_of_architectures_fit_each_other():
    x = samples(3, 6 * 5 * 3)
    for first, second in itertools.product((ConvNet((4, 2)), MLP(7)), repeat=2):
        encoder, decoder = first.build_encoder((6, 5, 3), 4, "relu"), second.build_decoder(4, (6, 5, 3), "tanh")
        assert drawn(decoder)(drawn(encoder)(x)).shape == x.shape
    assert ConvNet((4, 2), stride=1).mirrored() == ConvNet((2, 4), stride=1)
    assert ConvNet(4).channels == (4,)


@pytest.mark.parametrize("part", [ConvNet((3, 2)), ConvNet((2, 7), kernel_size=4, stride=3), MLP(1000)])
def test_the_largest_feature_maps_are_those_that_come_out_of_a_layer(part):
    sizes = [0]

    def note(layer: nn.Module, given: tuple[torch.Tensor], maps: torch.Tensor) -> None:
        sizes.append(maps[0].numel())

    network = nn.ModuleList(pair(part, (9, 7, 2)))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            layer.register_forward_hook(note)
    encoder, decoder = network
    decoder(encoder(samples(1, 9 * 7 * 2)))
    assert most_values(network) == max(sizes)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("part", [MLP((9, 7)), ConvNet((3, 4)), ConvNet((3, 4), kernel_size=5, stride=3)])
def test_products_are_counted_as_they_are_made(part, tied):
    if isinstance(part, ConvNet) and not tied:
        part = part.with_params(residual_blocks=1)
    network = nn.Sequential(*pair(part, (13, 10, 3), tied))
    with FlopCounterMode(display=False) as counter:
        network(samples(1, 13 * 10 * 3))
    assert multiply_adds(network) == counter.get_total_flops() // 2
