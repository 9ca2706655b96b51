"""Sound: recordings from and to WAV files, and the µ-law levels in which networks hear them."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.checks import check_whole
from pushforward.data.sources import DataError

LEVELS = 256  # of eight bits
FULL = 32_767  # the largest number of sixteen bits


def mu_law(x: Any, n_levels: int = LEVELS) -> NDArray[np.int64]:
    """Sound as levels that lie denser near silence, as the ear hears: sign(x) log(1 + µ|x|)/log(1 + µ), rounded.

    (ITU-T G.711; van den Oord et al. 2016, "WaveNet".)

    Arguments:
        x: samples from -1 to 1, any shape.
        n_levels: µ + 1.

    Returns:
        Whole numbers from 0 to n_levels − 1; silence is n_levels // 2.

    Raises:
        ValueError: a sample is not finite, or beyond -1 to 1.

    Example:
        >>> from pushforward.data.audio import mu_law
        >>> mu_law([-1.0, 0.0, 0.01, 1.0]).tolist()
        [0, 128, 157, 255]
    """
    samples, mu = np.asarray(x, dtype=np.float64), check_whole("n_levels", n_levels, 2) - 1
    if not (np.abs(samples) <= 1).all():
        worst = samples[~(np.abs(samples) <= 1)].flat[0]
        raise ValueError(f"sound must lie between -1 and 1; got {worst:g}; divide it by its largest sample")
    compressed = np.sign(samples) * np.log1p(mu * np.abs(samples)) / np.log1p(mu)
    levels: NDArray[np.int64] = np.floor((compressed + 1) / 2 * mu + 0.5).astype(np.int64)
    return levels


def from_mu_law(levels: Any, n_levels: int = LEVELS) -> NDArray[np.float64]:
    """The inverse of `mu_law`, as near as levels are.

    Arguments:
        levels: whole numbers from 0 to n_levels − 1, any shape.
        n_levels: µ + 1.

    Returns:
        Samples from -1 to 1.

    Raises:
        ValueError: one is no such level.

    Example:
        >>> from pushforward.data.audio import from_mu_law, mu_law
        >>> from_mu_law(mu_law([-1.0, 0.5])).round(2).tolist()
        [-1.0, 0.5]
    """
    given, mu = np.asarray(levels, dtype=np.float64), check_whole("n_levels", n_levels, 2) - 1
    strange = ~((given >= 0) & (given <= mu) & (given == np.round(given)))
    if strange.any():
        raise ValueError(f"levels are whole numbers from 0 to {mu}; got {given[strange].flat[0]:g}")
    compressed = 2 * given / mu - 1
    samples: NDArray[np.float64] = np.sign(compressed) * np.expm1(np.abs(compressed) * np.log1p(mu)) / mu
    return samples


def read_wav(path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], int]:
    """A recording in a WAV file.

    Arguments:
        path: of the file.

    Returns:
        Samples from -1 to 1, shape (n,), or (n, channels) of several, and how many there are a second.

    Raises:
        DataError: the file is missing, cut short, or no WAV file.
    """
    from scipy.io import wavfile

    name = os.fspath(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", wavfile.WavFileWarning)
            rate, samples = wavfile.read(name)
    except OSError as error:
        raise DataError(f"{name}: {error.strerror or error}") from error
    except (ValueError, wavfile.WavFileWarning) as error:
        raise DataError(f"{name}: not a complete WAV file ({error})") from error
    if not len(samples):
        raise DataError(f"{name}: the recording is empty")
    if samples.dtype.kind == "f":
        return samples.astype(np.float64), int(rate)
    if samples.dtype == np.uint8:  # the one kind without a sign
        return (samples.astype(np.float64) - 128) / 128, int(rate)
    return samples.astype(np.float64) / -float(np.iinfo(samples.dtype).min), int(rate)


def write_wav(path: str | os.PathLike[str], samples: Any, rate: int, *, overwrite: bool = False) -> None:
    """Write sound to a WAV file of sixteen bits, all of it or nothing.

    Arguments:
        path: of the file.
        samples: from -1 to 1, shape (n,) or (n, channels).
        rate: samples a second.
        overwrite: whether a file that is there may be replaced.

    Raises:
        ValueError: samples are beyond -1 to 1, or of another shape.
        DataError: the file is there already, or its folder is not.

    Example:
        >>> import pathlib, tempfile, numpy as np
        >>> from pushforward.data.audio import read_wav, write_wav
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "tone.wav"
        >>> write_wav(file, 0.5 * np.sin(np.arange(800) / 4), 8000)
        >>> read_wav(file)[0].shape
        (800,)
    """
    from scipy.io import wavfile

    from pushforward.data.writing import check_output

    sound = np.asarray(samples, dtype=np.float64)
    if sound.ndim not in (1, 2) or not sound.size:
        raise ValueError(f"samples have shape {sound.shape}; expected (n,) or (n, channels), at least one")
    if not (np.abs(sound) <= 1).all():
        raise ValueError(f"samples must lie between -1 and 1; got {sound[~(np.abs(sound) <= 1)].flat[0]:g}")
    target = Path(path)
    check_output(target, overwrite)
    draft = target.with_name(f".{target.name}.part")
    try:
        wavfile.write(draft, check_whole("rate", rate, 1), np.round(sound * FULL).astype(np.int16))
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
