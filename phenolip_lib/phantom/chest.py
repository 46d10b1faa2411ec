"""Frontal chest radiographs, as maps of how much the body attenuates the beam.

The chest is drawn as a body from which the *air* of the lungs is taken away; whatever replaces air
(heart, fluid, nodules) shows up without being painted.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator

from phenolip_lib.phantom.domain import Domain

# Holds the findings; `phenolip_lib.phantom.radiology` puts the views together and makes the film.
view = Domain("radiology", views=("frontal chest radiograph",))

CARDIOMEGALY, EFFUSION, PNEUMOTHORAX, SCOLIOSIS = "HP:0001640", "HP:0002202", "HP:0002107", "HP:0002943"
SITUS_INVERSUS, RIB_FRACTURES, NODULE, HILAR_NODES = "HP:0001696", "HP:0006640", "HP:0033609", "HP:0034388"
ELEVATION, CONSOLIDATION = "HP:6000008", "HP:0032177"

# Outer and inner border of a lung: (y, distance from the midline as a fraction of half the thorax).
WALL = ((0, 0.3), (0.105, 0.45), (0.12, 0.6), (0.16, 0.71), (0.24, 0.82), (0.38, 0.92), (0.54, 0.97), (0.7, 1), (1, 1))
MEDIASTINUM = ((0, 0.6), (0.105, 0.45), (0.12, 0.33), (0.16, 0.26), (0.24, 0.20), (0.40, 0.15), (1, 0.15))
SHOULDER = ((0.40, -0.1), (0.39, 0.06), (0.20, 0.12), (0.06, 0.17), (-0.04, 0.26), (-0.1, 1.1))


def normal(rng):
    """A chest of cardiothoracic ratio below one half; side -1 is the left of the picture, the right of the patient."""
    return {
        "ratio": rng.uniform(0.39, 0.47),
        "mirror": 1,
        "curve": rng.uniform(-0.007, 0.007),
        "domes": {-1: rng.uniform(0.750, 0.780), 1: rng.uniform(0.775, 0.800)},
        "fluid": {},
        "collapse": {},
        "fractures": [],
        "opacities": [],  # (finding, side, outwards, y, radius, roughness, strength)
        "nodes": 0.0,
        "elevated": None,
    }


# --- phenotypes ----------------------------------------------------------------------------------


def _side(rng):
    return int(rng.choice((-1, 1)))


@view.finding(CARDIOMEGALY)
def cardiomegaly(anatomy, severity, rng):
    """Cardiomegaly: the heart is wider than half of the thorax."""
    anatomy["ratio"] = 0.56 + 0.16 * severity


@view.finding(EFFUSION)
def pleural_effusion(anatomy, severity, rng):
    """Pleural effusion: fluid hides the diaphragm, its meniscus rising along the chest wall."""
    anatomy["fluid"][_side(rng)] = 0.09 + 0.34 * severity


@view.finding(PNEUMOTHORAX, excludes=(EFFUSION,))
def pneumothorax(anatomy, severity, rng):
    """Pneumothorax: air without lung markings outside a thin pleural line."""
    anatomy["collapse"][_side(rng)] = 0.045 + 0.11 * severity


@view.finding(SCOLIOSIS)
def scoliosis(anatomy, severity, rng):
    """Thoracic scoliosis: the spine curves sideways."""
    anatomy["curve"] = _side(rng) * (0.028 + 0.085 * severity)


@view.finding(SITUS_INVERSUS)
def situs_inversus(anatomy, severity, rng):
    """Situs inversus totalis: apex of the heart, aortic arch and stomach lie on the patient's right."""
    anatomy["mirror"] = -1
    # With the liver on the left, the left dome is the higher one.
    anatomy["domes"] = {side: anatomy["domes"][-side] for side in (-1, 1)}


@view.finding(RIB_FRACTURES)
def rib_fractures(anatomy, severity, rng):
    """Multiple rib fractures: ribs interrupted, their ends out of line."""
    ribs = rng.permutation(np.arange(2, 9))[: 3 + int(4 * severity)]
    side = _side(rng)
    anatomy["fractures"] = [(side, int(rib), rng.uniform(0.45, 0.8), 0.020 + 0.008 * severity) for rib in ribs]


@view.finding(NODULE, excludes=(EFFUSION,))
def pulmonary_nodule(anatomy, severity, rng):
    """Solid pulmonary nodule: a round opacity amid the lung."""
    radius = 0.016 + 0.024 * severity
    anatomy["opacities"].append(
        (NODULE, _side(rng), rng.uniform(0.50, 0.80), rng.uniform(0.24, 0.50), radius, 0.08, 0.75)
    )


@view.finding(CONSOLIDATION, excludes=(EFFUSION, NODULE))
def consolidation(anatomy, severity, rng):
    """Parenchymal consolidation: a patch of lung filled, its border fluffy."""
    radius, strength = 0.065 + 0.075 * severity, 0.6 + 0.25 * severity
    anatomy["opacities"].append(
        (CONSOLIDATION, _side(rng), rng.uniform(0.50, 0.75), rng.uniform(0.30, 0.57), radius, 0.42, strength)
    )


@view.finding(HILAR_NODES)
def hilar_lymph_nodes(anatomy, severity, rng):
    """Hilar lymph node enlargement: lobulated masses at both hila."""
    anatomy["nodes"] = 0.026 + 0.024 * severity


@view.finding(ELEVATION, excludes=(EFFUSION,))
def hemidiaphragm_elevation(anatomy, severity, rng):
    """Hemidiaphragm elevation: one dome stands far above the other."""
    side = anatomy["elevated"] = _side(rng)
    anatomy["domes"][side] = min(anatomy["domes"].values()) - 0.075 - 0.13 * severity


# --- drawing -------------------------------------------------------------------------------------


def attenuation(canvas, anatomy, rng):
    """How much each pixel of the picture attenuates the beam."""
    half = rng.uniform(0.335, 0.375)  # half the width of the thorax
    middle, tilt = 0.5 + rng.uniform(-0.02, 0.02), rng.uniform(-0.025, 0.025)
    x, y, edge = canvas.x - tilt * (canvas.y - 0.5), canvas.y, canvas.edge
    bend = anatomy["curve"] * (np.exp(-(((y - 0.47) / 0.17) ** 2)) - 0.45 * np.exp(-(((y - 0.85) / 0.13) ** 2)))
    spine = middle + bend
    wall, medial = half * _curve(canvas, WALL), half * _curve(canvas, MEDIASTINUM)

    heart = _heart(canvas, anatomy, x, y, middle, half)
    haze = canvas.texture(rng, 0.035)
    air, bone, liver = (np.zeros_like(y) for _ in range(3))
    for side in (-1, 1):
        outwards = side * (x - middle - 0.4 * bend)
        # The dome, steep towards the costophrenic angle.
        u = (outwards / half - 0.5) / 0.5
        dome = anatomy["domes"][side] + 0.035 * u**2 + 0.055 * np.clip(u, 0, 1.2) ** 6
        lung = edge(np.maximum(np.maximum(outwards - wall, medial - outwards), y - dome), 0.010)
        liver += edge(np.maximum(np.maximum(dome - y, outwards - wall), -outwards), 0.012)
        markings = _vessels(canvas, rng, middle, side, half) + 0.05 * haze
        if side in anatomy["fluid"]:
            level = 0.86 - anatomy["fluid"][side] + 0.08 * (1.0 - np.clip(outwards / half, 0, 1.1) ** 4)
            fluid = edge(level - y, 0.02) * (outwards > 0.1 * half) * (outwards < wall + 0.01)
            canvas.mark((fluid > 0.5) & (lung > 0.5), EFFUSION)
            lung = lung * (1.0 - fluid)
        if side in anatomy["collapse"]:
            rim = anatomy["collapse"][side] * (1.55 - y)
            pleura = wall - outwards - rim
            free = edge(pleura, 0.006) * lung
            line = np.exp(-((pleura / 0.0045) ** 2)) * lung
            canvas.mark(free > 0.5, PNEUMOTHORAX)
            lung = lung * (0.88 * (1.0 - free) + 1.18 * free) - 0.35 * line
            markings = markings * (1.0 - free)
        air += lung * (1.0 - markings)
        cage = edge(outwards - wall - 0.012, 0.008)
        bone += cage * _ribs(anatomy, canvas, side, side * (x - spine), y, half)
    air *= 1.0 - heart
    for finding, side, outwards, height, radius, roughness, strength in anatomy["opacities"]:
        blob = canvas.blob_alpha(
            rng, middle + side * outwards * half, height, radius, roughness, soft=0.012 + 0.5 * roughness * radius
        )
        if finding == CONSOLIDATION:
            blob = blob * (0.9 + 0.10 * haze).clip(0, 1)
        canvas.mark((blob > 0.4) & (air > 0.2), finding)
        air *= 1.0 - strength * blob
    if anatomy["nodes"]:
        at = np.array([(middle + s * half * rng.uniform(0.24, 0.38), rng.uniform(0.40, 0.54)) for s in (-1, 1) * 5])
        masses = canvas.ellipses_alpha(*at.T, anatomy["nodes"] * rng.uniform(0.8, 1.2, len(at)), soft=0.014)
        canvas.mark((masses > 0.5) & (air > 0.1), HILAR_NODES)
        air *= 1.0 - 0.85 * masses
    # Ribs are seen best against air: scatter veils them behind heart, fluid and abdomen.
    bone *= 0.30 + 0.70 * air
    liver = liver.clip(0, 1)

    torso = canvas.polygon_alpha([*SHOULDER, *((1 - a, b) for a, b in reversed(SHOULDER))], soft=0.03)
    column = edge(np.abs(x - spine) - 0.033, 0.012)
    discs = 0.65 + 0.35 * np.tanh(3 * np.cos(2 * np.pi * (y + 0.02) / 0.062) + 2)
    shoulders = np.zeros_like(y)
    for side in (-1, 1):
        clavicle = [(middle + side * a, b) for a, b in ((0.035, 0.185), (0.13, 0.165), (0.22, 0.135), (0.32, 0.125))]
        shoulders = np.maximum(shoulders, canvas.stroke_alpha(clavicle, np.array([0.034, 0.024, 0.024, 0.03])))
        shoulders += 0.7 * canvas.ellipse_alpha(middle + side * 0.445, 0.19, 0.05, 0.06, soft=0.015)
    trachea = edge(np.abs(x - middle) - 0.018, 0.012) * edge(y - 0.36, 0.02)
    stomach = canvas.ellipse_alpha(
        middle + anatomy["mirror"] * 0.55 * half, anatomy["domes"][anatomy["mirror"]] + 0.055, 0.06, 0.028, soft=0.02
    )
    canvas.mark(column > 0.5, SCOLIOSIS)
    if anatomy["elevated"]:
        side = anatomy["elevated"]
        canvas.mark((liver > 0.5) & (side * (x - middle) > 0) & (y < anatomy["domes"][-side]), ELEVATION)
    return torso * (
        0.54
        - 0.36 * air
        + 0.10 * bone
        + 0.07 * heart * (1.0 - liver)
        + 0.09 * column * discs
        + 0.10 * liver
        + 0.13 * shoulders
        - 0.07 * trachea
        - 0.16 * stomach
        + 0.006 * haze
    )


def _curve(canvas, knots):
    """A smooth function of height through (y, value) knots, one value a row, as a column ``(size, 1)``."""
    return PchipInterpolator(*np.transpose(knots))(canvas.y[:, :1]).astype(np.float32)


def _heart(canvas, anatomy, x, y, middle, half):
    """Heart, great vessels and aortic knob; two thirds of the heart lie on the side of its apex."""
    mirror, width = anatomy["mirror"], 2 * half * anatomy["ratio"]
    u, v = mirror * (x - middle) - 0.17 * width, y - 0.665 + 0.15 * (anatomy["ratio"] - 0.43)
    c, s = np.cos(0.50), np.sin(0.50)
    a, b = 0.53 * width, 0.42 * width
    body = np.sqrt(((c * u + s * v) / a) ** 2 + ((c * v - s * u) / b) ** 2)
    heart = canvas.edge((body - 1.0) * b, 0.014)
    vessels = canvas.edge(np.abs(x - middle - mirror * 0.008) - (0.052 + 0.03 * (y - 0.2)), 0.016) * (y < 0.75)
    knob = canvas.ellipse_alpha(middle + mirror * 0.058, 0.315, 0.036, 0.042, soft=0.014)
    canvas.mark(heart > 0.5, CARDIOMEGALY)
    canvas.mark(np.maximum(heart, knob) > 0.5, SITUS_INVERSUS)
    return np.maximum(np.maximum(heart, knob), vessels)


def _vessels(canvas, rng, middle, side, half):
    """Pulmonary vessels, fanning out and tapering from the hilum."""
    tree = np.zeros_like(canvas.y)
    hilum = np.array([middle + side * 0.19 * half, 0.47])
    for angle in np.linspace(-1.25, 1.15, 9) + rng.normal(0, 0.08, 9):
        turn = angle + np.cumsum(rng.normal(0, 0.16, 4))
        step = rng.uniform(0.055, 0.075) * np.stack([side * np.cos(turn), np.sin(turn)], 1)
        path = np.concatenate([hilum[None], hilum + np.cumsum(step, 0)])
        np.maximum(tree, canvas.stroke_alpha(path, np.linspace(0.020, 0.004, 5), soft=0.008) * 0.28, out=tree)
    return np.maximum(tree, 0.4 * canvas.ellipse_alpha(*hilum, 0.026, 0.05, soft=0.04))


def _ribs(anatomy, canvas, side, outwards, y, half):
    """Posterior ribs sloping down from the spine, fainter anterior ribs sloping back; broken where fractured."""
    o, pitch = outwards / half, 0.066
    posterior = (y - 0.125 - 0.03 * o - 0.085 * o * o) / pitch
    breaks = np.zeros_like(y)
    for broken, rib, at, step in anatomy["fractures"]:
        if broken == side:
            this = np.abs(posterior - rib) < 0.5
            breaks = np.maximum(breaks, this * np.exp(-(((o - at) * half / 0.010) ** 2)))
            centre = (np.abs(o - at) * half < 0.03) & (np.abs(posterior - rib) * pitch < 0.03)
            canvas.mark(centre, RIB_FRACTURES)
            posterior = posterior - this * canvas.edge((at - o) * half, 0.004) * step / pitch

    def bars(phase, first, last, thick):
        off = np.abs(phase - np.round(phase))
        inside = canvas.edge((off - thick) * pitch, 0.006)
        cortex = np.exp(-(((off - thick) * pitch / 0.004) ** 2))
        return (0.75 * inside + 0.35 * cortex) * (np.round(phase) >= first) * (np.round(phase) <= last)

    anterior = (y - 0.245 - 0.20 * (1.0 - o)) / (1.12 * pitch)
    front = bars(anterior, 0, 6, 0.15) * canvas.edge(0.45 - o, 0.1)
    back = bars(posterior, 0, 9, 0.17) * (1.0 - breaks)
    return canvas.edge(0.025 - outwards, 0.01) * (1.5 * back + 0.3 * front)
