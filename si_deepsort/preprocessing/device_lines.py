"""Line noise of traces as tensors; `line_noise.py` is the reference, and solves the small equations of each tile."""

import numpy as np
import torch
from torch.nn.functional import pad

from ..on_device import DeviceStep
from .device_steps import spread
from .line_noise import LOUD_LEVEL, LOUD_REACH_MS, STILL_LEVEL, STILL_REACH_MS, LineFit


class LineFitOnDevice:
    """
    Fits lines in tiles that overlap by half, all tiles of a stretch at once.

    Parameters
    ----------
    fit : LineFit
    step : DeviceStep
    """

    def __init__(self, fit: LineFit, step: DeviceStep):
        self.fit, self.step = fit, step
        self.basis, self.fade, self.scale = step.send(fit.basis), step.send(fit.fade), step.send(fit.scale)[:, None]
        self.num_living = int(fit.is_living.sum())
        frequency = fit.sampling_frequency
        self.loud_reach, self.still_reach = (round(ms * frequency / 1000) for ms in (LOUD_REACH_MS, STILL_REACH_MS))

    def lines(self, traces: torch.Tensor, *, before: int, after: int) -> torch.Tensor:
        """
        Lines in whole tiles, each faded into the next one.

        Parameters
        ----------
        traces : torch.Tensor, shape (num_channels, num_frames), float32
        before, after : int
            Frames that lie before and after the recording in the first and the last tile.

        Returns
        -------
        torch.Tensor, shape (num_channels, before + num_frames + after - 2 * half), float32
            Without the first and the last half tile, which lie in one tile alone.
        """
        half, num_channels = self.fit.half, len(traces)
        counts, is_still = self._counted(traces, before, after)
        tiles = pad(traces, (before, after)).unfold(1, 2 * half, half).transpose(0, 1)
        # One product for each tile, so that tiles do not depend on how many there are.
        bases = self.basis.expand(len(tiles), -1, -1)
        products = traces.new_empty((len(tiles), num_channels, self.basis.shape[1]))
        for part in self.step.parts(num_channels):
            products[:, part] = torch.bmm(tiles[:, part] * counts[:, None], bases)
        coefficients = self._solved(counts, products)
        lines = traces.new_empty((num_channels, len(tiles) - 1, half))
        for part in self.step.parts(num_channels):
            fitted = torch.bmm(coefficients[:, part], bases.mT).masked_fill_(is_still[:, None], 0.0)
            faded = self.fade.flip(0) * fitted[:-1, :, half:] + self.fade * fitted[1:, :, :half]
            lines[part] = faded.transpose(0, 1)
        return lines.view(num_channels, -1)

    def _counted(self, traces: torch.Tensor, before: int, after: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames that count in the fit of each tile, and still frames, both (num_tiles, 2 * half) bool."""
        sizes = traces.abs() * self.scale
        is_loud = 2 * (sizes > LOUD_LEVEL).sum(dim=0) > self.num_living
        is_moving, is_inside = sizes.amax(dim=0) > STILL_LEVEL, torch.ones_like(is_loud)
        half = self.fit.half
        is_loud, is_moving, is_inside = (
            pad(own, (before, after)).unfold(0, 2 * half, half) for own in (is_loud, is_moving, is_inside)
        )
        is_still = spread(~spread(is_moving, self.still_reach) & is_inside, self.still_reach)
        return ~(spread(is_loud, self.loud_reach) | is_still) & is_inside, is_still

    def _solved(self, counts: torch.Tensor, products: torch.Tensor) -> torch.Tensor:
        """Coefficients, (num_tiles, num_channels, num_functions), from products of traces that count with the basis."""
        on_cpu = zip(counts.cpu().numpy(), products.mT.cpu().numpy(), strict=True)
        return self.step.send(np.stack([self.fit.solved(own, seen) for own, seen in on_cpu])).mT
