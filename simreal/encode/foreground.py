"""Where the galaxy is in a stamp, and how alike two stamps are there."""

import torch
from torch import Tensor
from torch.nn import functional

_BINS = 64

#: The published window of structural similarity: 11 pixels of a Gaussian of 1.5.
_WINDOW, _SIGMA = 11, 1.5


def otsu(planes: Tensor) -> Tensor:
    """Return Otsu's (1979) threshold ``(n,)`` of `planes` (n, pixel).

    The edge among 63 between lowest and highest value that parts the values best; the
    lowest value where all are the same.

    Examples
    --------
    >>> 1 < otsu(torch.tensor([[0.0, 1.0, 0.5, 9.0, 10.0]])).item() < 9
    True
    """
    low, high = planes.min(dim=1).values, planes.max(dim=1).values
    step = (high - low).clamp_min(1e-12) / _BINS
    place = ((planes - low[:, None]) / step[:, None]).long().clamp(0, _BINS - 1)
    rows = _BINS * torch.arange(len(planes), device=planes.device)[:, None]
    counts = torch.bincount((place + rows).flatten(), minlength=_BINS * len(planes))
    counts = counts.view(-1, _BINS).double()
    below = counts.cumsum(1)
    sums = (counts * torch.arange(_BINS, device=planes.device)).cumsum(1)
    above = below[:, -1:] - below
    apart = sums / below.clamp_min(1) - (sums[:, -1:] - sums) / above.clamp_min(1)
    between = below * above * apart**2
    return low + (between.argmax(dim=1) + 1) * step


def foreground(images: Tensor) -> Tensor:
    """Return where the light is, bool ``(n, 1, y, x)``, in `images` (n, band, y, x).

    Otsu's threshold of the mean of the bands, then an opening against single pixels, a
    closing against gaps and a dilation towards the outskirts, all of 3 x 3 pixels.
    """
    plane = images.mean(dim=1, keepdim=True)
    bright = (plane > otsu(plane.flatten(1))[:, None, None, None]).to(images.dtype)
    opened = _grown(_shrunk(bright))
    return _grown(_shrunk(_grown(opened))) > 0.5


def similarity(told: Tensor, wanted: Tensor, span: Tensor) -> Tensor:
    """Return the structural similarity (Wang et al. 2004) at every pixel, as `told`.

    Parameters
    ----------
    told, wanted : Tensor (n, band, y, x)
        At least six pixels on a side.
    span : Tensor (n,)
        Range of the values of every image.
    """
    parts = torch.cat([told, wanted, told**2, wanted**2, told * wanted])
    one, other, squares, others, product = _window_mean(parts).chunk(5)
    first, second = (((k * span) ** 2)[:, None, None, None] for k in (0.01, 0.03))
    covariance = product - one * other
    variances = squares - one**2 + others - other**2
    likeness = (2 * one * other + first) * (2 * covariance + second)
    return likeness / ((one**2 + other**2 + first) * (variances + second))


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of `values` (n, band, y, x) over `chosen` (n, 1, y, x), 0 over nothing."""
    weight = chosen.to(values.dtype).expand_as(values)
    return (values * weight).sum() / weight.sum().clamp_min(1)


def _window_mean(images: Tensor) -> Tensor:
    offset = torch.arange(_WINDOW, device=images.device, dtype=images.dtype) - _WINDOW // 2
    taps = torch.exp(-0.5 * (offset / _SIGMA) ** 2)
    taps = taps / taps.sum()
    n, bands, y, x = images.shape
    planes = functional.pad(images, [_WINDOW // 2] * 4, mode="reflect").flatten(0, 1)[:, None]
    smooth = functional.conv2d(planes, taps.view(1, 1, -1, 1))
    smooth = functional.conv2d(smooth, taps.view(1, 1, 1, -1))
    return smooth.view(n, bands, y, x)


def _grown(plane: Tensor) -> Tensor:
    return functional.max_pool2d(plane, 3, 1, 1)


def _shrunk(plane: Tensor) -> Tensor:
    return 1 - functional.max_pool2d(1 - plane, 3, 1, 1)
