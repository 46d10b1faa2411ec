"""Words of phenotype recognition: their base form, and lists of English and clinical usage.

What HPO itself can tell about words is not listed here but mined from it (`families`).
"""

from __future__ import annotations

import re

from Stemmer import Stemmer

_WORD = re.compile(r"[a-z0-9]+")
_stem = Stemmer("english").stemWord

FUNCTION_WORDS = frozenset(
    """a an the of in on at to for by from his her their its both is are was were be been being as that
    which has have had very extremely markedly significantly rather somewhat quite seem seems appear appears appeared
    remain remains remained abnormally affecting affects involving some any these those both s""".split()
)
"""Words that carry no part of a finding; "his gait was very unstable" reads "gait unstable"."""
MODIFIERS = frozenset(
    """mild mildly moderate moderately severe severely profound profoundly marked slight slightly subtle significant
    bilateral bilaterally unilateral unilaterally left right persistent persistently diffuse extensive massive
    minimal obvious early late multiple several recent ongoing intermittent prior""".split()
)
"""Words that qualify a finding; they may be left out where no term holds them."""
FILLERS = frozenset("morphology physiology circulating level levels concentration serum plasma blood".split())
"""Words of HPO's systematic names that nobody writes: "abnormal pupil morphology", "circulating IgG"."""
ABNORMAL = frozenset("abnormal abnormality anomaly malformation malformed deformity deformed".split())
"""The head of HPO's grouping terms, by any of its names: "brain malformation" is an abnormal brain morphology."""
DECLARED = {"abnormal": "change defect disorder disturbance involvement", "elevated": "high"}
"""Replacements that mining misses or gets too wide: nothing else stands for these words."""
DECLARED_PRICE = 0.3
ADDED_FORMS = {
    "HP:0000252": ("small head",),
    "HP:0000256": ("large head",),
    "HP:0000568": ("small eye",),
    "HP:0001276": ("increased tone", "increased muscle tone"),
    "HP:0001252": ("low tone", "low muscle tone"),
    "HP:0001324": ("weakness",),
    "HP:0001347": ("brisk reflexes", "brisk deep tendon reflexes"),
    "HP:0001371": ("flexion deformity", "fixed flexion deformity"),
    "HP:0002107": ("collapsed lung",),
    "HP:0000729": ("autistic features",),
    "HP:0001265": ("decreased reflexes", "diminished reflexes"),
}
"""Wordings of the clinic that HPO lacks or files under a rarer term ("weakness" of a patient is muscle weakness)."""
SAME = """nose nasal; liver hepatic; kidney renal; lung pulmonary; tongue lingual; tooth dental; skin cutaneous;
heart cardiac;
eye ocular; mouth oral; stomach gastric; bowel intestinal; skull cranium cranial; chest thorax thoracic; limb
extremity;
spleen splenic; brain cerebral; decreased reduced diminished; increased elevated raised; broad wide; tumor neoplasm;
bleeding hemorrhage; difficulty problem trouble; extra supernumerary; fusion fused synostosis; 
distal terminal; wasting atrophy; abdomen abdominal belly; muscle muscular; deafness deaf; lymphocyte lymphocytic"""
"""Words of one meaning wherever they stand beside others; all but a few are what `mined_pairs` finds most often."""
DIMENSIONS = (
    "broad wide widened",
    "large big enlarged",
    "thin slender",
    "narrow",
    "short shortened",
    "small",
    "long elongated",
    "thick thickened",
    "prominent",
    "flat",
    "full",
    "high",
    "low",
    "deep",
)
"""Words of size and shape, grouped by dimension. Lay synonyms mix the dimensions; a finding may not."""
PARTS = frozenset(
    """upper lower hand finger foot toe ear helix pinna eye bone joint cell lymphocyte leukocyte tissue anterior
    frontal posterior
    little middle head neck limb tooth muscle height length width volume number phalanx root bridge dorsum
    canal""".split()
)
"""Names of parts, which one term's synonyms may exchange (a hand for its fingers) and a text may not."""
BLOCKED = (
    "small bowel",
    "large bowel",
    "small intestine",
    "large intestine",
    "small vessel",
    "large vessel",
    "renal pelvis",
    "high pressure",
    "left shift",
    "tooth within",
    "small airway",
    "abdomen extending",
    "pelvic bone",
    "ductus arteriosus",
    "prominent ventricle",
)
"""Names of parts and everyday phrases that read like a finding and are none."""
KEPT_APART = frozenset(
    [
        "involvement",
        "involved",
        "involving",
        "thickness",
        "shortness",
        "tearing",
        "tear",
        "affect",
        "affective",
        "initiative",
        "notice",
    ]
)
ORDINALS = dict(zip(("1st", "2nd", "3rd", "4th", "5th"), ("first", "second", "third", "fourth", "fifth"), strict=True))
IRREGULAR = {
    "feet": "foot",
    "teeth": "tooth",
    "phalanges": "phalanx",
    "phalange": "phalanx",
    "femora": "femur",
    "testes": "testis",
    "pelves": "pelvis",
    "nares": "naris",
    "corpora": "corpus",
    "viscera": "viscus",
    "vertebrae": "vertebra",
    "lice": "louse",
    "halluces": "hallux",
    "indices": "index",
    "cortices": "cortex",
    "appendices": "appendix",
    "matrices": "matrix",
    "apices": "apex",
    "helices": "helix",
    "ova": "ovum",
    "diverticula": "diverticulum",
    "septa": "septum",
    "atria": "atrium",
    "labia": "labium",
    "crania": "cranium",
    "mandibles": "mandible",
    "menisci": "meniscus",
    "lenses": "lens",
    "biceps": "biceps",
    "ptotic": "ptosis",
    "facies": "face",
    "pneumoniae": "pneumoniae",
    "lost": "loss",
    "losing": "loss",
    "lose": "loss",
    "cannot": "inability",
    "unable": "inability",
    "dysmorphia": "dysmorphism",
}
SPELLING = (
    ("aemi", "emi"),
    ("oedem", "edem"),
    ("haem", "hem"),
    ("oesoph", "esoph"),
    ("paed", "ped"),
    ("tumour", "tumor"),
    ("colour", "color"),
    ("behaviour", "behavior"),
    ("faec", "fec"),
    ("foet", "fet"),
    ("diarrhoe", "diarrhe"),
    ("coeliac", "celiac"),
    ("leuk", "leuc"),
    ("sulph", "sulf"),
    ("fibre", "fiber"),
    ("centre", "center"),
    ("gynaec", "gynec"),
    ("orthopaed", "orthoped"),
    ("caec", "cec"),
    ("anaes", "anes"),
    ("goitre", "goiter"),
    ("ise", "ize"),
    ("isa", "iza"),
    ("isi", "izi"),
    ("yse", "yze"),
    ("naev", "nev"),
    ("grey", "gray"),
)
"""British to American, applied to dictionary and text alike, so a wrong fold does no harm."""
ADJECTIVES = (
    ("cephalic", "cephaly"),
    ("plegic", "plegia"),
    ("paretic", "paresis"),
    ("hypotonic", "hypotonia"),
    ("hypertonic", "hypertonia"),
    ("dystonic", "dystonia"),
    ("penic", "penia"),
    ("anemic", "anemia"),
    ("ataxic", "ataxia"),
    ("myopic", "myopia"),
    ("cyanotic", "cyanosis"),
    ("icteric", "icterus"),
    ("febrile", "fever"),
    ("sarcopenic", "sarcopenia"),
)
"""Adjectives that assert the noun on their own: "the boy was microcephalic"."""
STOP_FORMS = frozenset(
    """all can mass collection onset severe mild moderate acute chronic progressive stable recurrent bilateral
    unilateral
    right left anterior posterior proximal distal localized generalized focal diffuse central peripheral patchy lesion
    inflammation infection death male female age size tears tear sweating abnormality abnormal finding
    falls fall tube feeding aura adipose depressed collecting tearing flush spinning""".split()
)
"""HPO names and synonyms that are everyday words in reports and name no phenotype there."""
HEADINGS = frozenset("edema neoplasm tumor cancer pain fever infection".split())
"""Findings that are also headings; alone on a line they say nothing."""
AMBIGUOUS_ACRONYMS = frozenset(["OCD", "ASD", "RAD", "TMD", "AEA"])
"""Short forms that mean something else as often; they count only where the text defines them."""
SIZES = frozenset(" ".join(DIMENSIONS).split()) | frozenset(
    "severe mild moderate profound "
    "upper lower abnormal poor excessive decreased reduced increased elevated absent delayed visual".split()
)


def root(word: str) -> str:
    """The English stem, without the Greek and Latin ending of a longer word (dystonia, dystonic)."""
    if word in KEPT_APART or word.endswith(("itis", "ly")):
        return word
    stem = _stem(word)
    short = re.sub(r"(?:ism|ic|ia|[aeiouy])$", "", stem)
    return short if len(short) >= 6 else stem


_BRITISH = dict(SPELLING)
_british = re.compile("|".join(_BRITISH))
_NOUN_OF = dict(ADJECTIVES)
_adjective = re.compile(f"(?:{'|'.join(_NOUN_OF)})$")
_PLURAL_LOOKALIKES = ("ss", "us", "is", "as", "os", "ps")


def lemma(word: str) -> str:
    """One spelling and number of a lower-case word."""
    word = ORDINALS.get(word, word)
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) > 4:
        word = _british.sub(lambda m: _BRITISH[m.group()], word)
        word = _adjective.sub(lambda m: _NOUN_OF[m.group()], word)
    if len(word) > 3 and word[-1] in "se":
        if word.endswith("ies"):
            return word[:-3] + "y"
        if len(word) > 4 and word.endswith("ae"):
            return word[:-1]
        if word[-1] == "s" and not word.endswith(_PLURAL_LOOKALIKES):
            return IRREGULAR.get(word[:-1], word[:-1])
    return word


def words(text: str) -> list[str]:
    """Content lemmas of a phrase, in order."""
    return [lemma(w) for w in _WORD.findall(text.lower()) if w not in FUNCTION_WORDS]


def normal_form(text: str) -> str:
    """A text as lemmas joined by blanks: equal for variants in case, number, hyphens and spelling."""
    return " ".join(lemma(word) for word in _WORD.findall(text.lower()))
