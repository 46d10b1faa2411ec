"""A small painter: soft-edged shapes on an RGB array, remembering which pixels show which finding.

All coordinates and lengths are fractions of the picture's side, x to the right and y downwards,
so that an atlas can be drawn at any size. Colours are RGB triples in [0, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.fft import irfft2, rfft2
from scipy.ndimage import gaussian_filter

Color = Sequence[float]


class Canvas:
    """An RGB picture under construction.

    Attributes:
        rgb: float32 array of shape ``(size, size, 3)``, values kept in [0, 1] by `to_uint8`.
        masks: for each finding (an HPO id) a boolean array ``(size, size)`` of the pixels on
            which it can be seen; filled by the ``finding`` argument of the paint methods.
    """

    def __init__(self, size: int, background: Color = (0.0, 0.0, 0.0)) -> None:
        self.size = size
        self.rgb = np.empty((size, size, 3), dtype=np.float32)
        self.rgb[:] = background
        self.masks: dict[str, np.ndarray] = {}
        axis = (np.arange(size, dtype=np.float32) + 0.5) / size
        self.x, self.y = np.meshgrid(axis, axis)

    # --- coverage maps: float arrays (size, size) in [0, 1] -------------------------------------

    def ellipse_alpha(self, cx, cy, rx, ry=None, angle=0.0, soft=0.01) -> np.ndarray:
        """Coverage of an ellipse; `angle` in radians, `soft` the width of its edge."""
        ry = rx if ry is None else ry
        c, s = np.cos(angle), np.sin(angle)
        dx, dy = self.x - cx, self.y - cy
        u, v = (c * dx + s * dy) / max(rx, 1e-6), (-s * dx + c * dy) / max(ry, 1e-6)
        distance = (np.sqrt(u * u + v * v) - 1.0) * min(rx, ry)
        return self.edge(distance, soft)

    def polygon_alpha(self, points: Sequence[tuple[float, float]], soft=0.01) -> np.ndarray:
        """Coverage of a polygon (even-odd rule), its edge blurred by `soft`."""
        inside = np.zeros((self.size, self.size), dtype=bool)
        x0, y0 = points[-1]
        for x1, y1 in points:
            crosses = (y0 > self.y) != (y1 > self.y)
            if y1 != y0:
                inside ^= crosses & (self.x < (x1 - x0) * (self.y - y0) / (y1 - y0) + x0)
            x0, y0 = x1, y1
        return gaussian_filter(inside.astype(np.float32), max(soft * self.size * 0.5, 0.3))

    def stroke_alpha(self, points: Sequence[tuple[float, float]], width, soft=0.006) -> np.ndarray:
        """Coverage of a polyline with round joints, `width` across (one value or one a point)."""
        widths = np.broadcast_to(np.asarray(width, dtype=np.float32), (len(points),))
        alpha = np.zeros((self.size, self.size), dtype=np.float32)
        for (xa, ya), (xb, yb), wa, wb in zip(points, points[1:], widths, widths[1:], strict=False):
            dx, dy = xb - xa, yb - ya
            length2 = max(dx * dx + dy * dy, 1e-12)
            # Only the bounding box of the segment is touched: strokes are many and short.
            pad = max(wa, wb) / 2 + 2 * soft
            window = self._window(min(xa, xb) - pad, min(ya, yb) - pad, max(xa, xb) + pad, max(ya, yb) + pad)
            px, py = self.x[window] - xa, self.y[window] - ya
            t = np.clip((px * dx + py * dy) / length2, 0.0, 1.0)
            distance = np.hypot(px - t * dx, py - t * dy) - (wa + (wb - wa) * t) / 2
            np.maximum(alpha[window], self.edge(distance, soft), out=alpha[window])
        return alpha

    def blob_alpha(self, rng: np.random.Generator, cx, cy, r, roughness=0.25, soft=0.01, lobes=6) -> np.ndarray:
        """Coverage of an irregular rounded shape of mean radius `r` (random Fourier outline)."""
        reach = 2.0 * r + soft
        window = self._window(cx - reach, cy - reach, cx + reach, cy + reach)
        dx, dy = self.x[window] - cx, self.y[window] - cy
        angle = np.arctan2(dy, dx)
        radius = np.ones_like(angle)
        for k in range(2, lobes + 1):
            radius += roughness / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
        alpha = np.zeros((self.size, self.size), dtype=np.float32)
        alpha[window] = self.edge(np.hypot(dx, dy) - r * np.clip(radius, 0.3, 2.0), soft)
        return alpha

    def ellipses_alpha(self, cx, cy, rx, ry=None, angle=0.0, soft=0.006) -> np.ndarray:
        """Coverage of many small ellipses together; every argument one value or one per ellipse."""
        cx, cy, rx, ry, angle = (
            np.atleast_1d(a).astype(np.float32)[:, None, None]
            for a in np.broadcast_arrays(cx, cy, rx, rx if ry is None else ry, angle)
        )
        alpha = np.zeros((self.size, self.size), dtype=np.float32)
        if cx.size:
            rows, cols, dx, dy = self.patches(cx, cy, float(max(rx.max(), ry.max())) + soft)
            c, s = np.cos(angle), np.sin(angle)
            u, v = (c * dx + s * dy) / np.maximum(rx, 1e-6), (-s * dx + c * dy) / np.maximum(ry, 1e-6)
            inside = self.edge((np.sqrt(u * u + v * v) - 1.0) * np.minimum(rx, ry), soft)
            np.maximum.at(alpha, (rows, cols), inside)
        return alpha

    def patches(self, cx, cy, reach) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Square windows about many centres (each shaped ``(n, 1, 1)``), `reach` to every side.

        Returns:
            the row and the column of each pixel, clipped to the picture, and its offsets dx and dy
            from its centre; pixels outside the picture get offsets too far to matter. Shapes ``(n, p, p)``.
        """
        pixels = int(np.ceil(reach * self.size)) + 1
        offsets = np.arange(-pixels, pixels + 1)
        cols = np.floor(cx * self.size).astype(int) + offsets
        rows = np.floor(cy * self.size).astype(int) + offsets[:, None]
        cols, rows = np.broadcast_arrays(cols, rows)
        far = np.float32(9.0)
        outside = (cols < 0) | (cols >= self.size) | (rows < 0) | (rows >= self.size)
        dx = np.where(outside, far, ((cols + 0.5) / self.size - cx).astype(np.float32))
        dy = np.where(outside, far, ((rows + 0.5) / self.size - cy).astype(np.float32))
        return rows.clip(0, self.size - 1), cols.clip(0, self.size - 1), dx, dy

    def mosaic(self, cx, cy, radii, roundness=0.12, reach=3.0) -> tuple[np.ndarray, np.ndarray]:
        """Share the picture out among cells pressed against each other, each in proportion to its radius.

        A pixel belongs to the cell whose centre is nearest in units of that cell's radius (a weighted
        Voronoi diagram); `roundness` rounds the corners where three cells meet. Cells are looked for
        up to `reach` of their radii away: pixels farther from all of them lie in no cell (minus infinity).

        Returns:
            the index of each pixel's cell, and how far inside that cell's border it lies.
        """
        nearest = np.full((self.size, self.size), np.inf, dtype=np.float32)
        others = np.zeros_like(nearest)
        owner = np.zeros((self.size, self.size), dtype=np.int32)
        for i, (x, y, r) in enumerate(zip(cx, cy, radii, strict=True)):
            w = self._window(x - reach * r, y - reach * r, x + reach * r, y + reach * r)
            u = np.hypot(self.x[w] - x, self.y[w] - y) * np.float32(1 / r)
            closer = u < nearest[w]
            others[w] += np.exp(np.maximum(u, nearest[w]) * np.float32(-1 / roundness))
            np.copyto(nearest[w], u, where=closer)
            np.copyto(owner[w], i, where=closer)
        second = -roundness * np.log(np.maximum(others, 1e-30))
        return owner, (second - nearest) * np.asarray(radii, dtype=np.float32)[owner] / 2

    def texture(self, rng: np.random.Generator, scale: float) -> np.ndarray:
        """Smooth noise of zero mean and unit variance, with features about `scale` across, ``(size, size)``."""
        noise = rng.standard_normal((self.size, self.size)).astype(np.float32)
        sigma = max(scale * self.size / 2, 0.3)
        if sigma < 4:
            noise = gaussian_filter(noise, sigma, mode="wrap")
        else:  # the same filter, at a cost that does not grow with sigma
            pass_band = np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(self.size)) ** 2).astype(np.float32)
            spectrum = rfft2(noise) * pass_band[:, None] * pass_band[: self.size // 2 + 1]
            noise = irfft2(spectrum, s=noise.shape)
        noise -= noise.mean()
        return noise / max(float(noise.std()), 1e-6)

    # --- painting -------------------------------------------------------------------------------

    def paint(self, alpha: np.ndarray, color: Color, opacity: float = 1.0, finding: str | None = None) -> None:
        """Blend `color` over the picture where `alpha` covers; credit it to `finding` if given."""
        a = (alpha * opacity)[..., None]
        self.rgb += a * (np.asarray(color, dtype=np.float32) - self.rgb)
        if finding is not None:
            self.mark(alpha > 0.5, finding)

    def add(self, amount: np.ndarray, color: Color = (1.0, 1.0, 1.0)) -> None:
        """Add `amount` (size, size) of light of `color`; negative darkens."""
        self.rgb += amount[..., None].astype(np.float32) * np.asarray(color, dtype=np.float32)

    def absorb(self, amount: np.ndarray, density: Color) -> None:
        """Let `amount` (size, size) of a stain of optical density `density` absorb light (Beer-Lambert)."""
        self.rgb *= np.exp(-amount[..., None].astype(np.float32) * np.asarray(density, dtype=np.float32))

    def expose(self, rng: np.random.Generator, blur: float, noise: float) -> None:
        """Take the picture: blur by the optics (a fraction of the side), then noise of the sensor."""
        for channel in range(3):
            self.rgb[..., channel] = gaussian_filter(self.rgb[..., channel], blur * self.size)
        self.rgb += noise * rng.standard_normal(self.rgb.shape, dtype=np.float32)

    def mark(self, where: np.ndarray, finding: str) -> None:
        """Record that the boolean pixels `where` show `finding`."""
        previous = self.masks.get(finding)
        self.masks[finding] = where if previous is None else previous | where

    def to_uint8(self) -> np.ndarray:
        """The picture as uint8, shape ``(size, size, 3)``."""
        return (np.clip(self.rgb, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)

    # --- helpers --------------------------------------------------------------------------------

    @staticmethod
    def edge(distance: np.ndarray, soft: float) -> np.ndarray:
        """Coverage of a shape given the signed distance to its border (negative inside)."""
        return np.clip(0.5 - distance / max(soft, 1e-6), 0.0, 1.0).astype(np.float32)

    def _window(self, x0, y0, x1, y1) -> tuple[slice, slice]:
        def span(low, high):
            return slice(max(int(low * self.size), 0), max(min(int(high * self.size) + 2, self.size), 0))

        return span(y0, y1), span(x0, x1)
