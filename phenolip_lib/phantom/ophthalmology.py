"""Colour fundus photographs: optic disc, fovea and the vessels that arch from one around the other.

Everything is laid out for a right eye, in fractions of the picture at unit zoom with the fovea at the
origin and the disc to its right; a left eye is the mirror image of the finished picture. Blood and
pigment absorb light (Beer-Lambert), so a vessel is dark red on the retina and red on the pale disc.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("ophthalmology", views=("fundus photograph", "color fundus photograph", "retinal photograph"))

BLOT_HEMORRHAGE, FLAME_HEMORRHAGE, EXUDATE, COTTON_WOOL = "HP:0025242", "HP:0025241", "HP:0030496", "HP:0031606"
CUPPING, OPTIC_ATROPHY, PAPILLEDEMA, DRUSEN = "HP:0012796", "HP:0000648", "HP:0001085", "HP:0030499"
COLOBOMA, TORTUOSITY, ATTENUATION = "HP:0031613", "HP:0007768", "HP:0007843"
BONE_SPICULES, CHERRY_RED_SPOT = "HP:0007737", "HP:0010729"

VEIN, ARTERY, PIGMENT = (0.55, 1.25, 1.0), (0.24, 0.85, 0.75), (0.7, 0.9, 0.8)
EXTRAVASATED = (0.75, 1.9, 1.5)

# Bezier controls of the four trunks from the disc: upper half, mirrored for the lower one.
TEMPORAL = np.array([(0.0, 0.0), (0.05, -0.19), (-0.18, -0.37), (-0.66, -0.19)])
NASAL = np.array([(0.0, 0.0), (0.04, -0.10), (0.14, -0.20), (0.40, -0.34)])


@domain.anatomy
def normal(rng):
    """A healthy fundus: small cup, pink disc with a sharp rim, smooth vessels, nothing on the retina."""
    return {
        "left": rng.random() < 0.5,
        "disc_radius": rng.uniform(0.058, 0.067),
        "cup": rng.uniform(0.18, 0.42),
        "pallor": rng.uniform(0.0, 0.15),
        "swelling": 0.0,
        "caliber": rng.uniform(0.92, 1.12),
        "tortuosity": rng.uniform(0.002, 0.005),
        "coloboma": 0.0,
        "macular_pallor": 0.0,
        "blots": 0,
        "flames": 0,
        "exudates": 0,
        "cotton_wool": 0,
        "drusen": 0,
        "spicules": 0,
    }


# --- phenotypes ----------------------------------------------------------------------------------


@domain.finding(BLOT_HEMORRHAGE)
def dot_and_blot_hemorrhages(anatomy, severity, rng):
    """Dot-and-blot retinal hemorrhage: round dark red spots deep in the retina."""
    anatomy["blots"] = int(7 + 45 * severity)


@domain.finding(FLAME_HEMORRHAGE)
def flame_hemorrhages(anatomy, severity, rng):
    """Flame-shaped retinal hemorrhage: feathered streaks along the nerve fibres about the disc."""
    anatomy["flames"] = int(2 + 13 * severity)


@domain.finding(EXUDATE, excludes=(DRUSEN, CHERRY_RED_SPOT))
def macular_exudates(anatomy, severity, rng):
    """Macular exudate: waxy yellow, sharply edged flecks in clusters and rings about the fovea."""
    anatomy["exudates"] = int(14 + 110 * severity)


@domain.finding(COTTON_WOOL)
def cotton_wool_spots(anatomy, severity, rng):
    """Retinal cotton wool spot: fluffy white patches near the vascular arcades."""
    anatomy["cotton_wool"] = int(2 + 8 * severity)


@domain.finding(CUPPING, excludes=(PAPILLEDEMA,))
def cupping(anatomy, severity, rng):
    """Increased cup-to-disc ratio: the pale cup takes up more than half of the disc."""
    anatomy["cup"] = 0.58 + 0.32 * severity


@domain.finding(OPTIC_ATROPHY, excludes=(PAPILLEDEMA,))
def optic_atrophy(anatomy, severity, rng):
    """Optic atrophy: the disc turns chalk white."""
    anatomy["pallor"] = 0.50 + 0.50 * severity


@domain.finding(PAPILLEDEMA)
def papilledema(anatomy, severity, rng):
    """Papilledema: a swollen, congested disc without cup, its rim blurred and its vessels veiled."""
    anatomy["swelling"] = 0.30 + 0.70 * severity


@domain.finding(DRUSEN, excludes=(CHERRY_RED_SPOT,))
def macular_drusen(anatomy, severity, rng):
    """Macular drusen: many soft-edged, pale round deposits spread over the macula."""
    anatomy["drusen"] = int(14 + 75 * severity)


@domain.finding(COLOBOMA)
def chorioretinal_coloboma(anatomy, severity, rng):
    """Inferior chorioretinal coloboma: bare white sclera with a pigmented edge below the disc."""
    anatomy["coloboma"] = 0.085 + 0.085 * severity


@domain.finding(TORTUOSITY)
def vascular_tortuosity(anatomy, severity, rng):
    """Central retinal vessel vascular tortuosity: the main vessels wind like snakes."""
    anatomy["tortuosity"] = 0.012 + 0.014 * severity


@domain.finding(ATTENUATION)
def vessel_attenuation(anatomy, severity, rng):
    """Attenuation of retinal blood vessels: threadlike vessels, the arteries above all."""
    anatomy["caliber"] = 0.62 - 0.28 * severity


@domain.finding(BONE_SPICULES, excludes=(COLOBOMA,))
def bone_spicules(anatomy, severity, rng):
    """Bone spicule pigmentation of the retina: black branching clumps in the mid-periphery."""
    anatomy["spicules"] = int(10 + 55 * severity)


@domain.finding(CHERRY_RED_SPOT)
def cherry_red_spot(anatomy, severity, rng):
    """Cherry red spot of the macula: the retina about the fovea turns milky, the fovea stays red."""
    anatomy["macular_pallor"] = 0.35 + 0.50 * severity


# --- drawing -------------------------------------------------------------------------------------


@dataclass
class _Fundus:
    """The picture with its landmarks: positions in fractions of the picture, lengths scaled by `zoom`."""

    canvas: Canvas
    fovea: np.ndarray
    disc: np.ndarray
    zoom: float
    field: np.ndarray
    """What the camera sees: 1 inside its round field, 0 outside."""

    def show(self, alpha, finding, threshold=0.3):
        self.canvas.mark((alpha > threshold) & (self.field > 0.5), finding)

    def scatter(self, rng, n, centre, inner, outer):
        """`n` places between two distances of a centre, all inside the field; shape ``(n, 2)``."""
        angle, u = rng.uniform(0, 2 * np.pi, n), rng.random(n)
        r = self.zoom * np.sqrt(inner**2 + u * (outer**2 - inner**2))
        places = centre + np.stack([r * np.cos(angle), r * np.sin(angle)], 1) - 0.5
        far = np.maximum(np.hypot(*places.T) / 0.42, 1.0)
        return 0.5 + places / far[:, None]


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size, np.array((0.86, 0.42, 0.20)) * rng.uniform(0.88, 1.1, 3))
    zoom = rng.uniform(0.92, 1.10)
    fovea = (0.5 + zoom * rng.uniform((-0.16, -0.035), (-0.07, 0.035))).astype(np.float32)
    disc = (fovea + zoom * rng.uniform((0.285, -0.04), (0.32, 0.0))).astype(np.float32)
    radius = rng.uniform(0.455, 0.485) if rng.random() < 0.75 else rng.uniform(0.53, 0.6)
    field = canvas.edge(np.hypot(canvas.x - 0.5, canvas.y - 0.5) - radius, 0.010)
    fundus = _Fundus(canvas, fovea, disc, zoom, field)

    _retina(fundus, anatomy, rng)
    _coloboma(fundus, anatomy, rng)
    _deposits(fundus, anatomy, rng)
    veil = _optic_disc(fundus, anatomy, rng)
    _vessels(fundus, anatomy, rng, veil)
    _hemorrhages(fundus, anatomy, rng)
    _cotton_wool_spots(fundus, anatomy, rng)
    _bone_spicules(fundus, anatomy, rng)
    _camera(fundus, rng)
    if anatomy["left"]:
        canvas.rgb = np.ascontiguousarray(canvas.rgb[:, ::-1])
        canvas.masks = {hpo_id: np.ascontiguousarray(mask[:, ::-1]) for hpo_id, mask in canvas.masks.items()}
    return canvas


def _retina(fundus, anatomy, rng):
    """Pigment epithelium over the choroid, darker at the macula; milky there in a cherry red spot."""
    canvas = fundus.canvas
    pigment = rng.uniform(0.0, 0.45)
    canvas.absorb(pigment + 0.05 * canvas.texture(rng, 0.16), PIGMENT)
    canvas.absorb(rng.uniform(0.02, 0.07) * canvas.texture(rng, 0.022), (0.5, 1.0, 0.8))
    distance = np.hypot(canvas.x - fundus.fovea[0], canvas.y - fundus.fovea[1]) / fundus.zoom
    canvas.absorb(rng.uniform(0.25, 0.5) * np.exp(-((distance / 0.085) ** 2)), (0.5, 1.0, 0.9))
    if anatomy["macular_pallor"]:
        radius = rng.uniform(0.12, 0.15)
        halo = canvas.edge(distance - radius, 0.14) * (1.0 - canvas.edge(distance - 0.036, 0.026))
        canvas.paint(halo * (0.9 + 0.07 * canvas.texture(rng, 0.03)), (0.92, 0.82, 0.62), anatomy["macular_pallor"])
        canvas.absorb(canvas.edge(distance - 0.030, 0.02), (0.2, 1.0, 0.8))
        fundus.show(canvas.edge(distance - radius, 0.02), CHERRY_RED_SPOT)
    canvas.add(rng.uniform(0.0, 0.12) * np.exp(-((distance / 0.008) ** 2)))


def _coloboma(fundus, anatomy, rng):
    if not anatomy["coloboma"]:
        return
    canvas, r = fundus.canvas, anatomy["coloboma"] * fundus.zoom
    x, y = fundus.disc + fundus.zoom * rng.uniform((-0.12, 0.22), (-0.06, 0.25))
    hole = canvas.blob_alpha(rng, x, y, r, roughness=0.22, soft=0.012, lobes=4)
    rim = canvas.blob_alpha(rng, x, y, 1.12 * r, roughness=0.12, soft=0.05)
    canvas.absorb(rim * (1.0 - hole) * rng.uniform(0.6, 1.2), PIGMENT)
    canvas.paint(hole, (0.95, 0.90, 0.76), 0.93)
    canvas.absorb(hole * np.maximum(canvas.texture(rng, 0.07), 0), (0.06, 0.14, 0.14))
    fundus.show(hole, COLOBOMA)


def _deposits(fundus, anatomy, rng):
    """Drusen spread evenly over the macula; exudates in clusters and parts of rings, brighter and sharper."""
    canvas, zoom = fundus.canvas, fundus.zoom
    if anatomy["drusen"]:
        n = anatomy["drusen"]
        places = fundus.scatter(rng, n, fundus.fovea, 0.0, 0.15)
        r = zoom * rng.lognormal(np.log(0.0075), 0.35, n).clip(0.004, 0.016)
        alpha = canvas.ellipses_alpha(*places.T, r, soft=0.012)
        canvas.paint(alpha, (0.97, 0.82, 0.48), 0.62)
        fundus.show(alpha, DRUSEN)
    if anatomy["exudates"]:
        n, clusters = anatomy["exudates"], 2 + anatomy["exudates"] // 28
        hub = fundus.scatter(rng, clusters, fundus.fovea, 0.05, 0.13)
        ring = zoom * rng.uniform(0.02, 0.06, clusters)
        start, span = rng.uniform(0, 2 * np.pi, clusters), rng.uniform(2.0, 6.0, clusters)
        which = rng.integers(0, clusters, n)
        angle = start[which] + span[which] * rng.random(n)
        r = ring[which] * rng.normal(1.0, 0.14, n)
        x, y = hub[which].T + r * np.array((np.cos(angle), np.sin(angle)))
        length = zoom * rng.uniform(0.003, 0.0095, n)
        alpha = canvas.ellipses_alpha(x, y, length, length * rng.uniform(0.5, 1, n), rng.uniform(0, np.pi, n), 0.005)
        canvas.paint(alpha, (1.0, 0.93, 0.45), 0.92)
        fundus.show(alpha, EXUDATE)


def _optic_disc(fundus, anatomy, rng):
    """Draw the disc with its cup; return the veil that a swollen disc lays over the vessels."""
    canvas, swelling = fundus.canvas, anatomy["swelling"]
    r = fundus.zoom * anatomy["disc_radius"] * (1.0 + 0.45 * swelling)
    turn = rng.uniform(-0.3, 0.3)
    aspect = rng.uniform(0.86, 0.97)
    if rng.random() < 0.35 and not swelling:  # temporal crescent of thinned pigment
        crescent = canvas.ellipse_alpha(fundus.disc[0] - 0.14 * r, fundus.disc[1], r * aspect, r, turn, soft=0.008)
        canvas.paint(crescent, (0.85, 0.55, 0.33), 0.6)
    dx, dy = canvas.x - fundus.disc[0], canvas.y - fundus.disc[1]
    distance = np.hypot(dx / aspect, dy)
    if swelling:  # the margin frays along the nerve fibres
        fibres = canvas.texture(rng, 0.04) + 0.5 * np.sin(23 * np.arctan2(dy, dx) + 2 * canvas.texture(rng, 0.06))
        distance += 0.007 * swelling * fibres
    disc = canvas.edge(distance - r, 0.008 + 0.06 * swelling)
    pink, chalk = np.array((0.97, 0.68, 0.41)), np.array((0.95, 0.96, 0.95))
    pink = pink + swelling * np.array((-0.03, -0.12, -0.08)) + rng.uniform(-0.03, 0.03, 3)
    pallor = anatomy["pallor"]
    canvas.paint(disc, pink + pallor * (chalk - pink), 0.95)
    if swelling:
        ridge = np.exp(-(((distance - 1.15 * r) / (0.45 * r)) ** 2))
        canvas.paint(ridge, (0.93, 0.74, 0.52), 0.5 * swelling)
    else:
        cup = r * anatomy["cup"]
        shift = 0.5 * (r - cup) * rng.uniform(0.1, 0.5)
        bowl = canvas.ellipse_alpha(fundus.disc[0] - shift, fundus.disc[1], cup * aspect, cup, turn, soft=0.010)
        canvas.paint(bowl, np.array((1.0, 0.91, 0.68)) * (1 - pallor) + pallor * chalk, 0.9)
    for finding in (CUPPING, OPTIC_ATROPHY, PAPILLEDEMA):
        fundus.show(disc, finding)
    return 0.85 * swelling * np.exp(-(((distance - 1.0 * r) / (0.45 * r)) ** 2))


def _vessels(fundus, anatomy, rng, veil):
    """Four arteries and four veins with two generations of branches, swept as dots along their curves."""
    canvas = fundus.canvas
    up = np.array((1.0, -1.0))
    controls = np.stack([TEMPORAL, NASAL, TEMPORAL * up, NASAL * up] * 2)
    controls = controls + rng.normal(0, 0.022, controls.shape) * np.array([0.15, 0.8, 1, 1])[:, None]
    arteries = np.arange(8) < 4
    t = np.linspace(0, 1, 140)
    t = t * (1.5 - 0.5 * t)  # about even steps along the curve
    basis = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3])
    trunk = np.einsum("kt,vkd->vtd", basis, controls)
    trunk += _winding(trunk, anatomy["tortuosity"], rng)
    width = np.where(arteries, 0.0085, 0.0115)[:, None] * (1.0 - 0.5 * t)

    branch, branch_width, parent = _sprout(trunk, width, 4, (0.12, 0.26), 50, rng)
    branch += _winding(branch, 0.35 * anatomy["tortuosity"], rng)
    twig, twig_width, grandparent = _sprout(branch, branch_width, 2, (0.04, 0.11), 24, rng)
    generations = [(trunk, width, arteries), (branch, branch_width, arteries[parent])]
    generations.append((twig, twig_width, arteries[parent][grandparent]))

    caliber = anatomy["caliber"] * fundus.zoom
    # The vessels enter on the nasal side, pushed to the rim of the disc by a large cup.
    nasal = (0.15 + 0.5 * anatomy["cup"]) * (1 - anatomy["swelling"]) * anatomy["disc_radius"] * fundus.zoom
    origin = fundus.disc + np.array((nasal, 0.0))
    clear = 1.0 - veil
    for artery, density, thinning in ((False, VEIN, 1.0), (True, ARTERY, min(1.0, 1.35 * anatomy["caliber"]))):
        total = np.zeros_like(clear)
        for points, widths, kind in generations:
            x, y = (origin + fundus.zoom * points[kind == artery].reshape(-1, 2)).T
            w = caliber * thinning * widths[kind == artery].ravel()
            seen = (np.hypot(x - 0.5, y - 0.5) < 0.58) & (np.hypot(x - fundus.fovea[0], y - fundus.fovea[1]) > 0.05)
            # A vessel thinner than a pixel is drawn one pixel wide, but fainter.
            drawn = np.maximum(w, 1.0 / canvas.size)
            alpha = canvas.ellipses_alpha(x[seen], y[seen], drawn[seen] / 2, soft=0.005)
            faint = min(1.0, float((w / drawn).mean()) * 1.15)
            total = np.maximum(total, faint * alpha)
            if points is trunk:
                fundus.show(alpha, TORTUOSITY)
                fundus.show(alpha, ATTENUATION)
        canvas.absorb(total * clear, np.array(density) * rng.uniform(0.85, 1.1))


def _winding(curves, amplitude, rng):
    """Sideways displacement of curves ``(n, points, 2)``: two sines, held still at the origin."""
    n, points, _ = curves.shape
    step = np.gradient(curves, axis=1)
    pace = np.linalg.norm(step, axis=-1)
    normal = np.stack([-step[..., 1], step[..., 0]], -1) / np.maximum(pace, 1e-9)[..., None]
    s = np.cumsum(pace, 1)
    frequency, phase = rng.uniform((4, 7.5), (6.5, 10), (n, 2)), rng.uniform(0, 2 * np.pi, (n, 2))
    waves = np.sin(2 * np.pi * frequency[:, None] * s[..., None] + phase[:, None]) @ np.array((0.8, 0.8))
    return (amplitude * waves * np.clip(s / 0.08, 0, 1))[..., None] * normal


def _sprout(parents, widths, count, lengths, points, rng):
    """Side branches of curves ``(n, p, 2)``: alternately left and right, bending back along the parent.

    Returns:
        the branches ``(n * count, points, 2)``, their widths and the index of each one's parent.
    """
    n, p, _ = parents.shape
    parent = np.repeat(np.arange(n), count)
    slot = np.tile(np.arange(count), n)
    at = (p * (0.16 + 0.74 * (slot + rng.uniform(0.1, 0.9, n * count)) / count)).astype(int).clip(1, p - 2)
    tangent = parents[parent, at + 1] - parents[parent, at - 1]
    heading = np.arctan2(tangent[:, 1], tangent[:, 0])
    side = np.where((slot + rng.integers(0, 2, n)[parent]) % 2, 1.0, -1.0)
    opening, closing = rng.uniform(0.6, 1.1, n * count), rng.uniform(0.1, 0.5, n * count)
    s = np.linspace(0, 1, points)
    angle = heading[:, None] + side[:, None] * (opening[:, None] * (1 - s) + closing[:, None] * s)
    step = (rng.uniform(*lengths, n * count) * (1.15 - 0.4 * at / p) / points)[:, None]
    offsets = np.cumsum(np.stack([step * np.cos(angle), step * np.sin(angle)], -1), 1)
    start = widths[parent, at] * rng.uniform(0.42, 0.6, n * count)
    return parents[parent, at][:, None] + offsets, start[:, None] * (1 - 0.5 * s), parent


def _hemorrhages(fundus, anatomy, rng):
    canvas, zoom = fundus.canvas, fundus.zoom
    if anatomy["blots"]:
        n = anatomy["blots"]
        places = fundus.scatter(rng, n, (fundus.fovea + 0.5) / 2, 0.03, 0.36)
        r = zoom * rng.lognormal(np.log(0.0072), 0.45, n).clip(0.0035, 0.019)
        alpha = canvas.ellipses_alpha(*places.T, r, r * rng.uniform(0.7, 1, n), rng.uniform(0, np.pi, n), soft=0.007)
        canvas.absorb(0.85 * alpha, EXTRAVASATED)
        fundus.show(alpha, BLOT_HEMORRHAGE)
    if anatomy["flames"]:
        n, streaks = anatomy["flames"], 9
        angle, reach = rng.uniform(0, 2 * np.pi, n), zoom * rng.uniform(0.085, 0.24, n)
        offset = np.stack([np.cos(angle), np.sin(angle)], 1) * reach[:, None]
        hub = 0.5 + np.clip(fundus.disc + offset - 0.5, -0.31, 0.31)
        heading = np.arctan2(*(hub - fundus.disc).T[::-1]) + rng.normal(0, 0.12, n)
        length = zoom * rng.uniform(0.018, 0.042, (n, streaks))
        along = rng.uniform(-0.5, 0.5, (n, streaks)) * length
        across = zoom * np.linspace(-0.016, 0.016, streaks) * rng.uniform(0.5, 1.1, (n, 1))
        c, s = np.cos(heading)[:, None], np.sin(heading)[:, None]
        x, y = hub[:, :1] + c * along - s * across, hub[:, 1:] + s * along + c * across
        tilt = np.broadcast_to(heading[:, None], x.shape) + rng.normal(0, 0.08, x.shape)
        alpha = canvas.ellipses_alpha(*(a.ravel() for a in (x, y, length)), 0.0032 * zoom, tilt.ravel(), soft=0.006)
        canvas.absorb(0.75 * alpha, EXTRAVASATED)
        fundus.show(alpha, FLAME_HEMORRHAGE)


def _cotton_wool_spots(fundus, anatomy, rng):
    if not anatomy["cotton_wool"]:
        return
    canvas, zoom, n = fundus.canvas, fundus.zoom, anatomy["cotton_wool"]
    places = fundus.scatter(rng, n, (fundus.disc + fundus.fovea) / 2, 0.17, 0.30)
    r = zoom * rng.uniform(0.014, 0.026, n)
    turn = rng.uniform(0, np.pi, n)
    alpha = canvas.ellipses_alpha(*places.T, 1.2 * r, r * rng.uniform(0.6, 0.95, n), turn, soft=0.045)
    fluff = np.clip(alpha * (1.1 + 0.45 * canvas.texture(rng, 0.014)) - 0.1, 0, 1)
    canvas.paint(fluff, (0.98, 0.92, 0.76), 0.9)
    fundus.show(alpha, COTTON_WOOL)


def _bone_spicules(fundus, anatomy, rng):
    """Star-shaped clumps: three to five thin arms about a small body, along the vessels' periphery."""
    if not anatomy["spicules"]:
        return
    canvas, n, arms = fundus.canvas, anatomy["spicules"], 5
    places = fundus.scatter(rng, n, np.array((0.5, 0.5)), 0.27, 0.42)
    angle = rng.uniform(0, 2 * np.pi, (n, 1)) + 2 * np.pi * np.arange(arms) / arms + rng.normal(0, 0.35, (n, arms))
    length = rng.uniform(0.003, 0.016, (n, arms))
    x, y = places[:, :1] + length * np.cos(angle), places[:, 1:] + length * np.sin(angle)
    alpha = canvas.ellipses_alpha(*(a.ravel() for a in (x, y, length)), 0.0026, angle.ravel(), soft=0.005)
    body = canvas.ellipses_alpha(*places.T, rng.uniform(0.003, 0.006, n), soft=0.005)
    alpha = np.maximum(alpha, body)
    canvas.paint(alpha, (0.07, 0.05, 0.05), 0.88)
    fundus.show(alpha, BONE_SPICULES)


def _camera(fundus, rng):
    """Uneven light, the colour cast of the camera, the round field, blur and noise."""
    canvas = fundus.canvas
    x, y = canvas.x - 0.5, canvas.y - 0.5
    tilt = rng.uniform(-0.35, 0.35, 2).astype(np.float32)
    light = 1.0 - rng.uniform(0.6, 1.6) * (x * x + y * y) + tilt[0] * x + tilt[1] * y
    canvas.rgb *= (rng.uniform(0.82, 1.12) * light)[..., None]
    canvas.rgb *= rng.uniform((0.94, 0.9, 0.75), (1.05, 1.02, 1.12)).astype(np.float32)
    if rng.random() < 0.2:  # a reflex creeping in at the edge of the field
        angle = rng.uniform(0, 2 * np.pi)
        glare = np.exp(-(((x - 0.5 * np.cos(angle)) ** 2 + (y - 0.5 * np.sin(angle)) ** 2) / 0.02))
        canvas.add(rng.uniform(0.1, 0.3) * glare, (1.0, 0.85, 0.6))
    canvas.rgb *= fundus.field[..., None]
    canvas.expose(rng, blur=rng.uniform(0.0015, 0.0045), noise=rng.uniform(0.005, 0.018))
