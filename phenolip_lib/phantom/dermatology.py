"""Clinical photographs of skin: what melanin and blood absorb, what scale hides, how the surface rises.

White skin is lit, then pigments take light away (Beer-Lambert), so the same lesion is drawn alike on
pale and on dark skin, and loss of pigment is a negative amount of melanin. Raised lesions are shaded
by the slope of their surface against one lamp.
"""

from __future__ import annotations

from math import cos, sin

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("dermatology", views=("clinical photograph of the skin", "skin photograph", "dermatology photograph"))

PETECHIAE, ECCHYMOSIS, PIEBALDISM, CAFE_AU_LAIT = "HP:0000967", "HP:0031364", "HP:0007544", "HP:0007565"
GIANT_NEVUS, MELANOMA, SPIDER, PSORIASIS = "HP:0005600", "HP:0012057", "HP:0012522", "HP:0003765"
DERMOGRAPHISM, STRIAE, LIVEDO, VESICLES = "HP:0011971", "HP:0001065", "HP:0033505", "HP:0031448"
ICHTHYOSIS, ERYTHEMA_MIGRANS = "HP:0007503", "HP:0031180"
LARGE = (GIANT_NEVUS, PIEBALDISM, ICHTHYOSIS, LIVEDO)
"""Findings that fill the picture and would hide one another."""

MELANIN, BLOOD, VENOUS = (0.55, 0.86, 1.10), (0.12, 0.85, 0.72), (0.62, 0.95, 0.50)
OLD_BLOOD = (0.10, 0.22, 0.75)

LIMBS = ("forearm", "upper arm", "thigh", "lower leg")
TORSO = ("chest", "back", "abdomen", "shoulder")
ANYWHERE = LIMBS + TORSO


@domain.anatomy
def normal(rng):
    """Healthy skin of any tone, hairy or smooth, with a few freckles and now and then a small mole."""
    return {
        "melanin": rng.beta(1.0, 1.4) * 1.45,
        "redness": rng.uniform(0.10, 0.26),
        "hairs": int(rng.integers(0, 45)) if rng.random() < 0.6 else 0,
        "freckles": int(rng.integers(0, 14)),
        "moles": int(rng.integers(0, 2)),
        "petechiae": 0,
        "bruises": [],  # radii
        "spots": [],  # radii of cafe-au-lait spots
        "plaques": [],  # radii
        "depigmented": 0.0,
        "nevus": 0.0,
        "melanoma": 0.0,
        "spiders": [],  # lengths of the legs
        "wheals": 0,
        "striae": 0,
        "net": 0.0,
        "vesicles": 0,
        "scales": 0.0,
        "migrans": 0.0,
    }


# --- phenotypes ----------------------------------------------------------------------------------


@domain.finding(PETECHIAE, sites=ANYWHERE)
def petechiae(anatomy, severity, rng):
    """Petechiae: pinpoint red to purple spots, flat, strewn in swarms."""
    anatomy["petechiae"] = int(35 + 260 * severity)


@domain.finding(ECCHYMOSIS, sites=ANYWHERE)
def ecchymosis(anatomy, severity, rng):
    """Ecchymosis: blurred purple patches, green and yellow towards the edge."""
    anatomy["bruises"] = rng.uniform(0.08, 0.11, 1 + int(2.99 * severity)) + 0.05 * severity


@domain.finding(PIEBALDISM, sites=("abdomen", "chest", "forearm", "lower leg"))
def piebaldism(anatomy, severity, rng):
    """Piebald skin depigmentation: a large chalk-white patch with islands of dark skin within."""
    anatomy["depigmented"] = 0.17 + 0.17 * severity
    anatomy["melanin"] = max(anatomy["melanin"], rng.uniform(0.35, 0.6))  # white shows on pigmented skin


@domain.finding(CAFE_AU_LAIT, sites=TORSO)
def cafe_au_lait_spots(anatomy, severity, rng):
    """Multiple cafe-au-lait spots: six or more even light-brown ovals with smooth borders."""
    anatomy["spots"] = rng.uniform(0.030, 0.055, int(6 + 6 * severity)) + 0.035 * severity * rng.random()
    anatomy["melanin"] = min(anatomy["melanin"], rng.uniform(0.3, 0.7))


@domain.finding(GIANT_NEVUS, excludes=(PIEBALDISM, ICHTHYOSIS, LIVEDO, MELANOMA), sites=("back", "trunk", "thigh"))
def giant_nevus(anatomy, severity, rng):
    """Congenital giant melanocytic nevus: a very large brown hairy plaque."""
    anatomy["nevus"] = 0.21 + 0.17 * severity


@domain.finding(MELANOMA, sites=("back", "chest", "lower leg", "upper arm"))
def melanoma(anatomy, severity, rng):
    """Superficial spreading melanoma: asymmetric, ragged border, brown, black, blue-gray and red together."""
    anatomy["melanoma"] = 0.085 + 0.085 * severity
    anatomy["melanin"] = min(anatomy["melanin"], rng.uniform(0.2, 0.6))


@domain.finding(SPIDER, sites=("chest", "shoulder", "upper arm", "neck"))
def spider_hemangioma(anatomy, severity, rng):
    """Spider hemangioma: a red point from which thin red vessels radiate like legs."""
    anatomy["spiders"] = rng.uniform(0.085, 0.115, 1 + int(2.99 * severity)) + 0.05 * severity


@domain.finding(PSORIASIS, sites=("elbow", "knee", "back", "forearm"))
def psoriasis(anatomy, severity, rng):
    """Psoriasiform dermatitis: sharply bordered salmon-red plaques under silvery scale."""
    anatomy["plaques"] = rng.uniform(0.06, 0.10, 1 + int(4.99 * severity)) + 0.03 * severity


@domain.finding(DERMOGRAPHISM, excludes=(STRIAE,), sites=("back", "forearm", "chest"))
def dermographism(anatomy, severity, rng):
    """Dermatographic urticaria: raised pale lines with red flare where the skin was scratched."""
    anatomy["wheals"] = 2 + int(7 * severity)


@domain.finding(STRIAE, sites=("abdomen", "thigh", "lower back", "breast"))
def striae(anatomy, severity, rng):
    """Striae distensae: parallel wavy spindle-shaped bands, purplish, slightly sunken."""
    anatomy["striae"] = 3 + int(9 * severity)


@domain.finding(LIVEDO, excludes=(PIEBALDISM, ICHTHYOSIS), sites=("thigh", "lower leg", "forearm"))
def livedo_reticularis(anatomy, severity, rng):
    """Livedo reticularis: a violet net of closed rings about pale skin."""
    anatomy["net"] = 0.22 + 0.50 * severity


@domain.finding(VESICLES, sites=("trunk", "back", "thigh", "upper arm"))
def herpetiform_vesicles(anatomy, severity, rng):
    """Herpetiform vesicles: small clear blisters crowded together on a red base."""
    anatomy["vesicles"] = 1 + int(3.99 * severity)


@domain.finding(ICHTHYOSIS, excludes=(PIEBALDISM,), sites=("lower leg", "trunk", "forearm"))
def ichthyosis(anatomy, severity, rng):
    """Generalized ichthyosis: polygonal scales like those of a fish over all of the skin."""
    anatomy["scales"] = 0.30 + 0.70 * severity
    anatomy["hairs"] = 0


@domain.finding(ERYTHEMA_MIGRANS, excludes=LARGE, sites=("thigh", "trunk", "back", "upper arm"))
def erythema_migrans(anatomy, severity, rng):
    """Erythema migrans: a wide red ring about clearing skin, with a red bite at its centre."""
    anatomy["migrans"] = 0.14 + 0.19 * severity


# --- drawing -------------------------------------------------------------------------------------


class _Skin:
    """The picture, the height of the skin's surface and the free places left for lesions."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        self.height = np.zeros((canvas.size, canvas.size), dtype=np.float32)
        self._taken: list[tuple[float, float, float]] = []

    def place(self, rng, radius):
        """A centre for a lesion of `radius`, inside the picture and as clear of the others as chance allows."""
        margin = min(0.5, 0.08 + 0.75 * radius)
        tries = rng.uniform(margin, 1 - margin, (12, 2))
        gaps = [min([np.hypot(x - a, y - b) - r for a, b, r in self._taken], default=1.0) for x, y in tries]
        x, y = tries[int(np.argmax(np.minimum(gaps, radius)))]
        self._taken.append((x, y, radius))
        return float(x), float(y)

    def mark(self, alpha, finding, threshold=0.4):
        self.canvas.mark(alpha > threshold, finding)


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size, (0.97, 0.88, 0.80))
    skin = _Skin(canvas)
    canvas.absorb(anatomy["melanin"] * (1.0 + 0.06 * canvas.texture(rng, 0.10)), MELANIN)
    canvas.absorb(anatomy["redness"] * (1.0 + 0.15 * canvas.texture(rng, 0.07)), BLOOD)
    skin.height += rng.uniform(0.0004, 0.0009) * canvas.texture(rng, 0.012) + 0.0016 * canvas.texture(rng, 0.06)

    _macules(skin, anatomy, rng)
    _pigmented_lesions(skin, anatomy, rng)
    _bleeding(skin, anatomy, rng)
    _vascular_lesions(skin, anatomy, rng)
    _plaques(skin, anatomy, rng)
    _lines(skin, anatomy, rng)
    _vesicles(skin, anatomy, rng)
    _scales(skin, anatomy, rng)
    _light(skin, rng)
    _hairs(canvas, anatomy["hairs"], rng, rng.uniform(0.45, 1.0))
    _camera(canvas, rng)
    return canvas


def _macules(skin, anatomy, rng):
    """Freckles and moles of healthy skin, cafe-au-lait spots, and the white patch of piebaldism."""
    canvas = skin.canvas
    n = anatomy["freckles"]
    freckles = canvas.ellipses_alpha(*rng.random((2, n)), rng.uniform(0.003, 0.007, n), soft=0.012)
    canvas.absorb(rng.uniform(0.15, 0.4) * freckles, MELANIN)
    moles = canvas.ellipses_alpha(*rng.random((2, anatomy["moles"])), rng.uniform(0.008, 0.016), soft=0.008)
    canvas.absorb(rng.uniform(0.7, 1.3) * moles, MELANIN)
    darker = rng.uniform(0.38, 0.55)
    for r in anatomy["spots"]:
        spot = canvas.blob_alpha(rng, *skin.place(rng, r), r, roughness=0.16, soft=0.010, lobes=3)
        canvas.absorb(darker * spot, MELANIN)
        skin.mark(spot, CAFE_AU_LAIT)
    if anatomy["depigmented"]:
        r = anatomy["depigmented"]
        x, y = skin.place(rng, r)
        patch = canvas.blob_alpha(rng, x, y, r, roughness=0.34, soft=0.012, lobes=9)
        n = int(4 + 40 * r)
        angle, reach = rng.uniform(0, 2 * np.pi, n), 0.85 * r * np.sqrt(rng.random(n))
        size = rng.uniform(0.010, 0.030, n)
        x, y = x + reach * np.cos(angle), y + reach * np.sin(angle)
        islands = canvas.ellipses_alpha(x, y, size, size * rng.uniform(0.6, 1, n), angle, soft=0.010)
        canvas.absorb(-0.93 * anatomy["melanin"] * patch * (1 - islands), MELANIN)
        canvas.absorb(0.25 * patch * islands, MELANIN)
        skin.mark(patch, PIEBALDISM)


def _pigmented_lesions(skin, anatomy, rng):
    canvas = skin.canvas
    if anatomy["nevus"]:
        r = anatomy["nevus"]
        x, y = skin.place(rng, r)
        nevus = canvas.blob_alpha(rng, x, y, r, roughness=0.22, soft=0.018, lobes=8)
        speckle = 1.0 + 0.18 * canvas.texture(rng, 0.02) + 0.15 * canvas.texture(rng, 0.10)
        canvas.absorb(rng.uniform(1.1, 1.6) * nevus * speckle, MELANIN)
        skin.height += nevus * (0.006 + 0.0012 * canvas.texture(rng, 0.015))
        _hairs(canvas, int(500 * r), rng, 1.0, within=nevus > 0.5)
        skin.mark(nevus, GIANT_NEVUS)
    if anatomy["melanoma"]:
        r = anatomy["melanoma"]
        x, y = skin.place(rng, 1.3 * r)
        body = canvas.blob_alpha(rng, x, y, r, roughness=0.26, soft=0.014, lobes=9)
        angle = rng.uniform(0, 2 * np.pi)
        outgrowth = x + 0.65 * r * cos(angle), y + 0.65 * r * sin(angle)  # the asymmetry
        whole = np.maximum(body, canvas.blob_alpha(rng, *outgrowth, 0.62 * r, roughness=0.30, soft=0.014, lobes=9))
        brown, black, red, regression = (canvas.texture(rng, max(0.45 * r, 0.03)) for _ in range(4))
        canvas.absorb(whole * (0.85 + 0.25 * brown + 0.10 * canvas.texture(rng, 0.015)).clip(0.2), MELANIN)
        canvas.absorb(whole * 0.30 * np.clip(red + 0.6, 0, 2), BLOOD)
        canvas.paint(whole * np.clip(0.9 * regression - 0.6, 0, 1), (0.58, 0.57, 0.62), 0.7)
        canvas.absorb(whole * np.clip(0.8 * black, 0, 1.3), (1.15, 1.05, 0.75))
        skin.height += whole * (0.006 + 0.001 * canvas.texture(rng, 0.03))
        skin.mark(whole, MELANOMA)


def _bleeding(skin, anatomy, rng):
    canvas = skin.canvas
    for r in anatomy["bruises"]:
        x, y = skin.place(rng, r)
        shape = canvas.blob_alpha(rng, x, y, r, roughness=0.22, soft=0.10, lobes=5)
        core = canvas.blob_alpha(rng, x, y, 0.75 * r, roughness=0.2, soft=0.09)
        mottle = 1.0 + 0.30 * canvas.texture(rng, 0.035)
        canvas.absorb(rng.uniform(0.5, 0.8) * shape * mottle, OLD_BLOOD)
        canvas.absorb(rng.uniform(0.55, 0.95) * core * mottle, VENOUS)
        skin.mark(shape, ECCHYMOSIS)
    if anatomy["petechiae"]:
        n, swarms = anatomy["petechiae"], 2 + anatomy["petechiae"] // 80
        hubs, spread = rng.uniform(0.2, 0.8, (2, swarms)), rng.uniform(0.07, 0.2, swarms)
        which = rng.integers(0, swarms, n)
        x, y = hubs[:, which] + spread[which] * rng.normal(0, 1, (2, n))
        dots = canvas.ellipses_alpha(x % 1.0, y % 1.0, rng.uniform(0.0034, 0.0072, n), soft=0.006)
        canvas.absorb(rng.uniform(1.1, 1.5) * dots, np.array(BLOOD) + (rng.uniform(0.05, 0.4), 0.3, 0.15))
        skin.mark(dots, PETECHIAE, 0.25)


def _vascular_lesions(skin, anatomy, rng):
    canvas = skin.canvas
    for length in anatomy["spiders"]:
        x, y = skin.place(rng, length)
        legs, steps = int(rng.integers(8, 13)), 26
        s = np.linspace(0.05, 1, steps)
        angle = 2 * np.pi * (np.arange(legs) + rng.uniform(-0.3, 0.3, legs))[:, None] / legs
        wave = 0.25 * np.sin(rng.uniform(5, 9, (legs, 1)) * s + rng.uniform(0, 6, (legs, 1)))
        reach = length * rng.uniform(0.6, 1.1, (legs, 1)) * s
        px, py = x + reach * np.cos(angle + wave), y + reach * np.sin(angle + wave)
        width = np.broadcast_to(0.0042 - 0.0022 * s, px.shape)
        vessels = canvas.ellipses_alpha(px.ravel(), py.ravel(), width.ravel(), soft=0.006)
        body = np.maximum(vessels, canvas.ellipse_alpha(x, y, 0.15 * length, soft=0.010))
        halo = canvas.edge(np.hypot(canvas.x - x, canvas.y - y) - 0.6 * length, 0.9 * length)
        canvas.absorb(1.15 * body + 0.18 * halo, (0.12, 1.2, 1.0))
        skin.height += 0.006 * canvas.ellipse_alpha(x, y, 0.15 * length, soft=0.02)
        skin.mark(body, SPIDER, 0.3)
    if anatomy["net"]:
        pitch = rng.uniform(0.12, 0.17)
        _, depth = _tiles(canvas, rng, pitch, jitter=0.40)
        depth = depth + 0.05 * pitch * canvas.texture(rng, 0.04)
        band = np.exp(-((np.maximum(depth, 0) / (0.12 * pitch)) ** 2))
        strength = anatomy["net"] * band * np.clip(1.0 + 0.2 * canvas.texture(rng, 0.12), 0.4, 1.6)
        canvas.absorb(strength, np.array(VENOUS) * (0.75, 1.05, 0.9))
        skin.mark(band, LIVEDO)
    if anatomy["migrans"]:
        r = anatomy["migrans"]
        x, y = skin.place(rng, 1.2 * r)
        angle = np.arctan2(canvas.y - y, canvas.x - x)
        wobble = 1.0 + sum(0.06 / k * rng.normal() * np.cos(k * angle + rng.uniform(0, 6)) for k in (1, 2, 3, 5))
        distance = np.hypot(canvas.x - x, canvas.y - y) / wobble
        ring = np.exp(-(((distance - r) / (0.20 * r)) ** 2))
        inside = canvas.edge(distance - r, 0.2 * r)
        bite = canvas.edge(distance - 0.10 * r, 0.10 * r)
        redness = rng.uniform(0.6, 0.9) * np.maximum(ring, 0.22 * inside) + 0.6 * bite
        canvas.absorb(redness * (1.0 + 0.12 * canvas.texture(rng, 0.03)), BLOOD)
        skin.mark(np.maximum(ring, inside), ERYTHEMA_MIGRANS)


def _plaques(skin, anatomy, rng):
    """Psoriasiform plaques: red and raised, scale lying on them in flakes but sparing the very edge."""
    canvas = skin.canvas
    if not len(anatomy["plaques"]):
        return
    flakes = canvas.texture(rng, 0.012) + 0.7 * canvas.texture(rng, 0.04)
    for r in anatomy["plaques"]:
        x, y = skin.place(rng, r)
        plaque = canvas.blob_alpha(rng, x, y, r, roughness=0.20, soft=0.014, lobes=7)
        inner = canvas.ellipse_alpha(x, y, 0.85 * r, soft=0.5 * r)
        canvas.absorb(rng.uniform(0.6, 0.9) * plaque, BLOOD)
        scale = plaque * inner * np.clip(0.5 + 0.45 * flakes, 0, 1)
        canvas.paint(scale, (0.93, 0.90, 0.88), 0.75)
        skin.height += plaque * (0.006 + 0.0008 * flakes)
        skin.mark(plaque, PSORIASIS)


def _lines(skin, anatomy, rng):
    """Bands across the skin: the parallel ones of striae, the criss-cross ones of a scratched wheal."""
    canvas = skin.canvas
    if anatomy["striae"]:
        n, turn, hue = anatomy["striae"], rng.uniform(0, np.pi), np.array(BLOOD) + (rng.uniform(0.1, 0.4), 0, 0)
        offset = (np.arange(n) - (n - 1) / 2) * min(0.09, 0.85 / n) + rng.normal(0, 0.012, n)
        band = np.zeros_like(skin.height)
        for q in offset:
            distance = _band(canvas, rng, turn + rng.normal(0, 0.05), q, rng.uniform(0.2, 0.42))
            np.maximum(band, canvas.edge(distance - rng.uniform(0.008, 0.018), 0.014), out=band)
        wrinkles = 1.0 + 0.15 * canvas.texture(rng, 0.012)
        canvas.absorb(rng.uniform(0.4, 0.65) * band * wrinkles, hue)
        skin.height -= 0.003 * band * wrinkles
        skin.mark(band, STRIAE)
    if anatomy["wheals"]:
        weal, flare = np.zeros_like(skin.height), np.zeros_like(skin.height)
        first = rng.uniform(0, np.pi)
        for i in range(anatomy["wheals"]):
            turn = first + (i % 2) * rng.uniform(0.9, 1.6) + rng.normal(0, 0.2)
            distance = _band(canvas, rng, turn, rng.uniform(-0.3, 0.3), rng.uniform(0.22, 0.42), (0.025, 4, 8))
            np.maximum(weal, canvas.edge(distance - 0.010, 0.020), out=weal)
            np.maximum(flare, canvas.edge(distance - 0.026, 0.045), out=flare)
        canvas.absorb(rng.uniform(0.5, 0.75) * flare - 0.35 * weal, BLOOD)
        skin.height += 0.012 * weal
        skin.mark(weal, DERMOGRAPHISM)


def _band(canvas, rng, turn, offset, half_length, bend=(0.010, 10, 20)):
    """Distance to a line of direction `turn`, growing towards its tapered ends.

    `bend` is how far the line swings and the least and greatest frequency of its swing.
    """
    c, s = cos(turn), sin(turn)
    along = c * (canvas.x - 0.5) + s * (canvas.y - 0.5) - rng.uniform(-0.12, 0.12)
    across = c * (canvas.y - 0.5) - s * (canvas.x - 0.5) - offset
    swing = bend[0] * np.sin(rng.uniform(*bend[1:]) * along + rng.uniform(0, 6))
    taper = 0.012 * np.clip((np.abs(along) / half_length) ** 2, 0, 4)
    return np.abs(across + swing) + taper + np.maximum(np.abs(along) - half_length, 0)


def _vesicles(skin, anatomy, rng):
    canvas = skin.canvas
    for _ in range(anatomy["vesicles"]):
        n, r = int(rng.integers(6, 13)), rng.uniform(0.085, 0.12)
        x, y = skin.place(rng, r)
        base = canvas.blob_alpha(rng, x, y, r, roughness=0.25, soft=0.06)
        canvas.absorb(rng.uniform(0.5, 0.8) * base, BLOOD)
        # A sunflower head: crowded but not overlapping.
        k = np.arange(n)
        reach, angle = 0.80 * r * np.sqrt((k + 0.4) / n), 2.4 * k + rng.uniform(0, 6)
        size = 0.82 * r / np.sqrt(n) * rng.uniform(0.65, 1.0, n)
        px, py = x + reach * np.cos(angle), y + reach * np.sin(angle)
        blister = canvas.ellipses_alpha(px, py, size, soft=0.008)
        dome = canvas.ellipses_alpha(px, py, 0.7 * size, soft=0.035)
        canvas.paint(blister, (0.93, 0.84, 0.66), 0.5)
        rim = np.clip(blister - dome, 0, 1)
        canvas.absorb(0.35 * rim, BLOOD)
        skin.height += 0.018 * dome
        canvas.paint(canvas.ellipses_alpha(px - 0.25 * size, py - 0.3 * size, 0.2 * size, soft=0.006), (1, 1, 1), 0.85)
        skin.mark(blister, VESICLES)


def _scales(skin, anatomy, rng):
    if not anatomy["scales"]:
        return
    canvas, amount, pitch = skin.canvas, anatomy["scales"], rng.uniform(0.06, 0.09)
    owner, depth = _tiles(canvas, rng, pitch, jitter=0.28, roundness=0.04)
    fissure = np.exp(-((np.maximum(depth, 0) / (0.09 * pitch)) ** 2))
    plate = np.clip(depth / (0.22 * pitch), 0, 1)
    tint = rng.uniform(0.3, 1.0, owner.max() + 1).astype(np.float32)[owner]
    canvas.absorb(amount * (0.55 * tint * plate + 0.9 * fissure), (0.45, 0.62, 0.75))
    canvas.paint(np.exp(-(((depth - 0.22 * pitch) / (0.09 * pitch)) ** 2)), (0.92, 0.89, 0.84), 0.5 * amount)
    skin.height += 0.007 * amount * plate
    skin.mark(np.maximum(plate, fissure), ICHTHYOSIS, 0.2)


def _tiles(canvas, rng, pitch, jitter, roundness=0.12):
    """Polygons tiling the picture: jittered hexagonal lattice; owner of each pixel, depth inside it."""
    x, y = np.meshgrid(np.arange(-pitch, 1 + 2 * pitch, pitch), np.arange(-pitch, 1 + 2 * pitch, 0.87 * pitch))
    x[::2] += pitch / 2
    x, y = (a.ravel() + rng.uniform(-jitter, jitter, a.size) * pitch for a in (x, y))
    return canvas.mosaic(x, y, np.full(x.size, pitch / 2), roundness, reach=2.4)


def _light(skin, rng):
    """Shade the relief under one lamp and let the light fall off across the picture."""
    canvas, angle = skin.canvas, rng.uniform(-2.6, -0.6)
    slope_y, slope_x = np.gradient(skin.height * canvas.size)
    shade = slope_x * cos(angle) + slope_y * sin(angle)
    falloff = rng.uniform(-0.3, 0.3, 2).astype(np.float32)
    light = 1.0 + falloff[0] * (canvas.x - 0.5) + falloff[1] * (canvas.y - 0.5)
    canvas.rgb *= (rng.uniform(0.84, 1.06) * light * np.clip(1.0 + 0.55 * shade, 0.5, 1.4))[..., None]
    canvas.rgb *= rng.uniform((0.95, 0.96, 0.9), (1.05, 1.02, 1.08)).astype(np.float32)
    canvas.add(0.16 * np.clip(shade - 0.25, 0, 1))


def _hairs(canvas, n, rng, darkness, within=None):
    """Thin bent hairs, combed one way; only those rooted `within` a region if it is given."""
    if not n:
        return
    root = rng.random((2, n))
    if within is not None:
        pixel = (root * canvas.size).astype(int)
        root = root[:, within[pixel[1], pixel[0]]]
    n, steps = root.shape[1], 22
    bend = rng.normal(0, 0.7, (n, 1)) * np.linspace(0, 1, steps)
    heading = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.35, (n, 1)) + bend
    stride = rng.uniform(0.05, 0.13, (n, 1)) / steps
    x = root[0][:, None] + np.cumsum(stride * np.cos(heading), 1)
    y = root[1][:, None] + np.cumsum(stride * np.sin(heading), 1)
    hair = canvas.ellipses_alpha(x.ravel(), y.ravel(), rng.uniform(0.0014, 0.0024), soft=0.004)
    canvas.absorb(0.9 * darkness * hair, (1.3, 1.5, 1.6))


def _camera(canvas, rng):
    """Now and then the round field of a dermoscope; blur and noise always."""
    if rng.random() < 0.15:
        field = canvas.edge(np.hypot(canvas.x - 0.5, canvas.y - 0.5) - rng.uniform(0.50, 0.56), 0.03)
        canvas.rgb *= field[..., None]
        canvas.masks = {hpo_id: mask & (field > 0.5) for hpo_id, mask in canvas.masks.items()}
    canvas.expose(rng, blur=rng.uniform(0.0015, 0.004), noise=rng.uniform(0.006, 0.02))
