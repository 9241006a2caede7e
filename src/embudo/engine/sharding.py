"""Weights, gradients and moments divided among processes, by torch's fully sharded data parallelism (FSDP2).

A layer whose weights nobody else reads is a unit: they are whole while the layer is gone through, forward and backward.
All others are one unit, whole while a step lasts. Gradients are summed and divided as backpropagation finds them.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor

from embudo.engine.objective import Objective, Reconstruction
from embudo.engine.runtime import Runtime
from embudo.engine.step import AutogradStep
from embudo.errors import MissingDependency, TrainingDiverged
from embudo.nn.layers import Layer
from embudo.parts.penalties import L1, L2, KLSparsity, Neighbours
from embudo.parts.training import Training

OF_CODES = (L1, L2, KLSparsity, Neighbours)  #: penalties that look at codes, and not at the encoder


class ShardedStep(AutogradStep):
    """A step by automatic differentiation, of which each process holds a share of all that is learnt.

    A twin of the objective is divided; the model's own parameters are empty while it learns.
    """

    in_model = False

    def __init__(self, objective: Objective, training: Training, runtime: Runtime) -> None:
        if torch.__version__ < "2.7" and runtime.device.type == "cpu":
            raise MissingDependency(f"Training(shard=True) on a CPU needs torch 2.7, not {torch.__version__}.")
        self.model = [(parameter, parameter.stride()) for parameter in objective.parameters()]
        for parameter, _ in self.model:
            parameter.data = parameter.data.contiguous()
        twin = _twin(objective)
        mesh = init_device_mesh(runtime.device.type, (objective.world.size,))
        for layer in read_alone(twin):
            fully_shard(layer, mesh=mesh)
        fully_shard(twin, mesh=mesh, reshard_after_forward=True)
        register_fsdp_forward_method(twin, "measure")
        super().__init__(twin, training, runtime)
        if isinstance(self.optimizer, torch.optim.SGD):  # of which torch has no fused one for shares
            for group in self.optimizer.param_groups:
                group["fused"] = False

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Divide the weights of the model; afterwards it has them whole again, in all processes."""
        for shard, (parameter, _) in zip(self.parameters, self.model, strict=True):
            self.put(shard, parameter)
            parameter.data = parameter.data.new_empty(0)
        self.objective.world.align(self.objective.buffers())
        try:
            yield
        except TrainingDiverged:  # in all processes
            self._return()
            raise
        self._return()

    def _return(self) -> None:
        for shard, (parameter, stride) in zip(self.parameters, self.model, strict=True):
            whole = self.whole(shard)
            in_place = whole.stride() == stride
            parameter.data = whole if in_place else whole.new_empty_strided(whole.shape, stride).copy_(whole)

    @torch.no_grad()
    def whole(self, tensor: Tensor) -> Tensor:
        """Return a parameter, or what is laid out as one, as a whole; all processes ask at once."""
        return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor

    def own(self, tensor: Tensor) -> Tensor:
        """Return the part that this process holds of a parameter, or of what is laid out as one."""
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    @torch.no_grad()
    def put(self, tensor: Tensor, whole: Tensor) -> None:
        """Set a parameter, or what is laid out as one, to values that the first process has."""
        if isinstance(tensor, DTensor):
            whole = distribute_tensor(whole.detach().contiguous(), tensor.device_mesh, tensor.placements)
        tensor.copy_(whole)

    def backward(self, total: Tensor) -> None:
        """Leave the gradient of a sum of terms in ``grad`` of the parameters, that of the batch."""
        world = self.objective.world
        (total * (world.weight * world.size)).backward()  # torch takes the mean over processes

    def reduce(self, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the terms of the batch, given those of the share; the gradient is that of the batch already."""
        return self.objective.world.reduce((), terms)


def read_alone(objective: Objective) -> list[Layer]:
    """Return the layers whose weights nobody else reads, and through which nothing is differentiated within a step."""
    layers = [module for module in objective.modules() if isinstance(module, Layer)]
    beside: set[nn.Module] = {layer for layer in layers if layer.source is not None}
    beside |= {layer.source for layer in layers if layer.source is not None}
    if isinstance(objective, Reconstruction) and not all(type(p) in OF_CODES for p in objective.penalties.values()):
        beside |= set(objective.network.encoder.modules())
    return [layer for layer in layers if layer not in beside]


def _twin(objective: Objective) -> Objective:
    """Return a copy of the objective's modules, and of nothing else."""
    own = [value for value in vars(objective).values() if not isinstance(value, nn.Module | list | dict)]
    shared = [*objective.parameters(), *objective.buffers(), *own]
    return copy.deepcopy(objective, {id(value): value for value in shared})
