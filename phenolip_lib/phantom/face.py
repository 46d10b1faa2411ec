"""Frontal facial photographs, schematic, yet with the proportions that dysmorphology measures.

Positions are in head coordinates: the origin midway between the pupils, u to the right of the picture,
v downwards, one unit a side of the picture at unit zoom. Tilting the head tilts the coordinates, so
the face is always drawn upright. `side` is -1 for the left and 1 for the right half of the picture.
"""

from __future__ import annotations

from copy import copy
from math import cos, radians, sin

import numpy as np

from phenolip_lib.phantom.canvas import Canvas
from phenolip_lib.phantom.domain import Domain

domain = Domain("face", views=("frontal facial photograph", "facial photograph", "photograph of the face"))

HYPERTELORISM, HYPOTELORISM, UPSLANTED, DOWNSLANTED = "HP:0000316", "HP:0000601", "HP:0000582", "HP:0000494"
PTOSIS, BLUE_SCLERAE, SYNOPHRYS, LOW_SET_EARS = "HP:0007687", "HP:0000592", "HP:0000664", "HP:0000369"
WIDE_NOSE, LONG_PHILTRUM, CLEFT_LIP = "HP:0000445", "HP:0000343", "HP:5201000"
DOWNTURNED_MOUTH, TONGUE, FORELOCK = "HP:0002714", "HP:0010808", "HP:0002211"

MELANIN, BLOOD = (0.55, 0.86, 1.10), (0.12, 0.85, 0.72)
# From dark to light.
HAIR = np.array([(0.07, 0.05, 0.05), (0.16, 0.10, 0.07), (0.30, 0.18, 0.10), (0.52, 0.36, 0.18), (0.45, 0.20, 0.09)])
IRIS = np.array([(0.22, 0.12, 0.06), (0.35, 0.22, 0.10), (0.33, 0.40, 0.25), (0.30, 0.45, 0.62), (0.42, 0.50, 0.52)])
NOSE_BASE = 0.142
PUPIL, IRIS_RADIUS, FISSURE = 0.0085, 0.0195, 0.054


@domain.anatomy
def normal(rng):
    """A healthy face: the features vary with family and expression, the measured proportions little."""
    lids = rng.uniform(0.9, 1.08)
    return {
        "half_width": rng.uniform(0.245, 0.275),
        "chin": rng.uniform(0.330, 0.355),
        "jaw": rng.uniform(2.0, 2.5),
        "pupils": rng.uniform(0.425, 0.455),  # interpupillary distance over the width of the face
        "slant": radians(rng.uniform(-1.0, 4.0)),
        "lids": {-1: lids, 1: lids + rng.uniform(-0.03, 0.03)},  # how far each upper lid is open
        "sclera": rng.uniform(0.0, 0.06),
        "brow": rng.uniform(0.0055, 0.0095),
        "glabella": 0.0,
        "ears": rng.uniform(0.036, 0.054),
        "nose": rng.uniform(0.046, 0.056),
        "philtrum": rng.uniform(0.036, 0.047),
        "corners": rng.uniform(-0.004, 0.016),
        "cleft": None,
        "tongue": 0.0,
        "forelock": 0.0,
    }


# --- phenotypes ----------------------------------------------------------------------------------


@domain.finding(HYPERTELORISM, excludes=(HYPOTELORISM,))
def hypertelorism(anatomy, severity, rng):
    """Hypertelorism: interpupillary distance above normal."""
    anatomy["pupils"] = 0.490 + 0.095 * severity


@domain.finding(HYPOTELORISM)
def hypotelorism(anatomy, severity, rng):
    """Hypotelorism: interpupillary distance below normal."""
    anatomy["pupils"] = 0.385 - 0.075 * severity


@domain.finding(UPSLANTED, excludes=(DOWNSLANTED,))
def upslanted_fissures(anatomy, severity, rng):
    """Upslanted palpebral fissure: outer corners of the eyes higher than the inner ones."""
    anatomy["slant"] = radians(10.0 + 13.0 * severity)


@domain.finding(DOWNSLANTED)
def downslanted_fissures(anatomy, severity, rng):
    """Downslanted palpebral fissures: outer corners of the eyes lower than the inner ones."""
    anatomy["slant"] = -radians(8.0 + 14.0 * severity)


@domain.finding(PTOSIS)
def unilateral_ptosis(anatomy, severity, rng):
    """Unilateral ptosis: one upper eyelid droops over the pupil."""
    anatomy["lids"][int(rng.choice((-1, 1)))] = 0.25 - 0.55 * severity


@domain.finding(BLUE_SCLERAE)
def blue_sclerae(anatomy, severity, rng):
    """Blue sclerae: the white of the eye looks blue-gray."""
    anatomy["sclera"] = 0.45 + 0.55 * severity


@domain.finding(SYNOPHRYS)
def synophrys(anatomy, severity, rng):
    """Synophrys: the eyebrows meet in the midline."""
    anatomy["glabella"] = 0.40 + 0.60 * severity


@domain.finding(LOW_SET_EARS)
def low_set_ears(anatomy, severity, rng):
    """Low-set ears: the ears begin below the line of the eyes."""
    anatomy["ears"] = 0.092 + 0.075 * severity


@domain.finding(WIDE_NOSE)
def wide_nose(anatomy, severity, rng):
    """Wide nose: distance between the wings of the nose above normal."""
    anatomy["nose"] = 0.069 + 0.029 * severity


@domain.finding(LONG_PHILTRUM)
def long_philtrum(anatomy, severity, rng):
    """Long philtrum: nose far from the upper lip."""
    anatomy["philtrum"] = 0.064 + 0.040 * severity
    anatomy["chin"] += 0.3 * (anatomy["philtrum"] - 0.042)


@domain.finding(CLEFT_LIP)
def cleft_lip(anatomy, severity, rng):
    """Incomplete unilateral cleft lip: a gap beside the midline, from the lip towards the nostril."""
    anatomy["cleft"] = (int(rng.choice((-1, 1))), 0.12 + 0.63 * severity)


@domain.finding(DOWNTURNED_MOUTH)
def downturned_mouth(anatomy, severity, rng):
    """Downturned corners of mouth: the corners lie below the middle of the lips."""
    anatomy["corners"] = -0.014 - 0.022 * severity


@domain.finding(TONGUE)
def protruding_tongue(anatomy, severity, rng):
    """Protruding tongue: the tongue rests on the lower lip or hangs beyond it."""
    anatomy["tongue"] = 0.030 + 0.050 * severity


@domain.finding(FORELOCK)
def white_forelock(anatomy, severity, rng):
    """White forelock: a white lock above the middle of the forehead."""
    anatomy["forelock"] = 0.022 + 0.040 * severity


# --- drawing -------------------------------------------------------------------------------------


class _Head:
    """The picture in head coordinates, the outline of the face and the colours of the subject."""

    def __init__(self, anatomy, rng, canvas: Canvas) -> None:
        tilt, zoom = rng.normal(0, 0.05), rng.uniform(1.06, 1.24)
        dx, dy = canvas.x - 0.5 - rng.uniform(-0.03, 0.03), canvas.y - 0.475 - rng.uniform(-0.02, 0.02)
        c, s = cos(tilt) / zoom, sin(tilt) / zoom
        self.canvas = self.picture = canvas
        self.window = np.s_[:, :]
        self.u, self.v = c * dx + s * dy, c * dy - s * dx
        # The full-size shapes of the canvas are from now on measured in head coordinates as well.
        canvas.x, canvas.y = self.u, self.v
        self.half_width, self.chin, self.jaw = anatomy["half_width"], anatomy["chin"], anatomy["jaw"]
        melanin = rng.beta(1.0, 1.4) * 1.3
        pigments = -melanin * np.array(MELANIN) - rng.uniform(0.05, 0.2) * np.array(BLOOD)
        self.skin = np.array((0.97, 0.85, 0.77)) * np.exp(pigments)
        shades = 2 if melanin > 0.6 else len(HAIR)  # dark skin goes with dark hair and eyes
        self.hair = HAIR[rng.integers(shades)] * rng.uniform(0.8, 1.15)
        self.iris = IRIS[rng.integers(shades)] * rng.uniform(0.85, 1.1)
        self.redder = self.skin * (0.84, 0.58, 0.58)

    def part(self, u, v, half_width, half_height):
        """The head through a window about (u, v): the same pixels, but small features cost little to draw."""
        near = (np.abs(self.u - u) < half_width) & (np.abs(self.v - v) < half_height)
        rows, cols = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
        part = copy(self)
        part.window = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        part.canvas = copy(self.canvas)
        part.canvas.rgb = self.canvas.rgb[part.window]
        part.u = part.canvas.x = self.u[part.window]
        part.v = part.canvas.y = self.v[part.window]
        return part

    def mark(self, where, finding):
        whole = np.zeros((self.picture.size, self.picture.size), dtype=bool)
        whole[self.window] = where
        self.picture.mark(whole, finding)

    def texture(self, rng, scale):
        return self.picture.texture(rng, scale)[self.window]

    def outline(self, grow=0.0, top=0.34):
        """Signed distance to the face: an ellipse above, a superellipse of exponent `jaw` below."""
        a, down = np.abs(self.u) / (self.half_width + grow), self.v - 0.03
        above = np.hypot(a, down / (top + grow))
        below = (a**self.jaw + (np.maximum(down, 0) / (self.chin + grow - 0.03)) ** self.jaw) ** (1 / self.jaw)
        return (np.where(down < 0, above, below) - 1) * self.half_width

    def width_at(self, v):
        return self.half_width * (1 - max(v - 0.03, 0) ** self.jaw / (self.chin - 0.03) ** self.jaw) ** (1 / self.jaw)

    def shade(self, amount, color=(1.0, 1.2, 1.3)):
        self.canvas.absorb(amount, color)

    def bump(self, u, v, ru, rv):
        """A soft round weight, 1 at its centre."""
        return np.exp(-(((self.u - u) / ru) ** 2) - ((self.v - v) / rv) ** 2)


@domain.drawing
def draw(anatomy, rng, size):
    canvas = Canvas(size, rng.uniform(0.25, 0.85, 3) * 0.4 + rng.uniform(0.1, 0.55))
    canvas.add(rng.uniform(-0.25, 0.25) * (canvas.y - 0.5) + rng.uniform(-0.2, 0.2) * (canvas.x - 0.5))
    x, y = canvas.x, canvas.y
    head = _Head(anatomy, rng, canvas)
    strands = np.sin(95 * np.arctan2(head.u, head.v + 0.75) + 2.0 * canvas.texture(rng, 0.03))
    strands = 1.0 + 0.13 * strands + 0.06 * canvas.texture(rng, 0.008)

    _shoulders(head, rng, rng.random() < 0.5)
    for side in (-1, 1):
        u, v = side * (head.width_at(anatomy["ears"]) + 0.010), anatomy["ears"]
        _ear(head.part(u, v, 0.06, 0.09), u, v, side)
    _complexion(head.part(0, 0.01, 0.29, 0.36), rng)
    _nose(head.part(0, 0.06, 0.13, 0.12), anatomy, rng)
    _mouth(head.part(0, 0.25, 0.12, 0.13), anatomy, rng)
    for side in (-1, 1):
        centre = side * anatomy["pupils"] * anatomy["half_width"]
        _eye(head.part(centre, 0, 0.08, 0.06), anatomy, side, centre)
    _brows(head.part(0, -0.07, 0.24, 0.05), anatomy, rng)
    _front_hair(head, anatomy, rng, strands)

    light = rng.uniform(-0.35, 0.35, 2)
    canvas.rgb *= (rng.uniform(0.85, 1.08) * (1 + light[0] * (x - 0.5) + light[1] * (y - 0.5)))[..., None]
    canvas.rgb *= rng.uniform((0.94, 0.95, 0.9), (1.06, 1.03, 1.08)).astype(np.float32)
    canvas.expose(rng, blur=rng.uniform(0.0012, 0.004), noise=rng.uniform(0.006, 0.02))
    return canvas


def _shoulders(head, rng, long_hair):
    """Hair that falls behind the neck, the neck in the shadow of the chin, and a shirt."""
    canvas, u, v = head.canvas, head.u, head.v
    if long_hair:
        reach = head.half_width + rng.uniform(0.02, 0.05)
        fall = canvas.edge(np.abs(u) - reach - 0.10 * np.clip(v, -0.05, 0.6), 0.012) * canvas.edge(0.03 - v, 0.008)
        back = np.maximum(fall, canvas.edge(head.outline(grow=reach - head.half_width), 0.014))
        canvas.paint(back * canvas.edge(v - rng.uniform(0.38, 0.6), 0.05), head.hair * 0.75)
    neck = canvas.edge(np.abs(u) - 0.125 - 0.35 * np.maximum(v - 0.40, 0), 0.012) * canvas.edge(0.2 - v, 0.02)
    canvas.paint(neck, head.skin * 0.86)
    head.shade(0.55 * neck * head.bump(0, head.chin + 0.01, 0.16, 0.055))
    collar = rng.uniform(0.41, 0.46)
    neckline = np.where(np.abs(u) < 0.14, 0.05 * (1 - (u / 0.14) ** 2), 0.25 * (np.abs(u) - 0.14))
    canvas.paint(canvas.edge(collar + neckline - v, 0.014), rng.uniform(0.08, 0.85, 3))


def _ear(head, u, v, side):
    canvas, lean = head.canvas, 0.16 * side
    ear = canvas.ellipse_alpha(u, v, 0.034, 0.066, lean, soft=0.008)
    canvas.paint(ear, head.skin * (0.98, 0.93, 0.92))
    head.shade(0.30 * canvas.ellipse_alpha(u - side * 0.002, v - 0.006, 0.019, 0.042, lean, soft=0.014))
    canvas.paint(canvas.ellipse_alpha(u - side * 0.004, v + 0.006, 0.009, 0.022, lean, soft=0.01), head.skin, 0.6)
    head.mark(ear > 0.5, LOW_SET_EARS)


def _complexion(head, rng):
    """The face: roundness, flushed cheeks, sockets of the eyes, folds and freckles."""
    canvas, outline = head.canvas, head.outline()
    face = canvas.edge(outline, 0.010)
    canvas.paint(face, head.skin)
    head.shade(face * np.clip(1.0 + outline / head.half_width, 0, 1) ** 5 * rng.uniform(0.25, 0.45))
    flush = rng.uniform(0.0, 0.30)
    cheeks = head.bump(-0.15, 0.11, 0.06, 0.05) + head.bump(0.15, 0.11, 0.06, 0.05)
    head.shade(face * flush * cheeks, BLOOD)
    sockets = head.bump(-0.10, -0.025, 0.085, 0.035) + head.bump(0.10, -0.025, 0.085, 0.035)
    head.shade(face * rng.uniform(0.10, 0.24) * sockets)
    canvas.add(face * rng.uniform(0.0, 0.07) * head.bump(0, -0.17, 0.12, 0.06))
    head.shade(face * 0.03 * head.texture(rng, 0.03))
    age = rng.uniform(0.0, 0.25)
    fold = np.abs(np.abs(head.u) - 0.062 - 0.30 * (head.v - 0.12))
    head.shade(age * np.exp(-((fold / 0.007) ** 2)) * canvas.edge(np.abs(head.v - 0.165) - 0.035, 0.03))
    if rng.random() < 0.25:
        freckles = np.clip(head.texture(rng, 0.009) - 1.4, 0, 1) * np.exp(-(((head.v - 0.09) / 0.06) ** 2))
        head.shade(face * 0.5 * freckles, MELANIN)


def _nose(head, anatomy, rng):
    canvas, u, v, wing = head.canvas, head.u, head.v, anatomy["nose"]
    tip = NOSE_BASE - 0.022
    bridge = 0.016 + (wing - 0.016) * np.clip((v + 0.01) / (tip + 0.01), 0, 1) ** 2.2
    down = canvas.edge(-0.03 - v, 0.05) * canvas.edge(v - tip, 0.03)
    head.shade(0.16 * down * np.exp(-(((np.abs(u) - bridge) / 0.010) ** 2)))
    canvas.add(rng.uniform(0.02, 0.09) * down * np.exp(-((u / 0.010) ** 2)))
    nose = np.zeros_like(u)
    for side in (-1, 1):
        ala = canvas.ellipse_alpha(side * (wing - 0.018), tip + 0.002, 0.019, 0.019, soft=0.010)
        rim = canvas.ellipse_alpha(side * (wing - 0.020), tip, 0.016, 0.016, soft=0.014)
        head.shade(0.45 * np.clip(ala - rim, 0, 1))
        nostril = canvas.ellipse_alpha(side * 0.46 * wing, NOSE_BASE - 0.004, 0.22 * wing, 0.0065, side * 0.25, 0.008)
        canvas.paint(nostril, head.skin * 0.28, 0.85)
        nose = np.maximum(nose, ala)
    head.shade(0.20 * head.bump(0, NOSE_BASE + 0.006, 0.75 * wing, 0.008))
    canvas.add(rng.uniform(0.03, 0.12) * head.bump(0, tip - 0.006, 0.3 * wing, 0.011))
    head.mark((nose > 0.5) | ((np.abs(u) < wing - 0.01) & (v > 0.07) & (v < NOSE_BASE)), WIDE_NOSE)


def _mouth(head, anatomy, rng):
    """Philtrum, lips about a line bent by `corners`, then what a cleft or the tongue changes."""
    canvas, u, v = head.canvas, head.u, head.v
    half, upper, lower = rng.uniform(0.070, 0.082), rng.uniform(0.014, 0.020), rng.uniform(0.019, 0.027)
    border = NOSE_BASE + anatomy["philtrum"]
    t = np.clip(np.abs(u) / half, 0, 1)
    line = border + upper - anatomy["corners"] * t**2
    bow = (1 - t**2) ** 0.9 * (1 - 0.25 * np.exp(-((u / 0.013) ** 2)))
    beyond = np.abs(u) - half
    groove = canvas.edge(np.abs(v - (NOSE_BASE + border) / 2) - 0.5 * anatomy["philtrum"], 0.012)
    head.shade(0.16 * groove * np.exp(-(((np.abs(u) - 0.013) / 0.005) ** 2)))
    head.shade(0.08 * groove * np.exp(-((u / 0.008) ** 2)))
    head.mark((groove > 0.5) & (np.abs(u) < 0.035), LONG_PHILTRUM)

    lips = head.redder * rng.uniform(0.92, 1.08)
    above, below = line - upper * bow - v, v - line - lower * (1 - t**2) ** 0.7
    shape = canvas.edge(np.maximum(np.maximum(above, below), beyond), 0.006)
    canvas.paint(shape, lips, 0.85)
    head.shade(0.16 * shape * canvas.edge(v - line, 0.006))
    canvas.add(rng.uniform(0.0, 0.08) * head.bump(0, border + upper + 0.5 * lower, 0.035, 0.006))
    head.shade(0.22 * head.bump(0, border + upper + lower + 0.012, 0.05, 0.009))
    seam = canvas.edge(np.maximum(np.abs(v - line) - rng.uniform(0.0015, 0.003), beyond), 0.006)
    canvas.paint(seam, head.skin * (0.38, 0.2, 0.2), 0.8)
    head.mark(shape > 0.5, DOWNTURNED_MOUTH)
    if anatomy["cleft"]:
        side, depth = anatomy["cleft"]
        peak = border - depth * anatomy["philtrum"]
        rise = np.clip((v - peak) / (border + upper - peak), 0, 1)
        gap = np.abs(u - side * (0.018 - 0.004 * (1 - rise))) - (0.003 + (0.006 + 0.008 * depth) * rise)
        gap = np.maximum(np.maximum(gap, peak - v), v - line)
        canvas.paint(canvas.edge(gap - 0.006, 0.008), lips)
        canvas.paint(canvas.edge(gap, 0.006), head.skin * (0.34, 0.13, 0.14), 0.95)
        head.mark(gap < 0.006, CLEFT_LIP)
    if anatomy["tongue"]:
        length, breadth = anatomy["tongue"], rng.uniform(0.034, 0.042)
        root = border + upper
        open_mouth = canvas.ellipse_alpha(0, root + 0.004, 0.80 * half, 0.011, soft=0.006)
        canvas.paint(open_mouth, (0.22, 0.06, 0.07))
        tip = canvas.ellipse_alpha(0, root + length - 0.8 * breadth, breadth, 0.8 * breadth, soft=0.006)
        stem = canvas.edge(np.maximum(np.abs(u) - breadth, np.abs(v - root - 0.45 * length) - 0.45 * length), 0.006)
        stem *= canvas.edge(v - (root + length - 0.8 * breadth), 0.006)
        tongue = np.maximum(tip * canvas.edge(root - v, 0.006), stem)
        canvas.paint(tongue, np.array((0.86, 0.42, 0.44)) * rng.uniform(0.85, 1.1), 0.97)
        head.shade(0.35 * tongue * np.exp(-((u / 0.004) ** 2)) * canvas.edge(v - root - 0.75 * length, 0.02), BLOOD)
        head.shade(0.25 * tongue * (np.abs(u) / breadth) ** 3)
        head.mark(tongue > 0.5, TONGUE)


def _eye(head, anatomy, side, centre):
    """A fissure between two lids with globe, iris and pupil behind it, turned by the slant."""
    canvas = head.canvas
    c, s = cos(anatomy["slant"]), sin(anatomy["slant"])
    out, down = side * (head.u - centre), head.v
    p, q = c * out - s * down, c * down + s * out
    lid = anatomy["lids"][side]
    arch = np.clip(1 - (p / FISSURE) ** 2, 0, 1) ** 0.75
    upper, lower = -0.0215 * lid * arch, 0.0150 * arch
    inside = np.maximum(np.maximum(upper - q, q - lower), np.abs(p) - FISSURE)
    opening = canvas.edge(inside, 0.005)

    white = np.array((0.94, 0.92, 0.90)) * (1 - anatomy["sclera"]) + anatomy["sclera"] * np.array((0.43, 0.57, 0.80))
    canvas.paint(opening, white)
    centred = np.hypot(out, down)
    iris = opening * canvas.edge(centred - IRIS_RADIUS, 0.005)
    canvas.paint(iris, head.iris)
    head.shade(0.8 * iris * canvas.edge(IRIS_RADIUS - 0.004 - centred, 0.006))
    canvas.paint(opening * canvas.edge(centred - PUPIL, 0.004), (0.03, 0.03, 0.03))
    canvas.paint(opening * head.bump(centre - 0.006, -0.007, 0.0035, 0.0035), (1, 1, 1), 0.95)
    head.shade(0.35 * opening * np.exp(-(np.maximum(q - upper, 0) / 0.006)))  # shadow of the lid
    canvas.paint(opening * np.exp(-(((p + FISSURE) / 0.007) ** 2)), (0.80, 0.50, 0.48), 0.8)
    span = canvas.edge(np.abs(p) - FISSURE, 0.01)
    lashes = canvas.edge(np.abs(q - upper + 0.001) - 0.0026, 0.005) * span
    canvas.paint(lashes, head.hair * 0.35, 0.85)
    head.shade(0.22 * span * canvas.edge(np.abs(q - lower) - 0.0015, 0.005))
    crease = -0.0215 * max(lid, 0.8) * arch - 0.013
    head.shade(0.30 * span * np.exp(-(((q - crease) / 0.0035) ** 2)))

    orbit = inside < 0.006
    head.mark(orbit, UPSLANTED)
    head.mark(orbit, DOWNSLANTED)
    between = (np.abs(head.u) < abs(centre)) & (np.abs(head.v) < 0.008)
    head.mark(orbit | between, HYPERTELORISM)
    head.mark(orbit | between, HYPOTELORISM)
    head.mark((opening > 0.5) & (centred > IRIS_RADIUS), BLUE_SCLERAE)
    if lid < 0.6:
        head.mark((np.abs(p) < FISSURE) & (q > crease) & (q < lower + 0.003), PTOSIS)


def _brows(head, anatomy, rng):
    canvas, thick = head.canvas, anatomy["brow"]
    centre = 0.5 * anatomy["pupils"] * anatomy["half_width"] + 0.5 * 0.44 * 0.26
    arch, tilt, height = rng.uniform(0.004, 0.014), rng.uniform(-0.12, 0.08), rng.uniform(-0.076, -0.064)
    p = (np.abs(head.u) - centre - 0.004) / 0.062
    course = height - arch * (1 - p**2) - tilt * 0.062 * p
    hairs = 0.82 + 0.22 * head.texture(rng, 0.008)
    taper = thick * np.clip(1.15 - 0.5 * np.maximum(p, 0) ** 2, 0, 2)
    brow = canvas.edge(np.maximum(np.abs(head.v - course) - taper, (np.abs(p) - 1) * 0.062), 0.010)
    canvas.paint(np.clip(brow * hairs, 0, 1), head.hair * 0.8, 0.9)
    if anatomy["glabella"]:
        fullness = anatomy["glabella"]
        inner = max(centre + 0.004 - 0.058, 0.01)
        level = height + tilt * 0.062 + 0.004
        half = (0.45 + 0.55 * fullness) * max(thick, 0.007)
        meeting = canvas.edge(np.maximum(np.abs(head.v - level) - half, np.abs(head.u) - inner), 0.012)
        canvas.paint(np.clip(meeting * hairs, 0, 1), head.hair * 0.8, 0.25 + 0.65 * fullness)
        head.mark(meeting > 0.3, SYNOPHRYS)


def _front_hair(head, anatomy, rng, strands):
    """The cap of hair down to the hairline, and the white lock in it."""
    canvas, u, v = head.canvas, head.u, head.v
    hairline = rng.uniform(-0.225, -0.185)
    parting = rng.uniform(-0.22, 0.22)
    edge = hairline + parting * u + 0.115 * (np.abs(u) / 0.24) ** 3.2 + 0.005 * canvas.texture(rng, 0.02)
    volume = rng.uniform(0.018, 0.055)
    sides = volume * np.clip(1 + v / 0.18, 0, 1)  # the hair lies close to the temples
    cap = canvas.edge(head.outline(grow=volume) + sides, 0.014) * canvas.edge(v - edge, 0.012)
    cap *= canvas.edge(v - rng.uniform(-0.03, 0.02), 0.02)
    canvas.paint(cap, head.hair)
    canvas.rgb *= (1 + cap * (strands - 1))[..., None]
    canvas.add(rng.uniform(0.02, 0.10) * cap * head.bump(0, -0.33, 0.16, 0.035))
    if anatomy["forelock"]:
        root = rng.uniform(-0.05, 0.05)
        sweep = root + rng.uniform(-0.35, 0.35) * (v - hairline)
        lock = cap * canvas.edge(np.abs(u - sweep) - anatomy["forelock"], 0.012)
        canvas.paint(lock * np.clip(strands, 0, 1), (0.95, 0.94, 0.92), 0.96)
        head.mark(lock > 0.5, FORELOCK)
