"""Peripheral blood smears, Romanowsky stain: red cells, platelets and neutrophils under oil immersion.

Light passes through the cells and is absorbed in proportion to their thickness (Beer-Lambert), so
overlapping cells darken as in a real smear. A red cell is given by a *shape function* that maps a
pixel, in units of the cell's radius and in the cell's own frame, to ``rho`` (0 at the centre, 1 on
the border) and to the relative thickness of haemoglobin there.
"""

from __future__ import annotations

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("hematology", views=("peripheral blood smear", "blood film", "blood smear micrograph"))

MACROCYTES, MICROCYTES, HYPOCHROMIA = "HP:0005518", "HP:0025066", "HP:0032231"
HOWELL_JOLLY, ROULEAUX, THROMBOCYTOSIS, HYPERSEGMENTED = "HP:0032550", "HP:0031898", "HP:0001894", "HP:0004821"

# Optical densities (red, green, blue) of haemoglobin with eosin, of azure-stained chromatin, of cytoplasm.
HAEMOGLOBIN, CHROMATIN, CYTOPLASM = (0.10, 0.44, 0.40), (1.05, 1.60, 0.55), (0.16, 0.30, 0.12)


# --- shapes of red cells: f(u, v, pallor, q) -> rho, thickness; q in [0, 1) individualises a cell ----


def _smooth(x, low, high):
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _biconcave(rho, pallor):
    """Thickness of a biconcave disc: pale in the middle, up to `pallor` of the radius."""
    depth = np.clip(0.66 + 0.6 * (pallor - 0.35), 0.0, 0.93)
    return 1.0 - depth * (1.0 - _smooth(rho, 0.35 * pallor, pallor + 0.22))


def _discocyte(u, v, pallor, q):
    rho = np.hypot(u, v * (1.0 + 0.12 * q))
    return rho, _biconcave(rho, pallor)


def _elliptocyte(u, v, pallor, q):
    rho = np.hypot(u / 1.28, v / (0.74 - 0.22 * q))
    return rho, _biconcave(rho, 0.8 * pallor)


def _spherocyte(u, v, pallor, q):
    rho = np.hypot(u, v) / (0.64 + 0.08 * q)
    return rho, 1.30 - 0.12 * rho


def _target_cell(u, v, pallor, q):
    rho = np.hypot(u, v * (1.0 + 0.1 * q)) / 1.05
    ring = _smooth(rho, 0.26, 0.42) * (1.0 - _smooth(rho, 0.62, 0.80))
    return rho, 1.0 - 0.85 * ring


def _stomatocyte(u, v, pallor, q):
    slit = np.hypot(u / (0.62 + 0.1 * q), (v - 0.12 * u * u) / 0.20)
    return np.hypot(u, v), 1.0 - 0.85 * (1.0 - _smooth(slit, 0.55, 1.25))


def _sickle_cell(u, v, pallor, q):
    """A crescent: a spindle bent along a parabola."""
    half_length = 1.62
    half_width = 0.40 * np.clip(1.0 - (u / half_length) ** 2, 0.02, 1.0) ** 0.8
    across = np.abs(v + (0.24 + 0.3 * q) * (u * u - 0.8)) / half_width
    rho = np.maximum(across, np.abs(u) / half_length)
    return rho, 1.12 - 0.1 * rho


def _teardrop(u, v, pallor, q):
    theta = np.arctan2(v, u)
    rho = np.hypot(u, v) / (0.82 + (0.75 + 0.5 * q) * np.exp(-(np.abs(theta / 0.30) ** 1.4)))
    return rho, _biconcave(rho, 0.7 * pallor)


def _burr_cell(u, v, pallor, q):
    """Many short, even scallops."""
    theta = np.arctan2(v, u)
    rho = np.hypot(u, v) / (0.86 + 0.16 * np.abs(np.cos(np.floor(5 + 3 * q) * theta)))
    return rho, 0.55 * _biconcave(rho, pallor) + 0.45


def _acanthocyte(u, v, pallor, q):
    """Few spicules, uneven in length and spacing, on a dense body."""
    theta = np.arctan2(v, u)
    outline = np.full_like(theta, 0.72)
    for k in range(6):
        at = 2 * np.pi * ((k + 0.7 * np.sin(37.0 * q + 2.1 * k)) / 6.0)
        turn = np.abs((theta - at + np.pi) % (2 * np.pi) - np.pi)
        outline += (0.36 + 0.22 * np.sin(91.0 * q + 5.0 * k)) * np.exp(-((turn / 0.17) ** 2))
    return np.hypot(u, v) / outline, np.full_like(theta, 1.12)


def _schistocyte(u, v, pallor, q):
    """A helmet with two horns, the disc cut off by a concave line, or a triangle."""
    helmet = np.maximum(np.hypot(u / 0.95, v / 0.85), 1.0 + 2.0 * (v - 0.22 - 0.3 * u * u))
    sides = np.maximum(np.abs(u) * 0.87 + v * 0.5, -v * (1.4 - 0.8 * q)) / 0.42
    rho = np.where(q < 0.6, helmet, np.hypot(sides, 0.5 * u))
    return rho, np.full_like(rho, 1.06)


SHAPES = {None: _discocyte}  # HPO id -> shape, filled with the phenotypes below; None is the healthy cell


@domain.anatomy
def normal(rng):
    """Even round cells with pallor of a third, some platelets, at times a neutrophil of 2 to 4 lobes."""
    return {
        "zoom": rng.uniform(0.93, 1.08),
        "cell_size": rng.uniform(0.96, 1.04),
        "crowding": rng.uniform(0.62, 0.92),
        "pallor": rng.uniform(0.30, 0.40),
        "shapes": {},  # HPO id -> fraction of the red cells
        "nuclear_remnants": 0.0,
        "rouleaux": 0.0,
        "platelets": int(rng.integers(5, 13)),
        "neutrophils": int(rng.integers(0, 2)),
        "lobes": (2, 4),
        "marked": set(),
    }


# --- phenotypes ----------------------------------------------------------------------------------


def _shape_finding(hpo_id, shape, name, excludes=()):
    def change(anatomy, severity, rng):
        anatomy["shapes"][hpo_id] = 0.15 + 0.55 * severity

    change.__doc__ = name
    SHAPES[hpo_id] = shape
    domain.finding(hpo_id, excludes=excludes)(change)


_shape_finding(
    "HP:0004835", _spherocyte, "Microspherocytosis: small dense round cells without central pallor.", (MICROCYTES,)
)
_shape_finding("HP:0030058", _sickle_cell, "Sickled erythrocytes: crescents with pointed ends.")
_shape_finding("HP:0034280", _target_cell, "Target cells: a dense centre inside the pale ring.")
_shape_finding("HP:0004446", _stomatocyte, "Stomatocytosis: the pallor is a slit, like a mouth.")
_shape_finding("HP:0004445", _elliptocyte, "Elliptocytosis: oval cells.")
_shape_finding("HP:0032563", _teardrop, "Dacryocytosis: cells drawn out to one tail, like a teardrop.")
_shape_finding("HP:0032519", _burr_cell, "Increased burr cell count: cells with many short, even projections.")
_shape_finding("HP:0001927", _acanthocyte, "Acanthocytosis: cells with few, uneven spicules.")
_shape_finding("HP:0001981", _schistocyte, "Schistocytosis: fragments, such as helmets with two horns.")


@domain.finding(MACROCYTES, excludes=(MICROCYTES,))
def macrocytes(anatomy, severity, rng):
    """Increased mean corpuscular volume: large red cells; neutrophils and platelets give the scale."""
    anatomy["cell_size"] *= 1.28 + 0.42 * severity
    anatomy["marked"].add(MACROCYTES)


@domain.finding(MICROCYTES)
def microcytes(anatomy, severity, rng):
    """Decreased mean corpuscular volume: small red cells."""
    anatomy["cell_size"] *= 0.78 - 0.22 * severity
    anatomy["marked"].add(MICROCYTES)


@domain.finding(HYPOCHROMIA)
def hypochromia(anatomy, severity, rng):
    """Hypochromia: pallor wider than a third of the cell, leaving a thin rim."""
    anatomy["pallor"] = 0.56 + 0.28 * severity
    anatomy["marked"].add(HYPOCHROMIA)


@domain.finding(HOWELL_JOLLY)
def howell_jolly_bodies(anatomy, severity, rng):
    """Howell-Jolly bodies: one round dark remnant of the nucleus within a red cell."""
    anatomy["nuclear_remnants"] = 0.12 + 0.38 * severity


@domain.finding(ROULEAUX)
def rouleaux(anatomy, severity, rng):
    """Rouleaux formation: red cells stacked like coins."""
    anatomy["rouleaux"] = 0.35 + 0.45 * severity


@domain.finding(THROMBOCYTOSIS)
def thrombocytosis(anatomy, severity, rng):
    """Thrombocytosis: far more platelets than the ten or so of a field."""
    anatomy["platelets"] = int(28 + 70 * severity)


@domain.finding(HYPERSEGMENTED)
def hypersegmented_neutrophils(anatomy, severity, rng):
    """Hypersegmentation of neutrophil nuclei: six lobes or more."""
    anatomy["neutrophils"] = 1 + int(severity > 0.5)
    anatomy["lobes"] = (6 + int(severity > 0.5), 7 + int(2 * severity))


# --- drawing -------------------------------------------------------------------------------------


def _layout(anatomy, rng, radius):
    """Centres of the red cells ``(n, 2)``: a jittered hexagonal lattice with vacancies, some stacked."""
    pitch = 2.25 * max(radius, 0.045)
    axis = np.arange(-0.75, 0.75, pitch)
    x, y = np.meshgrid(axis, np.arange(-0.75, 0.75, 0.9 * pitch))
    x[::2] += pitch / 2
    turn = rng.uniform(0, np.pi)
    xy = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.2, 0.2, (x.size, 2)) * pitch
    xy = xy @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 0.5
    xy = xy[(np.abs(xy - 0.5) < 0.5 + radius).all(1) & (rng.random(len(xy)) < anatomy["crowding"])]
    stacked = np.zeros(len(xy), bool)
    wanted = int(anatomy["rouleaux"] * len(xy))
    while stacked.sum() < wanted:
        length = int(rng.integers(4, 9))
        direction, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.12, 0.12)
        heading = direction + bend * np.arange(length)
        start = rng.uniform(0.1, 0.9, 2)
        line = start + 0.7 * radius * np.cumsum(np.stack([np.cos(heading), np.sin(heading)], 1), 0)
        # A new stack pushes away the single cells it would cover.
        apart = np.hypot(*(xy[:, None] - line[None]).transpose(2, 0, 1)).min(1) > 1.6 * radius
        keep = apart | stacked
        xy, stacked = np.concatenate([xy[keep], line]), np.concatenate([stacked[keep], np.ones(length, bool)])
    return xy, stacked


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size, np.array((0.95, 0.93, 0.93)) + rng.uniform(-0.04, 0.04, 3))
    tilt_x, tilt_y = rng.uniform(-0.08, 0.08, 2)
    canvas.add(tilt_x * (canvas.x - 0.5) + tilt_y * (canvas.y - 0.5))
    radius = 0.054 * anatomy["zoom"]
    blood = radius * anatomy["cell_size"]
    xy, stacked = _layout(anatomy, rng, blood)
    granulocytes = rng.uniform(0.2, 0.8, (anatomy["neutrophils"], 2))
    for centre in granulocytes:
        keep = np.hypot(*(xy - centre).T) > blood + 1.75 * radius
        xy, stacked = xy[keep], stacked[keep]

    _red_cells(canvas, anatomy, rng, xy, stacked, blood)
    _platelets(canvas, anatomy, rng, radius)
    for centre in granulocytes:
        _neutrophil(canvas, anatomy, rng, centre, radius)
    canvas.expose(rng, blur=rng.uniform(0.001, 0.004), noise=rng.uniform(0.006, 0.02))
    return canvas


def _red_cells(canvas, anatomy, rng, xy, stacked, radius):
    kinds = list(anatomy["shapes"])
    fractions = np.array([anatomy["shapes"][k] for k in kinds] or [0.0])
    fractions *= min(1.0, 0.9 / max(fractions.sum(), 1e-6))
    # Quotas instead of lots: a field shows the fraction that the severity asks for.
    quota = np.searchsorted(np.cumsum(fractions), (rng.permutation(len(xy)) + 0.5) / max(len(xy), 1))
    quota[stacked] = len(kinds)
    thickness = np.zeros((canvas.size, canvas.size), dtype=np.float32)
    strength = rng.uniform(0.75, 1.15)
    body = np.zeros_like(thickness)
    for kind in sorted(set(quota)):
        hpo_id = kinds[kind] if kind < len(kinds) else None
        cells = xy[quota == kind].astype(np.float32)
        n = (len(cells), 1, 1)
        r = (radius * rng.normal(1.0, 0.035, n).clip(0.88, 1.12)).astype(np.float32)
        angle = rng.uniform(0, 2 * np.pi, n).astype(np.float32)
        reach = (1.3 if SHAPES[hpo_id] is _discocyte else 1.85) * radius
        rows, cols, dx, dy = canvas.patches(cells[:, :1, None], cells[:, 1:, None], reach)
        c, s = np.cos(angle), np.sin(angle)
        rho, profile = SHAPES[hpo_id](
            (c * dx + s * dy) / r, (c * dy - s * dx) / r, anatomy["pallor"], rng.random(n, dtype=np.float32)
        )
        inside = canvas.edge((rho - 1.0) * r * 0.8, 0.007)
        tilted = np.where(stacked[quota == kind], 0.6, 1.0)[:, None, None]
        np.add.at(thickness, (rows, cols), inside * profile * tilted)
        np.maximum.at(body, (rows, cols), inside)
        if hpo_id is not None:
            where = np.zeros(body.shape, bool)
            where[rows[inside > 0.5], cols[inside > 0.5]] = True
            canvas.mark(where, hpo_id)
    canvas.absorb(strength * thickness, np.array(HAEMOGLOBIN) * rng.uniform(0.85, 1.2, 3))
    for hpo_id in anatomy["marked"]:
        canvas.mark(body > 0.5, hpo_id)
    if stacked.any():
        canvas.mark(canvas.ellipses_alpha(*xy[stacked].T, radius) > 0.5, ROULEAUX)
    if anatomy["nuclear_remnants"]:
        visible = xy[(np.abs(xy - 0.5) < 0.46).all(1)]
        hosts = visible[rng.permutation(len(visible))[: max(3, int(anatomy["nuclear_remnants"] * len(visible)))]]
        spots = canvas.ellipses_alpha(*(hosts + rng.uniform(-0.4, 0.4, hosts.shape) * radius).T, 0.19 * radius)
        canvas.absorb(spots, CHROMATIN)
        canvas.mark(canvas.ellipses_alpha(*hosts.T, radius) > 0.5, HOWELL_JOLLY)


def _platelets(canvas, anatomy, rng, radius):
    n = anatomy["platelets"]
    xy, r = rng.uniform(0.02, 0.98, (n, 2)), radius * rng.uniform(0.20, 0.36, n)
    alpha = canvas.ellipses_alpha(*xy.T, r, r * rng.uniform(0.65, 1.0, n), rng.uniform(0, np.pi, n), soft=0.010)
    canvas.absorb(alpha * (0.75 + 0.2 * canvas.texture(rng, 0.012)), (0.55, 0.95, 0.35))
    canvas.mark(alpha > 0.4, THROMBOCYTOSIS)


def _neutrophil(canvas, anatomy, rng, centre, radius):
    """Pale granular cytoplasm and a nucleus of lobes along an arc, joined by strands."""
    body = canvas.ellipse_alpha(*centre, 1.7 * radius, 1.6 * radius, rng.uniform(0, np.pi), soft=0.012)
    canvas.absorb(body * (0.8 + 0.3 * canvas.texture(rng, 0.008)), CYTOPLASM)
    n = int(rng.integers(anatomy["lobes"][0], anatomy["lobes"][1] + 1))
    span = rng.uniform(0.75, 0.95) * np.pi if n <= 4 else rng.uniform(1.5, 1.75) * np.pi
    theta = rng.uniform(0, 2 * np.pi) + np.linspace(0, span, n)
    orbit = radius * rng.uniform(0.85, 1.0, n)
    x, y = centre[0] + orbit * np.cos(theta), centre[1] + orbit * np.sin(theta)
    lobe = radius * min(0.62, 1.25 / np.sqrt(n) - 0.06) * rng.uniform(0.85, 1.1, n)
    nucleus = canvas.ellipses_alpha(x, y, lobe, 0.75 * lobe, theta + np.pi / 2, soft=0.008)
    nucleus = np.maximum(nucleus, canvas.stroke_alpha(list(zip(x, y, strict=True)), 0.16 * radius))
    canvas.absorb(nucleus * (0.9 + 0.12 * canvas.texture(rng, 0.012)), CHROMATIN)
    canvas.mark(body > 0.5, HYPERSEGMENTED)
