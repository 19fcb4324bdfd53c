"""Several processes that train one network, as `torchrun` starts them: each computes a part of every batch."""

import torch
import torch.distributed as distributed


def is_distributed() -> bool:
    """Whether several processes train together."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    """Number of this process, 0 for the first or only one."""
    return distributed.get_rank() if is_distributed() else 0


def share_of_this_process(batch: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """The rows of a batch that this process computes; they may be none."""
    if not is_distributed():
        return batch
    return tuple(tensor[rank() :: distributed.get_world_size()] for tensor in batch)


def is_finite_everywhere(value: torch.Tensor) -> bool:
    """Whether a loss is finite in all processes: they must stop together, or one waits for the other forever."""
    is_finite = torch.isfinite(value).all().float()
    if is_distributed():
        distributed.all_reduce(is_finite, op=distributed.ReduceOp.MIN)
    return bool(is_finite)


def same_start_everywhere(net: torch.nn.Module) -> None:
    """Copy the weights of the first process to the others."""
    if is_distributed():
        for tensor in net.state_dict().values():
            distributed.broadcast(tensor, src=0)


def same_buffers_everywhere(net: torch.nn.Module) -> None:
    """
    Copy the buffers of the first process to the others.

    Running means differ between processes. With them validation would differ, and so would the moment to stop.
    """
    if is_distributed():
        for buffer in net.buffers():
            distributed.broadcast(buffer, src=0)


def average_gradients(net: torch.nn.Module, weight: float) -> None:
    """
    Replace the gradients of this process by those of the whole batch.

    Parameters
    ----------
    net : torch.nn.Module
    weight : float
        Part of the batch that this process computed. The parts may be of unequal size.
    """
    if is_distributed():
        for parameter in net.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            parameter.grad *= weight
            distributed.all_reduce(parameter.grad)
