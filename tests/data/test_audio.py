"""µ-law levels, and WAV files."""

from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from pushforward.data import DataError
from pushforward.data.audio import from_mu_law, mu_law, read_wav, write_wav


def test_every_level_comes_back() -> None:
    for n in (2, 16, 256):
        np.testing.assert_array_equal(mu_law(from_mu_law(np.arange(n), n), n), np.arange(n))


def test_steps_near_silence_are_finer() -> None:
    x = np.linspace(-1, 1, 2001)
    error = np.abs(from_mu_law(mu_law(x)) - x)
    assert error[np.abs(x) < 0.01].max() < 0.0005 < error.max() < 0.025


@pytest.mark.parametrize("x", [[1.5], [np.nan], [-np.inf]])
def test_sound_beyond_its_range_is_refused(x: list[float]) -> None:
    with pytest.raises(ValueError, match="between -1 and 1"):
        mu_law(x)


@pytest.mark.parametrize("level", [-1, 256, 0.5])
def test_levels_that_are_none_are_refused(level: float) -> None:
    with pytest.raises(ValueError, match="whole numbers from 0 to 255; got"):
        from_mu_law([level])


def test_a_recording_comes_back(tmp_path: Path) -> None:
    file, sound = tmp_path / "a.wav", np.sin(np.arange(1000.0) / 5)
    write_wav(file, sound, 8000)
    read, rate = read_wav(file)
    assert rate == 8000
    np.testing.assert_allclose(read, sound, atol=1e-4)
    with pytest.raises(DataError, match="a.wav"):
        write_wav(file, sound, 8000)
    write_wav(file, np.stack([sound, -sound], axis=1), 8000, overwrite=True)
    assert read_wav(file)[0].shape == (1000, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (np.array([0, 128, 255], np.uint8), [-1, 0, 127 / 128]),
        (np.array([-(2**15), 0, 2**14], np.int16), [-1, 0, 0.5]),
        (np.array([-(2**31), 2**30], np.int32), [-1, 0.5]),
        (np.array([-0.25, 1], np.float32), [-0.25, 1]),
    ],
)
def test_all_kinds_of_samples_are_read(tmp_path: Path, samples: np.ndarray, expected: list[float]) -> None:
    wavfile.write(tmp_path / "a.wav", 8000, samples)
    np.testing.assert_allclose(read_wav(tmp_path / "a.wav")[0], expected)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none.wav: No such file"):
        read_wav(tmp_path / "none.wav")
    (tmp_path / "text.wav").write_text("no sound at all")
    with pytest.raises(DataError, match="text.wav: not a complete WAV file"):
        read_wav(tmp_path / "text.wav")
    write_wav(tmp_path / "a.wav", np.zeros(1000), 8000)
    whole = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[:500])
    with pytest.raises(DataError, match="cut.wav: not a complete WAV file"):
        read_wav(tmp_path / "cut.wav")
