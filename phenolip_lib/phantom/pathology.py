"""Liver biopsies, haematoxylin and eosin: plates of hepatocytes between a portal tract and a central vein.

The section is a set of maps of what absorbs light (eosin, haematoxylin, collagen, blood, calcium);
each lesion moves tissue between them, and the colour follows from Beer-Lambert's law.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("pathology", views=("H&E-stained liver biopsy", "liver histopathology section", "liver biopsy"))

MACROVESICULAR, MICROVESICULAR, BRIDGING_FIBROSIS = "HP:0001403", "HP:0001414", "HP:0012852"
PORTAL_INFLAMMATION, GRANULOMAS, NECROSIS = "HP:0033196", "HP:0011955", "HP:0001404"
CALCIFICATION, AMYLOID, SINUSOIDAL_DILATATION, DUCTULES = "HP:0006559", "HP:0012280", "HP:0035006", "HP:0001408"

EOSIN, HAEMATOXYLIN, COLLAGEN = (0.12, 0.62, 0.32), (0.95, 1.15, 0.38), (0.08, 0.36, 0.17)
BLOOD, CALCIUM = (0.10, 0.85, 0.70), (0.95, 1.40, 0.60)


@domain.anatomy
def normal(rng):
    """A lobule: healthy plates, thin sinusoids, a portal tract with its triad and a few lymphocytes."""
    return {
        "cell": rng.uniform(0.062, 0.076),
        "sinusoid": rng.uniform(0.008, 0.014),
        "lymphocytes": int(rng.integers(2, 9)),
        "ducts": 1,
        "fat": {},  # "large" and "small": fraction of hepatocytes with droplets
        "septum": 0.0,
        "granulomas": 0,
        "necrosis": 0.0,
        "calcium": 0,
        "amyloid": 0.0,
        "dilated": 0.0,
    }


# --- phenotypes ----------------------------------------------------------------------------------


@domain.finding(MACROVESICULAR, excludes=(MICROVESICULAR,))
def macrovesicular_steatosis(anatomy, severity, rng):
    """Macrovesicular hepatic steatosis: one large droplet of fat fills the hepatocyte."""
    anatomy["fat"][MACROVESICULAR] = 0.10 + 0.65 * severity


@domain.finding(MICROVESICULAR)
def microvesicular_steatosis(anatomy, severity, rng):
    """Microvesicular hepatic steatosis: many small droplets about a nucleus that stays central."""
    anatomy["fat"][MICROVESICULAR] = 0.20 + 0.75 * severity


@domain.finding(BRIDGING_FIBROSIS)
def bridging_fibrosis(anatomy, severity, rng):
    """Hepatic bridging fibrosis: bands of collagen join portal tract, central vein and beyond."""
    anatomy["septum"] = 0.045 + 0.075 * severity


@domain.finding(PORTAL_INFLAMMATION)
def portal_inflammation(anatomy, severity, rng):
    """Portal inflammation: lymphocytes crowd the portal tract."""
    anatomy["lymphocytes"] = int(40 + 120 * severity)


@domain.finding(GRANULOMAS)
def granulomas(anatomy, severity, rng):
    """Hepatic granulomatosis: round nests of pale epithelioid cells cuffed by lymphocytes."""
    anatomy["granulomas"] = 1 + int(2.99 * severity)


@domain.finding(NECROSIS)
def hepatocellular_necrosis(anatomy, severity, rng):
    """Hepatocellular necrosis: about the central vein, cells shrink, redden and lose their nuclei."""
    anatomy["necrosis"] = 0.16 + 0.24 * severity


@domain.finding(CALCIFICATION)
def calcification(anatomy, severity, rng):
    """Hepatic calcification: dark violet concretions, cracked and angular."""
    anatomy["calcium"] = 2 + int(7 * severity)


@domain.finding(AMYLOID, excludes=(SINUSOIDAL_DILATATION,))
def amyloidosis(anatomy, severity, rng):
    """Hepatic amyloidosis: glassy pale pink material fills the sinusoids and thins the plates."""
    anatomy["amyloid"] = 0.024 + 0.026 * severity


@domain.finding(SINUSOIDAL_DILATATION)
def sinusoidal_dilatation(anatomy, severity, rng):
    """Hepatic sinusoidal dilatation: wide empty sinusoids with red cells, the plates thinned."""
    anatomy["dilated"] = 0.024 + 0.026 * severity


@domain.finding(DUCTULES)
def bile_duct_proliferation(anatomy, severity, rng):
    """Bile duct proliferation: many ductules in and around the portal tract."""
    anatomy["ducts"] = int(4 + 8 * severity)


# --- drawing -------------------------------------------------------------------------------------


@dataclass
class Section:
    """Per pixel, how much of each absorbing substance the slide holds."""

    eosin: np.ndarray
    nuclei: np.ndarray
    collagen: np.ndarray
    blood: np.ndarray
    calcium: np.ndarray

    def clear(self, where):
        """Take away, where `where` is 1, everything but calcium."""
        for substance in (self.eosin, self.nuclei, self.collagen, self.blood):
            substance *= 1.0 - where


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size, rng.uniform(0.93, 1.0, 3))
    turn = rng.uniform(0, 2 * np.pi)
    away = np.array([np.cos(turn), np.sin(turn)])
    portal = 0.5 + rng.uniform(0.22, 0.34) * away + rng.normal(0, 0.03, 2)
    vein = 0.5 - rng.uniform(0.20, 0.32) * away + rng.normal(0, 0.03, 2)
    grain = canvas.texture(rng, 0.010)
    section, hepatocytes = _lobule(canvas, anatomy, rng, vein, grain)
    _steatosis(canvas, anatomy, rng, section, hepatocytes)
    if anatomy["necrosis"]:
        _necrosis(canvas, anatomy["necrosis"], rng, section, vein, grain)
    if anatomy["septum"]:
        _septa(canvas, anatomy["septum"], rng, section, portal, vein, grain)
    for _ in range(anatomy["granulomas"]):
        _granuloma(canvas, rng, section, grain)
    _central_vein(canvas, rng, section, vein)
    _portal_tract(canvas, anatomy, rng, section, portal, grain)
    if anatomy["calcium"]:
        _calcium(canvas, anatomy["calcium"], rng, section)

    for amount, density in (
        (section.eosin, EOSIN),
        (section.nuclei, HAEMATOXYLIN),
        (section.collagen, COLLAGEN),
        (section.blood, BLOOD),
        (section.calcium, CALCIUM),
    ):
        canvas.absorb(amount, np.array(density) * rng.uniform(0.82, 1.18) * rng.uniform(0.92, 1.08, 3))
    tilt_x, tilt_y = rng.uniform(-0.08, 0.08, 2)
    canvas.add(tilt_x * (canvas.x - 0.5) + tilt_y * (canvas.y - 0.5))
    canvas.expose(rng, blur=rng.uniform(0.001, 0.0035), noise=rng.uniform(0.008, 0.022))
    return canvas


def _lobule(canvas, anatomy, rng, vein, grain):
    """Hepatocytes in plates that radiate from the vein, sinusoids between the plates."""
    pitch = anatomy["cell"]
    x, y = np.meshgrid(np.arange(-0.05, 1.05 + pitch, pitch), np.arange(-0.05, 1.05 + pitch, 0.9 * pitch))
    x[::2] += pitch / 2
    cells = np.stack([x.ravel(), y.ravel()], 1) + rng.uniform(-0.22, 0.22, (x.size, 2)) * pitch
    owner, inside = canvas.mosaic(*cells.T, np.full(len(cells), 0.5 * pitch), roundness=0.10, reach=2.3)
    borders = 1.0 - 0.28 * np.exp(-((inside / 0.004) ** 2))

    # Plates one to two cells thick: bands of equal angle about the vein, warped, doubling outwards.
    dx, dy = canvas.x - vein[0], canvas.y - vein[1]
    distance = np.hypot(dx, dy) + 0.02
    warp = canvas.texture(rng, 0.07)
    angle = np.arctan2(dy, dx) + 0.35 * canvas.texture(rng, 0.30) + 0.10 * warp
    octave = np.floor(np.log2(distance / 0.12)).clip(0, 4)
    count = 8 * 2**octave
    phase = np.abs((angle * count / (2 * np.pi)) % 1.0 - 0.5)
    to_sinusoid = phase * 2 * np.pi * distance / count
    width = anatomy["sinusoid"] + anatomy["dilated"] + anatomy["amyloid"]
    gap = canvas.edge(to_sinusoid - width * (1.0 + 0.25 * warp) / 2, 0.008)

    tone = rng.normal(1.0, 0.07, len(cells))[owner]
    section = Section(
        eosin=(1.0 - gap) * borders * tone * (1.0 + 0.10 * grain) + 0.08 * gap,
        nuclei=np.zeros_like(gap),
        collagen=np.zeros_like(gap),
        blood=np.zeros_like(gap),
        calcium=np.zeros_like(gap),
    )
    at = cells + rng.normal(0, 0.06, cells.shape) * pitch
    # A nucleus in the way of a sinusoid is not in the plane of the section.
    pixel = (at * canvas.size).astype(int).clip(0, canvas.size - 1)
    seen = gap[pixel[:, 1], pixel[:, 0]] < 0.5
    r = rng.uniform(0.17, 0.22, len(cells)) * pitch
    section.nuclei += canvas.ellipses_alpha(*at[seen].T, r[seen]) * (0.62 + 0.10 * grain)
    section.nuclei += 0.45 * canvas.ellipses_alpha(*(at + 0.2 * pitch * rng.normal(0, 0.2, at.shape))[seen].T, 0.004)
    # Flat endothelial and Kupffer nuclei lie along the sinusoids.
    lining = rng.uniform(0, 1, (400, 2))
    pixel = (lining * canvas.size).astype(int)
    lining = lining[gap[pixel[:, 1], pixel[:, 0]] > 0.8][:30]
    if len(lining):
        radial = np.arctan2(*(lining - vein).T[::-1])
        section.nuclei = np.maximum(section.nuclei, canvas.ellipses_alpha(*lining.T, 0.010, 0.0045, radial))
    if anatomy["amyloid"]:
        section.eosin += gap * (0.42 + 0.03 * canvas.texture(rng, 0.05))
        canvas.mark(gap > 0.5, AMYLOID)
    if anatomy["dilated"]:
        red = rng.uniform(0, 1, (260, 2))
        section.blood += canvas.ellipses_alpha(*red.T, 0.0095, soft=0.007) * gap * 0.75
        canvas.mark(gap > 0.5, SINUSOIDAL_DILATATION)
    return section, cells[seen]


def _steatosis(canvas, anatomy, rng, section, hepatocytes):
    pitch = anatomy["cell"]
    for hpo_id, fraction in anatomy["fat"].items():
        hosts = hepatocytes[rng.permutation(len(hepatocytes))[: max(3, round(fraction * len(hepatocytes)))]]
        if hpo_id == MACROVESICULAR:
            droplets = hosts + rng.normal(0, 0.10, hosts.shape) * pitch
            r = rng.uniform(0.30, 0.56, len(hosts)) * pitch
            fat = canvas.ellipses_alpha(*droplets.T, r)
            canvas.mark(fat > 0.5, hpo_id)
        else:
            angle, r = rng.uniform(0, 2 * np.pi, (11, len(hosts))), rng.uniform(0.26, 0.48, (11, len(hosts))) * pitch
            x, y = (hosts.T[:, None] + r * np.stack([np.cos(angle), np.sin(angle)])).reshape(2, -1)
            fat = 0.9 * canvas.ellipses_alpha(x, y, rng.uniform(0.075, 0.13, x.size) * pitch, soft=0.005)
            canvas.mark(canvas.ellipses_alpha(*hosts.T, 0.5 * pitch) > 0.5, hpo_id)
        section.clear(fat)


def _necrosis(canvas, reach, rng, section, vein, grain):
    distance = np.hypot(canvas.x - vein[0], canvas.y - vein[1]) + 0.025 * canvas.texture(rng, 0.08)
    dead = canvas.edge(distance - reach, 0.02)
    cracks = np.clip(canvas.texture(rng, 0.022) - 0.55, 0, 1) * dead
    section.nuclei *= 1.0 - 0.93 * dead
    section.eosin *= (1.0 + 0.45 * dead * (1.0 + 0.3 * grain)) * (1.0 - 0.85 * cracks)
    debris = rng.normal(0, 0.6 * reach, (int(500 * reach**2), 2)) + vein
    section.nuclei += canvas.ellipses_alpha(*debris.T, 0.0045) * dead
    canvas.mark(dead > 0.5, NECROSIS)


def _septa(canvas, width, rng, section, portal, vein, grain):
    """Bands from the tract to the vein and out of the picture on both sides, fibrous along their run."""
    side = np.array([-(portal - vein)[1], (portal - vein)[0]])
    side = 0.9 * side / np.hypot(*side)
    warp = 2.5 * canvas.texture(rng, 0.05)
    bands = np.zeros_like(section.eosin)
    for start, end in ((vein, portal), (portal, portal + side), (portal, portal - side)):
        t = np.linspace(0, 1, 6)[:, None]
        path = start + t * (end - start) + rng.normal(0, 0.03, (6, 2)) * np.sin(np.pi * t)
        band = canvas.stroke_alpha(path, width * rng.uniform(0.8, 1.2, 6), soft=0.015)
        section.clear(band)
        angle = np.arctan2(*(end - start)[::-1])
        fibres = np.sin(220 * (canvas.y * np.cos(angle) - canvas.x * np.sin(angle)) + warp)
        section.collagen += band * (1.0 + 0.12 * fibres + 0.12 * grain)
        at = rng.uniform(0, 1, (220, 2))
        section.nuclei += canvas.ellipses_alpha(*at.T, 0.011, 0.0035, angle + rng.normal(0, 0.3, 220)) * band
        np.maximum(bands, band, out=bands)
    canvas.mark(bands > 0.5, BRIDGING_FIBROSIS)


def _granuloma(canvas, rng, section, grain):
    centre, r = rng.uniform(0.15, 0.85, 2), rng.uniform(0.095, 0.125)
    nest = canvas.blob_alpha(rng, *centre, r, roughness=0.18, soft=0.015)
    section.clear(nest)
    section.eosin += nest * (0.42 + 0.10 * canvas.texture(rng, 0.025) + 0.04 * grain)
    angle, orbit = rng.uniform(0, 2 * np.pi, 22), r * 0.75 * np.sqrt(rng.random(22))
    x, y = centre[0] + orbit * np.cos(angle), centre[1] + orbit * np.sin(angle)
    section.nuclei += 0.5 * canvas.ellipses_alpha(x, y, 0.013, 0.006, rng.uniform(0, np.pi, 22))
    ring = rng.uniform(0, 2 * np.pi, 70)
    orbit = r * rng.normal(1.02, 0.10, 70)
    cuff = canvas.ellipses_alpha(centre[0] + orbit * np.cos(ring), centre[1] + orbit * np.sin(ring), 0.0085)
    section.nuclei = np.maximum(section.nuclei, cuff)
    # A giant cell: nuclei in a horseshoe.
    horseshoe = rng.uniform(0, 2 * np.pi) + np.linspace(0, 4.2, 8)
    giant = centre + rng.uniform(-0.3, 0.3, 2) * r
    section.eosin += 0.35 * canvas.ellipse_alpha(*giant, 0.034)
    nuclei = canvas.ellipses_alpha(giant[0] + 0.024 * np.cos(horseshoe), giant[1] + 0.024 * np.sin(horseshoe), 0.0065)
    section.nuclei = np.maximum(section.nuclei, 0.9 * nuclei)
    canvas.mark(nest > 0.5, GRANULOMAS)


def _central_vein(canvas, rng, section, vein):
    r, angle = rng.uniform(0.045, 0.07), rng.uniform(0, np.pi)
    flat = rng.uniform(0.65, 1.0)
    wall = canvas.ellipse_alpha(*vein, r + 0.009, r * flat + 0.009, angle)
    lumen = canvas.ellipse_alpha(*vein, r, r * flat, angle)
    section.clear(wall)
    section.collagen += 0.9 * (wall - lumen)
    red = vein + rng.normal(0, 0.4 * r, (int(rng.integers(0, 14)), 2))
    section.blood += 0.7 * canvas.ellipses_alpha(*red.T, 0.0095) * lumen


def _portal_tract(canvas, anatomy, rng, section, portal, grain):
    r = rng.uniform(0.10, 0.125)
    tract = canvas.blob_alpha(rng, *portal, r, roughness=0.30, soft=0.015)
    section.clear(tract)
    section.collagen += tract * (0.85 + 0.18 * grain)
    turn = rng.uniform(0, 2 * np.pi)
    triad = [portal + 0.50 * r * np.array([np.cos(turn + k), np.sin(turn + k)]) for k in (0.0, 2.3, 4.2)]

    n = anatomy["lymphocytes"]
    swarm = portal + rng.normal(0, (0.45 + 0.0022 * n) * r, (n, 2))
    cells = canvas.ellipses_alpha(*swarm.T, 0.0085, soft=0.005)
    section.nuclei = np.maximum(section.nuclei, 1.05 * cells)
    canvas.mark(canvas.ellipses_alpha(*swarm.T, 0.014) > 0.5, PORTAL_INFLAMMATION)

    vein = canvas.ellipse_alpha(*triad[0], 0.036, 0.024, rng.uniform(0, np.pi))
    section.clear(vein)
    section.blood += 0.35 * vein * (grain > 0.3)
    artery, lumen = canvas.ellipse_alpha(*triad[1], 0.019), canvas.ellipse_alpha(*triad[1], 0.008)
    section.clear(artery)
    section.eosin += 0.9 * (artery - lumen)
    for k in range(anatomy["ducts"]):
        angle = rng.uniform(0, 2 * np.pi)
        spread = rng.uniform(0.55, 1.25) * r
        centre = triad[2] if k == 0 else portal + spread * np.array([np.cos(angle), np.sin(angle)])
        _bile_duct(canvas, rng, section, centre)


def _bile_duct(canvas, rng, section, centre):
    """A ring of cuboidal cells with round nuclei about a small lumen."""
    r = rng.uniform(0.020, 0.025)
    duct, lumen = canvas.ellipse_alpha(*centre, r + 0.008), canvas.ellipse_alpha(*centre, 0.45 * r)
    section.clear(duct)
    section.eosin += 0.45 * (duct - lumen)
    angle = np.linspace(0, 2 * np.pi, 9, endpoint=False) + rng.uniform(0, 1)
    ring = canvas.ellipses_alpha(centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle), 0.0072, soft=0.005)
    section.nuclei = np.maximum(section.nuclei, ring)
    canvas.mark(duct > 0.5, DUCTULES)


def _calcium(canvas, count, rng, section):
    for centre in rng.uniform(0.06, 0.94, (count, 2)):
        n = int(rng.integers(6, 10))
        angle = np.sort(rng.uniform(0, 2 * np.pi, n))
        r = rng.uniform(0.018, 0.045) * rng.uniform(0.75, 1.25, n)
        stone = canvas.polygon_alpha(np.stack([centre[0] + r * np.cos(angle), centre[1] + r * np.sin(angle)], 1), 0.006)
        section.clear(stone)
        rings = 0.2 * np.sin(np.hypot(canvas.x - centre[0], canvas.y - centre[1]) * 700)
        section.calcium = np.maximum(section.calcium, stone * (1.0 + rings))
        canvas.mark(stone > 0.5, CALCIFICATION)
