"""Long one-dimensional arrays that lie in a temporary file and are read slice by slice, so that memory is bounded."""

import tempfile
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

# Frames that are kept in memory, of all segments together: ten minutes at 10 kHz, some 30 MB.
MOST_FRAMES_IN_MEMORY = 6_000_000
# Frames that are read or written at once by those who go through a whole array.
CHUNK_FRAMES = 1_000_000


class Frames(Protocol):
    """What a trace must be able to do here: `len(frames)` and `frames[start:stop]`, as of a NumPy array."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: Any) -> np.ndarray: ...


class FrameStore:
    """
    Arrays of zeros: in memory, and in one temporary file as soon as there are too many frames.

    The file has no name (on Windows, it is deleted when it is closed). Use it as a context manager.
    """

    def __init__(self) -> None:
        self.file: Any = None
        self.num_in_memory, self.num_bytes = 0, 0

    def __enter__(self) -> "FrameStore":
        return self

    def __exit__(self, *error: object) -> None:
        if self.file is not None:
            self.file.close()

    def zeros(self, num_frames: int, dtype: str) -> "np.ndarray | StoredFrames":
        """
        Make an array of zeros.

        Parameters
        ----------
        num_frames : int
        dtype : str

        Returns
        -------
        np.ndarray | StoredFrames, shape (num_frames,)
            Both are read and written by slices; a slice of the second one is a copy.
        """
        if self.num_in_memory + num_frames <= MOST_FRAMES_IN_MEMORY:
            self.num_in_memory += num_frames
            return np.zeros(num_frames, dtype)
        if self.file is None:
            self.file = tempfile.TemporaryFile(buffering=0)
        offset = self.num_bytes
        self.num_bytes += num_frames * np.dtype(dtype).itemsize
        self.file.truncate(self.num_bytes)
        return StoredFrames(self.file, offset, num_frames, dtype)


class StoredFrames:
    """
    One array of a `FrameStore` in its file.

    Parameters
    ----------
    file : binary file, not buffered
    offset : int
        Where the array begins, in bytes.
    num_frames : int
    dtype : str
    """

    def __init__(self, file: Any, offset: int, num_frames: int, dtype: str):
        self.file, self.offset, self.num_frames, self.dtype = file, offset, num_frames, np.dtype(dtype)

    def __len__(self) -> int:
        return self.num_frames

    def __getitem__(self, frames: slice | np.ndarray) -> np.ndarray:
        """A copy of the frames from start to stop, or of single ones."""
        if not isinstance(frames, slice):
            return np.array([self[frame : frame + 1][0] for frame in frames], self.dtype)
        start, stop = self._range(frames)
        values = np.empty(stop - start, self.dtype)
        self.file.seek(self.offset + start * self.dtype.itemsize)
        left = values.data.cast("B")
        while len(left):
            num_read = self.file.readinto(left)
            if not num_read:
                raise OSError("The temporary file of the traces is shorter than it was written.")
            left = left[num_read:]
        return values

    def __setitem__(self, frames: slice, values: Any) -> None:
        """Write the frames from start to stop."""
        start, stop = self._range(frames)
        written = np.ascontiguousarray(np.broadcast_to(np.asarray(values, self.dtype), stop - start))
        self.file.seek(self.offset + start * self.dtype.itemsize)
        left = written.data.cast("B")
        while len(left):
            left = left[self.file.write(left) :]

    def _range(self, frames: slice) -> tuple[int, int]:
        start, stop, step = frames.indices(self.num_frames)
        if step != 1:
            raise IndexError("Stored frames are read and written without a step.")
        return start, max(start, stop)


class ChangedFrames:
    """
    Frames that a function computes when they are read.

    Parameters
    ----------
    frames : Frames
    change : callable
        Takes the first frame and a slice of `frames` from there on, and returns as many values. It leaves its input as
        it is.
    """

    def __init__(self, frames: Frames, change: Callable[[int, np.ndarray], np.ndarray]):
        self.frames, self.change = frames, change

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, frames: slice) -> np.ndarray:
        start, _, _ = frames.indices(len(self))
        return self.change(start, self.frames[frames])


def every_nth(frames: Frames, step: int) -> np.ndarray:
    """Every `step`-th frame, from the first on, read piece by piece."""
    pieces = [
        frames[start : start + CHUNK_FRAMES][-start % step :: step].copy()
        for start in range(0, len(frames), CHUNK_FRAMES)
    ]
    return np.concatenate(pieces) if pieces else frames[0:0]
