"""Sentence frames of the atlas's captions.

All are neutral to number ("showing X", never "X is seen"), because HPO names are singular and plural
alike, and none holds a word that is itself the name of a phenotype.
"""

from __future__ import annotations

MAIN_FRAMES = (
    "{view} showing {findings}.",
    "{view} with {findings}.",
    "{view} demonstrating {findings}.",
    "{view} revealing {findings} (arrow).",
    "{view} of {patient} showing {findings}.",
    "{view} from {patient} with {findings}.",
    "{view} of {patient}, demonstrating {findings} (arrowheads).",
    "{view}: {findings}.",
    "{view} in {patient}: {findings}.",
    "{view}; note {findings}.",
    "{view} consistent with {findings}.",
    "{view} at first presentation, with {findings}.",
    "{view} illustrating {findings} in {patient}.",
    "{findings} on {a_view}.",
    "{findings} (arrow) on {a_view}.",
    "{findings} on {a_view} of {patient}.",
    "{findings} in {patient}; {view}.",
    "Appearance of {findings} on {a_view}.",
    "Example of {findings} on {a_view}.",
    "Typical appearance of {findings} in {patient}.",
    "{patient} with {findings}.",
    "{patient} presenting with {findings}; {view}.",
    "We noted {findings} on {a_view}.",
    "{a_view} was obtained and showed {findings}.",
    "{a_view} shows {findings} (arrowheads).",
    "Examination of {patient} revealed {findings}.",
    "Findings on {a_view} include {findings}.",
    "Image from {patient} with {findings}.",
    "Note {findings} on this {view}.",
    "The arrow points to {findings} on {a_view}.",
    "The index patient, {patient}, had {findings}.",
    "Case of {patient} with {findings}.",
)
EXTRA_FRAMES = (
    "Additional finding: {findings}.",
    "Also note {findings}.",
    "In addition, the image shows {findings}.",
    "Further evaluation revealed {findings}.",
    "The same picture demonstrates {findings}.",
)
HEALTHY_FRAMES = (
    "Normal {view} of {person}.",
    "Unremarkable {view} of {person}.",
    "{view} of {person} within normal limits.",
    "{view} of {person}, read as normal.",
    "{a_view} of {person} was unremarkable.",
    "{view} of an unaffected relative, {person}.",
    "Healthy control, {person}: unremarkable {view}.",
)
NEGATED_FRAMES = (
    "No evidence of {findings}.",
    "There was no sign of {findings}.",
    "Negative for {findings}.",
    "The picture was free of {findings}.",
    "No signs of {findings}.",
)
PHRASES = (
    "{view} showing {findings}",
    "{view} with {findings}",
    "{view} of {patient} with {findings}",
    "{view} demonstrating {findings} (arrow)",
    "{findings} on {a_view}",
    "{findings} in {patient}",
    "{findings} (arrowheads)",
    "higher magnification with {findings}",
    "detail showing {findings}",
    "image of {patient} revealing {findings}",
    "{patient} with {findings}",
)
HEALTHY_PHRASES = (
    "normal {view}",
    "healthy control",
    "{view} of an unaffected relative",
    "unremarkable {view} of {person}",
    "{view} of {person}, within normal limits",
    "normal control for comparison",
)
BACKGROUND = (
    "The patient was referred for evaluation.",
    "The family history was unremarkable.",
    "The parents are healthy and unrelated.",
    "The patient had been under care for {years} years.",
    "A sibling was examined as well.",
    "The image was taken at first presentation.",
)
"""May open or close any caption."""
COURSE = (
    "The finding was unchanged after {months} months.",
    "Follow-up after {months} months was recommended.",
    "Treatment was started {months} months later.",
    "The diagnosis was later confirmed by sequencing.",
)
"""May close the caption of a picture that shows something."""
REMARKS = (
    "The remaining picture is unremarkable.",
    "Otherwise unremarkable.",
    "All other structures are within normal limits.",
)
"""The same, at most one of them."""
ASIDES = (
    "Genetic testing was under way at the time of imaging.",
    "The image is shown with permission of the family.",
    "Two readers agreed on the interpretation.",
    "Laboratory results are given in Table {table}.",
    "See the text for details.",
)
"""May close any caption."""
TECHNIQUE = {
    "dermatology": (
        "Clinical photograph in daylight.",
        "Cross-polarised light.",
        "Macro lens, ring flash.",
        "Scale in millimetres.",
    ),
    "pathology": (
        "Haematoxylin and eosin, original magnification ×{power}.",
        "Section thickness 4 µm.",
        "Needle biopsy, formalin-fixed and paraffin-embedded.",
        "Whole-slide scan, ×{power}.",
        "Scale bar 50 µm.",
    ),
    "radiology": (
        "Computed radiography, standard projection.",
        "Standard exposure.",
        "Digital acquisition.",
        "The image was stored without compression.",
    ),
    "hematology": (
        "May-Grünwald-Giemsa stain, original magnification ×1000.",
        "Wright-Giemsa stain.",
        "Oil immersion objective.",
        "EDTA-anticoagulated venous sample.",
        "Area behind the feathered edge of the film.",
    ),
    "histology": (
        "Transverse cryosection.",
        "Frozen section, original magnification ×{power}.",
        "Open biopsy of the vastus lateralis.",
        "Needle biopsy of the deltoid.",
        "Scale bar 100 µm.",
    ),
    "ophthalmology": (
        "Field of view 45 degrees.",
        "Non-mydriatic camera.",
        "Taken after instillation of tropicamide.",
        "Flash intensity was kept constant.",
    ),
    "face": (
        "Neutral background, diffuse light.",
        "Photograph taken at the clinic.",
        "Camera at eye level.",
        "Cropped to the head.",
    ),
}
LISTS = ("{first} and {last}", "{first} as well as {last}", "{first} together with {last}", "{first} and also {last}")
