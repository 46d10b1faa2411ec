"""What data sets call their classes, in words a text tower can know."""

_GRADES = {
    "DR grade 0": "no diabetic retinopathy",
    "DR grade 1": "mild nonproliferative diabetic retinopathy",
    "DR grade 2": "moderate nonproliferative diabetic retinopathy",
    "DR grade 3": "severe nonproliferative diabetic retinopathy",
    "DR grade 4": "proliferative diabetic retinopathy",
}
CLASS_NAMES: dict[str, dict[str, str]] = {
    "chula-rbc-12": {
        "normal": "normal red blood cells",
        "macrocyte": "macrocytes",
        "microcyte": "microcytes",
        "spherocyte": "spherocytes",
        "target cell": "target cells",
        "stomatocyte": "stomatocytes",
        "ovalocyte": "ovalocytes",
        "teardrop": "teardrop cells",
        "burr cell": "burr cells",
        "schistocyte": "schistocytes",
        "hypochromia": "hypochromic red blood cells",
        "elliptocyte": "elliptocytes",
    },
    "ham10000": {
        "akiec": "actinic keratosis or Bowen's disease",
        "bcc": "basal cell carcinoma",
        "bkl": "benign keratosis",
        "df": "dermatofibroma",
        "mel": "melanoma",
        "nv": "melanocytic nevus",
        "vasc": "vascular skin lesion",
    },
    "idrid": _GRADES,
    "medpix-2.0": {
        "Abdomen": "the abdomen",
        "Head": "the head",
        "Reproductive and Urinary System": "the reproductive and urinary system",
        "Spine and Muscles": "the spine and muscles",
        "Thorax": "the chest",
    },
    "retinamnist": _GRADES,
}
"""Data set -> class name -> text; other class names are texts as they are."""
