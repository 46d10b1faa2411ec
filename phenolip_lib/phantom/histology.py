"""Skeletal muscle biopsies: fibres cut across, under the three stains of a routine work-up.

Haematoxylin-eosin and modified Gomori trichrome show structure and nuclei; NADH-tetrazolium
reductase shows fibre types (type 1 dark, type 2 pale) and the inner architecture of a fibre. A
finding keeps only the stains in which a pathologist would see it. Stains absorb light after
Beer-Lambert; the fibres are the cells of a rounded, weighted Voronoi mosaic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("histology", views=("muscle biopsy", "skeletal muscle biopsy section", "muscle histology micrograph"))

VARIABILITY, CENTRAL_NUCLEI, SPLITTING = "HP:0003557", "HP:0003687", "HP:0003555"
RAGGED_RED, NEMALINE, RIMMED, NECROSIS = "HP:0003200", "HP:0003798", "HP:0003805", "HP:0003713"
ENDOMYSIAL, TYPE1_PREDOMINANCE, TYPE2_ATROPHY, CORES = "HP:0100297", "HP:0003803", "HP:0003554", "HP:0030230"

# Optical densities (red, green, blue) of each tissue component in each stain.
STAINS = {
    "haematoxylin-eosin": {
        "fibre": (0.10, 0.52, 0.30),
        "connective": (0.07, 0.26, 0.14),
        "nucleus": (1.00, 1.25, 0.45),
        "granule": (0.75, 0.95, 0.30),
    },
    "trichrome": {
        "fibre": (0.72, 0.34, 0.36),
        "connective": (0.42, 0.16, 0.30),
        "nucleus": (0.75, 1.35, 0.75),
        "granule": (0.05, 1.25, 0.80),
    },
    "NADH": {
        "fibre": (0.95, 0.88, 0.30),
        "connective": (0.08, 0.08, 0.03),
        "nucleus": (0.10, 0.10, 0.04),
        "granule": (0.80, 0.80, 0.30),
    },
}
STRUCTURAL = ("haematoxylin-eosin", "trichrome")
SEEN_BY_STRUCTURE = (CENTRAL_NUCLEI, RAGGED_RED, NEMALINE, RIMMED, NECROSIS, SPLITTING)


@domain.anatomy
def normal(rng):
    """Polygonal fibres of even size, nuclei at the rim, both fibre types in a checkerboard."""
    return {
        "stains": list(rng.permutation(list(STAINS))),  # the drawing uses the first that remains
        "spacing": rng.uniform(0.145, 0.185),
        "size_spread": rng.uniform(0.03, 0.10),
        "endomysium": rng.uniform(0.007, 0.013),
        "type1_fraction": rng.uniform(0.38, 0.54),
        "type2_size": rng.uniform(0.97, 1.06),
        "central_nuclei": rng.uniform(0.0, 0.02),
        "affected": {},  # HPO id -> fraction of the fibres that show it
        "marked": set(),
    }


def _only(anatomy, *stains):
    anatomy["stains"] = [s for s in anatomy["stains"] if s in stains]


# --- phenotypes ----------------------------------------------------------------------------------


@domain.finding(VARIABILITY, excludes=(TYPE2_ATROPHY,))
def variability(anatomy, severity, rng):
    """Increased variability in muscle fiber diameter: large fibres beside small ones."""
    anatomy["size_spread"] = 0.24 + 0.26 * severity
    anatomy["marked"].add(VARIABILITY)


@domain.finding(CENTRAL_NUCLEI)
def central_nuclei(anatomy, severity, rng):
    """Centrally nucleated skeletal muscle fibers: a nucleus in the middle instead of the rim."""
    _only(anatomy, *STRUCTURAL)
    anatomy["central_nuclei"] = 0.18 + 0.60 * severity


def _lesion(hpo_id, name, stains, low, gain):
    """A finding of single fibres: a fraction of them, rising from `low` by `gain`, shows it in some stains only."""

    def change(anatomy, severity, rng):
        _only(anatomy, *stains)
        anatomy["affected"][hpo_id] = low + gain * severity

    change.__doc__ = name
    domain.finding(hpo_id)(change)


_lesion(SPLITTING, "Muscle fiber splitting: clefts run into fibres from their border.", STRUCTURAL, 0.15, 0.45)
# Gomori trichrome shows mitochondria and rods in red.
_lesion(RAGGED_RED, "Ragged-red muscle fibers: mitochondria pile up beneath the membrane.", ("trichrome",), 0.12, 0.45)
_lesion(NEMALINE, "Nemaline bodies: clusters of short red rods within fibres.", ("trichrome",), 0.20, 0.60)
_lesion(RIMMED, "Rimmed vacuoles: clear holes within fibres, lined by dark granules.", STRUCTURAL, 0.15, 0.50)
_lesion(NECROSIS, "Muscle fiber necrosis: pale, moth-eaten fibres invaded by macrophages.", STRUCTURAL, 0.10, 0.35)


@domain.finding(ENDOMYSIAL)
def endomysial_fibrosis(anatomy, severity, rng):
    """Increased endomysial connective tissue: the fibres are pushed apart."""
    anatomy["endomysium"] = 0.028 + 0.038 * severity
    anatomy["marked"].add(ENDOMYSIAL)


@domain.finding(TYPE1_PREDOMINANCE, excludes=SEEN_BY_STRUCTURE)
def type1_predominance(anatomy, severity, rng):
    """Type 1 muscle fiber predominance: nearly all fibres are dark with NADH."""
    _only(anatomy, "NADH")
    anatomy["type1_fraction"] = 0.74 + 0.20 * severity
    anatomy["marked"].add(TYPE1_PREDOMINANCE)


@domain.finding(TYPE2_ATROPHY, excludes=SEEN_BY_STRUCTURE)
def type2_atrophy(anatomy, severity, rng):
    """Type 2 muscle fiber atrophy: the pale fibres are small, the dark ones spared."""
    _only(anatomy, "NADH")
    anatomy["type2_size"] = 0.74 - 0.28 * severity
    anatomy["marked"].add(TYPE2_ATROPHY)


@domain.finding(CORES, excludes=SEEN_BY_STRUCTURE)
def central_cores(anatomy, severity, rng):
    """Central core regions in muscle fibers: a round zone without oxidative enzyme amid type 1 fibres."""
    _only(anatomy, "NADH")
    anatomy["affected"][CORES] = 0.25 + 0.70 * severity


# --- drawing -------------------------------------------------------------------------------------


def _lattice(rng, pitch):
    """Points of a jittered hexagonal lattice about the unit square, turned at random."""
    x, y = np.meshgrid(np.arange(-0.8, 0.8, pitch), np.arange(-0.8, 0.8, 0.87 * pitch))
    x[::2] += pitch / 2
    xy = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.26, 0.26, (x.size, 2)) * pitch
    turn = rng.uniform(0, np.pi)
    xy = xy @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + 0.5
    return xy[(np.abs(xy - 0.5) < 0.5 + pitch).all(1)]


@domain.drawing
def draw(anatomy, rng, size):
    stain = anatomy["stains"][0]
    # The staining of a day differs from the next by a few percent in every channel.
    density = {k: np.array(v) * rng.uniform(0.85, 1.15, 3) for k, v in STAINS[stain].items()}
    canvas = Canvas(size, rng.uniform(0.93, 1.0, 3))
    pitch = anatomy["spacing"]
    seeds = _lattice(rng, pitch)
    n = len(seeds)
    type1 = rng.random(n) < anatomy["type1_fraction"]
    radii = 0.5 * pitch * np.exp(anatomy["size_spread"] * rng.standard_normal(n).clip(-1.8, 1.4))
    radii *= np.where(type1, 1.0, anatomy["type2_size"])
    owner, inside = canvas.mosaic(*seeds.T, radii)
    fibre = canvas.edge(anatomy["endomysium"] / 2 - inside, 0.008)

    area = np.maximum(np.bincount(owner.ravel(), fibre.ravel(), n), 1e-3)
    centre = np.stack([np.bincount(owner.ravel(), (fibre * a).ravel(), n) / area for a in (canvas.x, canvas.y)], 1)
    width = np.sqrt(area / np.pi) / size  # the radius of a round fibre of the same area
    whole = (area > 0.2 * np.median(area[area > 1])) & (np.abs(centre - 0.5) < 0.47).all(1)

    tone = rng.normal(1.0, 0.06, n)
    if stain == "NADH":
        tone *= np.where(type1, 1.0, 0.42)
    section = Section(
        centre=centre,
        width=width,
        inside=inside,
        sarcoplasm=fibre * tone[owner] * (1.0 + 0.06 * canvas.texture(rng, 0.008)),
        connective=(1.0 - fibre) * (1.0 + 0.25 * canvas.texture(rng, 0.015)),
        granules=np.zeros_like(fibre),
        nuclei=_nuclei(canvas, anatomy, rng, owner, centre, width, whole),
    )
    for hpo_id, fraction in anatomy["affected"].items():
        candidates = np.flatnonzero(whole & type1) if hpo_id == CORES else np.flatnonzero(whole)
        chosen = rng.permutation(candidates)[: max(2, round(fraction * len(candidates)))]
        within = np.isin(owner, chosen) & (fibre > 0.5)
        LESIONS[hpo_id](section, chosen, within, canvas, rng)
        canvas.mark(within, hpo_id)

    canvas.absorb(section.sarcoplasm, density["fibre"])
    canvas.absorb(section.connective.clip(0), density["connective"])
    canvas.absorb(section.granules, density["granule"])
    canvas.absorb(section.nuclei, density["nucleus"])

    extent = {
        VARIABILITY: fibre > 0.5,
        ENDOMYSIAL: fibre < 0.5,
        TYPE1_PREDOMINANCE: (fibre > 0.5) & type1[owner],
        TYPE2_ATROPHY: (fibre > 0.5) & ~type1[owner],
    }
    for hpo_id in anatomy["marked"]:
        canvas.mark(extent[hpo_id], hpo_id)
    tilt_x, tilt_y = rng.uniform(-0.08, 0.08, 2)
    canvas.add(tilt_x * (canvas.x - 0.5) + tilt_y * (canvas.y - 0.5))
    canvas.expose(rng, blur=rng.uniform(0.001, 0.0035), noise=rng.uniform(0.008, 0.025))
    return canvas


def _nuclei(canvas, anatomy, rng, owner, centre, width, whole):
    """Coverage of the flat nuclei along the rims, and of round ones in the middle of some fibres."""
    size, n = canvas.size, len(centre)
    host = rng.integers(0, n, int(2.2 * n))
    angle = rng.uniform(0, 2 * np.pi, len(host))
    step = np.linspace(0.4, 2.0, 40) * width[host][:, None]
    x, y = centre[host, :1] + np.cos(angle)[:, None] * step, centre[host, 1:] + np.sin(angle)[:, None] * step
    pixel = (np.stack([y, x]) * size).astype(int).clip(0, size - 1)
    # The first step that leaves the fibre is its rim.
    rim = np.argmax(owner[pixel[0], pixel[1]] != host[:, None], axis=1)
    k = np.arange(len(host))
    alpha = canvas.ellipses_alpha(
        x[k, rim], y[k, rim], rng.uniform(0.009, 0.013, len(k)), rng.uniform(0.004, 0.006, len(k)), angle + np.pi / 2
    )
    chosen = np.flatnonzero(whole & (rng.random(n) < anatomy["central_nuclei"]))
    if anatomy["central_nuclei"] > 0.1 and len(chosen) < 3:
        chosen = np.flatnonzero(whole)[:3]
    if len(chosen):
        at = centre[chosen] + rng.normal(0, 0.10, (len(chosen), 2)) * width[chosen, None]
        middle = canvas.ellipses_alpha(*at.T, 0.0125, 0.0105, rng.uniform(0, np.pi, len(chosen)))
        canvas.mark(canvas.ellipses_alpha(*at.T, 0.02) > 0.5, CENTRAL_NUCLEI)
        alpha = np.maximum(alpha, middle)
    return alpha


# --- lesions: f(section, fibres, within, canvas, rng) change the tissue of the pixels `within` the fibres


@dataclass
class Section:
    """The tissue on the slide: where the fibres are and, per pixel, how much of each component."""

    centre: np.ndarray
    """Centres of the fibres ``(n, 2)``; `width` has their mean radii ``(n,)``."""
    width: np.ndarray
    inside: np.ndarray
    """How far each pixel lies inside the border of its fibre."""
    sarcoplasm: np.ndarray
    connective: np.ndarray
    granules: np.ndarray
    nuclei: np.ndarray

    def scatter(self, rng, fibres, each, spread):
        """`each` random points in every fibre, within `spread` of its radius: hosts and positions."""
        host = np.repeat(fibres, each)
        angle, r = rng.uniform(0, 2 * np.pi, len(host)), spread * np.sqrt(rng.random(len(host))) * self.width[host]
        return host, self.centre[host] + np.stack([r * np.cos(angle), r * np.sin(angle)], 1)


def _split(section, fibres, within, canvas, rng):
    cleft = np.zeros_like(section.sarcoplasm)
    for i in fibres:
        angle, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.5)
        reach = np.array([-1.25, -0.5, rng.uniform(0.1, 0.5), rng.uniform(0.7, 1.25)]) * section.width[i]
        along = angle + np.array([bend, 0.0, 0.0, -bend])
        path = section.centre[i] + reach[:, None] * np.stack([np.cos(along), np.sin(along)], 1)
        np.maximum(cleft, canvas.stroke_alpha(path, np.array([0.022, 0.014, 0.012, 0.006])), out=cleft)
    cleft *= within
    section.sarcoplasm *= 1.0 - cleft
    np.maximum(section.connective, cleft, out=section.connective)


def _ragged(section, fibres, within, canvas, rng):
    clumps = canvas.texture(rng, 0.02)
    depth = (section.inside - 0.008) / (0.013 + 0.007 * clumps).clip(0.005)
    specks = 0.45 * (canvas.texture(rng, 0.009) > 1.0)
    section.granules += within * ((np.exp(-depth * depth) * (0.9 + 0.3 * clumps)).clip(0, 1.3) + specks)


def _rods(section, fibres, within, canvas, rng):
    host, clusters = section.scatter(rng, fibres, each=2, spread=0.6)
    spread = 0.20 * np.repeat(section.width[host], 11)[:, None]
    at = np.repeat(clusters, 11, axis=0) + spread * rng.standard_normal((11 * len(host), 2))
    rods = canvas.ellipses_alpha(*at.T, 0.0085, 0.0034, rng.uniform(0, np.pi, len(at)), soft=0.005)
    section.granules += 1.3 * rods * within


def _vacuoles(section, fibres, within, canvas, rng):
    host, at = section.scatter(rng, fibres, each=2, spread=0.45)
    r, flat = rng.uniform(0.14, 0.30, len(host)) * section.width[host], rng.uniform(0.65, 1.0, len(host))
    angle = rng.uniform(0, np.pi, len(host))
    hole = canvas.ellipses_alpha(*at.T, r, r * flat, angle) * within
    lining = canvas.ellipses_alpha(*at.T, r + 0.008, r * flat + 0.008, angle, soft=0.008) * (1.0 - hole) * within
    section.sarcoplasm *= 1.0 - 0.95 * hole
    section.granules += lining * (0.85 + 0.5 * canvas.texture(rng, 0.01)).clip(0)


def _necrotic(section, fibres, within, canvas, rng):
    section.sarcoplasm *= 1.0 - within * (0.50 + 0.25 * canvas.texture(rng, 0.03)).clip(0.2, 0.9)
    _, at = section.scatter(rng, fibres, each=9, spread=0.85)
    macrophages = canvas.ellipses_alpha(*at.T, 0.009, 0.007, rng.uniform(0, np.pi, len(at)))
    np.maximum(section.nuclei, macrophages * within, out=section.nuclei)


def _cored(section, fibres, within, canvas, rng):
    at = section.centre[fibres] + rng.normal(0, 0.08, (len(fibres), 2)) * section.width[fibres, None]
    r = rng.uniform(0.36, 0.52, len(fibres)) * section.width[fibres]
    core = canvas.ellipses_alpha(*at.T, r, 0.9 * r, soft=0.012)
    halo = canvas.ellipses_alpha(*at.T, r + 0.010, 0.9 * r + 0.010, soft=0.012) - core
    section.sarcoplasm *= 1.0 - within * (0.72 * core - 0.15 * halo.clip(0))


LESIONS = {
    SPLITTING: _split,
    RAGGED_RED: _ragged,
    NEMALINE: _rods,
    RIMMED: _vacuoles,
    NECROSIS: _necrotic,
    CORES: _cored,
}
