"""Radiographs of the hand, as maps of how much the body attenuates the beam.

Chains of bones make the digits, soft tissue lies about them; carpus and forearm follow below.
"""

from __future__ import annotations

import numpy as np

from phenolip_lib.phantom.domain import Domain

# Holds the findings; `phenolip_lib.phantom.radiology` puts the views together and makes the film.
view = Domain("radiology", views=("hand radiograph",))

ARACHNODACTYLY, EXTRA_THUMB, ABSENT_THUMB, SHORT_METACARPAL = "HP:0001166", "HP:0001177", "HP:0009777", "HP:0010044"
SHORT_DISTAL, CLINODACTYLY, SYNDACTYLY = "HP:0006118", "HP:0004209", "HP:0006097"

THUMB, INDEX, MIDDLE, RING, LITTLE = range(5)
# Bones of a digit from the wrist outwards, as fractions of the picture; the thumb has two phalanges.
BONES = np.array(
    [
        [0.130, 0.095, 0.000, 0.070],
        [0.205, 0.130, 0.077, 0.056],
        [0.197, 0.143, 0.092, 0.060],
        [0.180, 0.134, 0.087, 0.060],
        [0.165, 0.106, 0.062, 0.053],
    ]
)
BASES = np.array([[-0.088, 0.02], [-0.070, -0.03], [-0.024, -0.035], [0.022, -0.03], [0.064, -0.02]])
CARPUS = np.array([-0.068, 0.008, -0.028, 0, 0.014, -0.002, 0.054, 0.008, -0.05, 0.045, -0.008, 0.044, 0.036, 0.046])
CARPUS = CARPUS.reshape(-1, 2)
DIRECTIONS = np.radians([-46.0, -13.0, -3.0, 6.0, 17.0])


def normal(rng):
    """A hand of usual proportions."""
    return {
        "bones": BONES * rng.normal(1.0, 0.025, BONES.shape),
        "extra": 0.0,
        "slender": rng.uniform(0.93, 1.07),
        "deviation": rng.uniform(-0.03, 0.05),
        "fusion": 0.0,
        "marked": {},  # finding -> bones (digit, place) that show it
    }


# --- phenotypes ----------------------------------------------------------------------------------


@view.finding(ARACHNODACTYLY, excludes=(SHORT_DISTAL,))
def arachnodactyly(anatomy, severity, rng):
    """Arachnodactyly: long, slender bones of the fingers."""
    anatomy["bones"] *= 1.20 + 0.15 * severity
    anatomy["slender"] = 0.74 - 0.14 * severity
    anatomy["marked"][ARACHNODACTYLY] = [(d, b) for d in range(5) for b in range(4)]


@view.finding(EXTRA_THUMB, excludes=(ABSENT_THUMB,))
def preaxial_polydactyly(anatomy, severity, rng):
    """Preaxial hand polydactyly: a second thumb, from a rudiment to full size."""
    anatomy["extra"] = 0.50 + 0.40 * severity


@view.finding(ABSENT_THUMB)
def absent_thumb(anatomy, severity, rng):
    """Absent thumb: no phalanges; in severe cases no first metacarpal either."""
    anatomy["bones"][THUMB] *= (0.75 * max(0.0, 1.0 - 1.6 * severity), 0, 0, 0)


@view.finding(SHORT_METACARPAL)
def short_fourth_metacarpal(anatomy, severity, rng):
    """Short 4th metacarpal: its head falls short of the line through the third and fifth."""
    anatomy["bones"][RING, 0] *= 0.80 - 0.28 * severity
    anatomy["marked"][SHORT_METACARPAL] = [(RING, 0)]


@view.finding(SHORT_DISTAL)
def brachytelephalangy(anatomy, severity, rng):
    """Shortening of all distal phalanges of the fingers: stubby ends."""
    anatomy["bones"][:, 3] *= 0.70 - 0.30 * severity
    anatomy["marked"][SHORT_DISTAL] = [(d, 3) for d in range(5)]


@view.finding(CLINODACTYLY)
def clinodactyly(anatomy, severity, rng):
    """Clinodactyly of the 5th finger: the little finger curves towards the ring finger."""
    anatomy["deviation"] = 0.22 + 0.33 * severity
    anatomy["marked"][CLINODACTYLY] = [(LITTLE, b) for b in (1, 2, 3)]


@view.finding(SYNDACTYLY)
def syndactyly(anatomy, severity, rng):
    """3-4 finger osseus syndactyly: bone bridges between middle and ring finger."""
    anatomy["fusion"] = 1.0 + 2.0 * severity


# --- drawing -------------------------------------------------------------------------------------


def attenuation(canvas, anatomy, rng):
    """How much each pixel of the picture attenuates the beam; the bones are waisted strokes."""
    zoom = rng.uniform(1.18, 1.32) * min(1.0, 0.53 / anatomy["bones"][MIDDLE].sum())
    turn, mirror = rng.uniform(-0.13, 0.13), rng.choice((-1, 1))
    frame = zoom * np.array([[mirror * np.cos(turn), -np.sin(turn)], [mirror * np.sin(turn), np.cos(turn)]])
    wrist = np.array([0.5 + rng.uniform(-0.03, 0.03), 0.83 + rng.uniform(-0.02, 0.02)])
    spread, slender = rng.uniform(0.85, 1.15), anatomy["slender"] * zoom
    soft, bone, marrow = (np.zeros_like(canvas.y) for _ in range(3))

    def place(points):
        return wrist + np.asarray(points) @ frame.T

    def draw_bone(start, end, width, hpo_ids=()):
        length = np.hypot(*np.subtract(end, start))
        # Strokes end in half a disc: it stops short of the joint by the cartilage.
        tip = min(0.3, (0.46 * width * anatomy["slender"] + 0.002) / length)
        t = np.array([tip, 0.3, 0.5, 0.7, 1.0 - tip])[:, None]
        path = place(np.asarray(start) * (1 - t) + np.asarray(end) * t)
        waist = np.array([1.0, 0.78, 0.66, 0.74, 0.92]) * width * slender
        shape = canvas.stroke_alpha(path, waist)
        np.maximum(bone, shape, out=bone)
        np.maximum(marrow, canvas.stroke_alpha(path[1:4], 0.5 * waist[1:4], soft=0.01), out=marrow)
        for hpo_id in hpo_ids:
            canvas.mark(shape > 0.5, hpo_id)

    def flesh(points, width):
        np.maximum(soft, canvas.stroke_alpha(place(points), width * zoom, soft=0.012), out=soft)

    chains = []
    for digit in range(5):
        direction = DIRECTIONS[digit] * spread
        bends = np.zeros(4)
        if digit == LITTLE:
            bends[2:] = -anatomy["deviation"] * np.array([0.8, 1.0])
        if digit == THUMB:
            bends[1:] = 0.25, 0.0, 0.05
        if digit == RING and anatomy["fusion"]:
            direction = DIRECTIONS[MIDDLE] * spread - 0.01
        heading = direction + np.cumsum(bends)
        lengths = anatomy["bones"][digit]
        steps = lengths[:, None] * np.stack([np.sin(heading), -np.cos(heading)], 1)
        chains.append((digit, BASES[digit] + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, 0)]), ()))
    if anatomy["extra"]:
        joints = chains[THUMB][1]
        angle = -0.65 * rng.uniform(0.9, 1.2)
        turned = (joints[1:] - joints[1]) @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        chains.append((THUMB, np.concatenate([joints[1:2], joints[1] + anatomy["extra"] * turned]), (EXTRA_THUMB,)))

    for digit, joints, own in chains:
        lengths = np.hypot(*np.diff(joints, axis=0).T)
        if lengths.sum() > 0:
            flesh(joints[lengths.cumsum().searchsorted(1e-6) :], 0.062 * (0.5 + 0.5 * anatomy["slender"]))
        for b in range(4):
            marks = [*own, *(f for f, bones in anatomy["marked"].items() if (digit, b) in bones)]
            if lengths[b] > 1e-3:
                draw_bone(joints[b], joints[b + 1], (0.036, 0.033, 0.029, 0.025)[b], marks)
    if anatomy["fusion"]:
        first, second = chains[MIDDLE][1], chains[RING][1]
        for b in range(3, 3 - round(anatomy["fusion"]), -1):
            a, c = (0.5 * (j[b] + j[b + 1]) for j in (first, second))
            draw_bone(a, c, 0.034, (SYNDACTYLY,))
        flesh([first[2], second[2], second[4], first[4]], 0.07)
    knuckles = [chain[1][1] for chain in chains[INDEX : LITTLE + 1]]
    palm = place([(-0.085, 0.06), BASES[INDEX] + (-0.03, 0), *knuckles, BASES[LITTLE] + (0.035, 0), (0.07, 0.06)])
    np.maximum(soft, canvas.polygon_alpha(palm, soft=0.02), out=soft)
    if not anatomy["bones"][THUMB, 1]:
        root = place([BASES[THUMB] + (-0.03, -0.05)])[0]
        canvas.mark(canvas.ellipse_alpha(*root, 0.06) > 0.5, ABSENT_THUMB)
    flesh([(0, 0.04), (0, 0.5)], 0.165)
    for x, width in ((-0.035, 0.066), (0.048, 0.04)):
        draw_bone((x, 0.078), (x * 0.9, 0.55), width)
    carpus = canvas.ellipses_alpha(*place(CARPUS).T, 0.0205 * zoom, 0.0195 * zoom, soft=0.007)
    np.maximum(bone, carpus, out=bone)
    trabeculae = canvas.texture(rng, 0.008)
    return 0.08 + 0.30 * soft + bone * (0.32 + 0.02 * trabeculae) - 0.13 * marrow + 0.008 * canvas.texture(rng, 0.1)
