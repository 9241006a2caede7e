"""What TensorBoard shows of a training: each epoch's figures, and in the end samples and their codes."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from embudo.engine.history import Epoch
from embudo.errors import InvalidParameter, MissingDependency, reason


class Board:
    """A folder that TensorBoard reads.

    Parameters
    ----------
    folder : str, Path or None
        Made where it is missing. None shows nothing.
    first : int, optional
        Number of the first epoch that is shown anew: what the folder holds from there on, of a training that was broken
        off or of another one, is shown no more.

    Raises
    ------
    MissingDependency
        If TensorBoard is not installed.
    InvalidParameter
        If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, first: int | None = None) -> None:
        self.writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise MissingDependency(
                'Training.log_dir needs TensorBoard: pip install "embudo[tensorboard]", or leave log_dir out.'
            ) from None
        # files are read in the order of the second in their name, then in none: half of two of one second is dropped
        while any(Path(folder).glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)
        try:
            self.writer = SummaryWriter(folder, purge_step=first)
        except OSError as error:
            raise InvalidParameter(
                f"Training.log_dir='{folder}' cannot be written to ({reason(error)}): give another."
            ) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.writer is not None:
            self.writer.close()

    def show(self, epoch: Epoch) -> None:
        """Show the loss, all its terms, validation, learning rate and speed of an epoch."""
        if self.writer is None:
            return
        figures = {"train/loss": epoch.loss, "learning_rate": epoch.learning_rate}
        figures |= {f"train/{name}": value for name, value in epoch.terms.items() if len(epoch.terms) > 1}
        figures |= {f"validation/{name}": value for name, value in epoch.validation.items()}
        figures |= {"speed/seconds": epoch.seconds, "speed/samples_per_second": epoch.samples_per_second}
        for name, value in figures.items():
            self.writer.add_scalar(name, value, epoch.number)

    def show_images(self, name: str, images: np.ndarray, step: int) -> None:
        """Show images with values between 0 and 1, of shape (n, height, width, channels), side by side."""
        self.writer.add_images(name, images, step, dataformats="NHWC")

    def show_codes(self, codes: np.ndarray, images: np.ndarray | None, step: int) -> None:
        """Show codes in the projector, as points or as the images, like those of `show_images`, that they are of."""
        import torch

        labels = None
        if images is not None:  # which must be square
            height, width = images.shape[1:3]
            side = max(height, width)
            square = np.pad(images, [(0, 0), (0, side - height), (0, side - width), (0, 0)])
            labels = torch.from_numpy(square.transpose(0, 3, 1, 2))
        self.writer.add_embedding(codes, label_img=labels, global_step=step, tag="code")
