"""Fitted morphology: what statmorph (Rodriguez-Gomez et al. 2019) measures stamp by stamp.

A Sérsic profile and the numbers that `simreal.measure.morphology` does not have. A fit takes
about half a second, so stamps are dealt to processes. What statmorph flags is masked and its
flag kept; no stamp is dropped.
"""

import importlib
import multiprocessing
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from simreal.core.arrays import BoolArray, Float32Array, Float64Array, IntArray
from simreal.core.errors import NotComputableError
from simreal.core.images import ImageSource
from simreal.measure.morphology import central_galaxies

#: Entries, and the attributes of statmorph they are made of: a fitted Sérsic profile, then
#: shapes of the light itself (MID of Freeman et al. 2013, shape asymmetry of Pawlik et al.
#: 2016, outer asymmetry of Wen et al. 2014).
SERSIC = {
    "sersic_n": "sersic_n",
    "sersic_radius": "sersic_rhalf",
    "sersic_ellipticity": "sersic_ellip",
}
SHAPES = {
    "ellipticity": "ellipticity_asymmetry",
    "multimode": "multimode",
    "intensity": "intensity",
    "deviation": "deviation",
    "shape_asymmetry": "shape_asymmetry",
    "outer_asymmetry": "outer_asymmetry",
}
FEATURES = (*SERSIC, *SHAPES)

#: From this flag on the shapes are masked: 0 good, 1 suspect, 2 bad, 4 nothing measured.
BAD = 2
#: What statmorph writes where it could not measure.
INVALID = -99.0
#: Fewer stamps than this for each process are not worth starting one.
_WORTH_A_PROCESS = 32
_BLOCK, _PER_TASK = 256, 8

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fits:
    """Fitted numbers of every stamp and what statmorph thinks of them.

    Parameters
    ----------
    values : array (n, k)
        Columns as in `FEATURES`; lengths in pixels; NaN where masked.
    flag : array of int (n,)
        0 good, 1 suspect, 2 bad, 4 nothing could be measured.
    flag_sersic : array of int (n,)
        0 good, 1 the fit did not converge, 4 nothing could be measured.
    """

    values: Float64Array
    flag: IntArray
    flag_sersic: IntArray

    @property
    def valid(self) -> BoolArray:
        """Which numbers can be used, ``(n, k)``."""
        return np.isfinite(self.values)


def fit_stamp(
    light: Float64Array, segment: BoolArray, noise: float, psf: Float64Array | None = None
) -> tuple[list[float], int, int]:
    """Return the numbers of one stamp in the order of `FEATURES`, and both flags.

    Parameters
    ----------
    light : array (y, x)
        Above sky, without neighbours.
    segment : array of bool (y, x)
        The galaxy.
    noise : float
        Rms of the sky; every pixel weighs alike.
    psf : array (k, k), optional
        With it the Sérsic profile is that before the PSF, without it as it is seen.
    """
    measured = _measured(light, segment, noise, psf)
    if measured is None:
        return [np.nan] * len(FEATURES), 4, 4
    flag, flag_sersic = int(measured.flag), int(measured.flag_sersic)
    wanted = (
        *((name, flag_sersic == 0 and flag < 4) for name in SERSIC.values()),
        *((name, flag < BAD) for name in SHAPES.values()),
    )
    values = [float(getattr(measured, name)) if good else np.nan for name, good in wanted]
    return [value if value != INVALID else np.nan for value in values], flag, flag_sersic


def _measured(
    light: Float64Array, segment: BoolArray, noise: float, psf: Float64Array | None
) -> Any:
    from threadpoolctl import threadpool_limits

    measure = _statmorph().SourceMorphology
    with _fixed_random_state(), warnings.catch_warnings(), threadpool_limits(1):
        # What it warns of is in its flags.
        warnings.simplefilter("ignore")
        try:
            return measure(
                light,
                segment.astype(np.int64),
                1,
                weightmap=np.full(light.shape, noise),
                psf=psf,
            )
        # It asserts, and divides by what may be nothing: any stamp gets a flag.
        except Exception:  # noqa: BLE001
            return None


@contextmanager
def _fixed_random_state() -> Iterator[None]:
    """Let the numbers of a stamp depend on it alone: statmorph draws from the global state."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


def _statmorph() -> Any:
    try:
        return importlib.import_module("statmorph")
    except ImportError:
        raise NotComputableError(
            "fitted morphology needs statmorph, which is not installed; pip install "
            "'simreal[statmorph]', or take the encoder morphology"
        ) from None


_Task = list[tuple[Float64Array, BoolArray, float, Float64Array | None]]


def _fit_task(task: _Task) -> list[tuple[list[float], int, int]]:
    return [fit_stamp(*stamp) for stamp in task]


def fit_morphology(
    source: ImageSource,
    *,
    workers: int = 1,
    psf: Float64Array | None = None,
    progress: Progress | None = None,
) -> Fits:
    """Return the fitted morphology of every stamp, whatever the number of processes.

    Parameters
    ----------
    source : ImageSource
        Stamps ``(n, band, y, x)``; fits act on the mean of the bands.
    workers : int
        Processes at most; few stamps are measured in this one.
    psf : array (k, k), optional
        Of the mean of the bands, the same for all.
    progress : callable(label, done, total), optional

    Raises
    ------
    NotComputableError
        If statmorph is not installed, or a process died.
    """
    _statmorph()
    n, found = source.shape[0], []
    with _mapped(min(workers, n // _WORTH_A_PROCESS)) as mapped:
        for start in range(0, n, _BLOCK):
            stop = min(start + _BLOCK, n)
            tasks = _tasks(source.read(slice(start, stop)), psf)
            for results in mapped(tasks):
                found += results
                if progress:
                    progress("fitted morphology", len(found), n)
    return Fits(
        values=np.array([values for values, _, _ in found]).reshape(n, len(FEATURES)),
        flag=np.array([flag for _, flag, _ in found], dtype=np.int64),
        flag_sersic=np.array([flag for _, _, flag in found], dtype=np.int64),
    )


def _tasks(stamps: Float32Array, psf: Float64Array | None) -> list[_Task]:
    galaxies = central_galaxies(stamps)
    stamped = zip(galaxies.light, galaxies.segment, galaxies.noise.tolist(), strict=True)
    whole = [(light, segment, noise, psf) for light, segment, noise in stamped]
    return [whole[first : first + _PER_TASK] for first in range(0, len(whole), _PER_TASK)]


_Mapped = Callable[[list[_Task]], Iterator[list[tuple[list[float], int, int]]]]


@contextmanager
def _mapped(workers: int) -> Iterator[_Mapped]:
    """Give a function that fits tasks in order, here or in `workers` fresh processes."""
    if workers < 2:
        yield lambda tasks: map(_fit_task, tasks)
        return
    try:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
            yield lambda tasks: pool.map(_fit_task, tasks)
    except BrokenProcessPool as error:
        raise NotComputableError(
            f"a process that measures morphology died ({error}); measure with one thread, or, in "
            "a script of yours, put what runs under if __name__ == '__main__'"
        ) from None
