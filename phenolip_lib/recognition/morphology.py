"""The base form of a word: one number, one spelling, and the noun for an adjective that asserts it.

Names of the ontology and words of a text go through the same function, so a fold that is wrong for both does no harm.
"""

from __future__ import annotations

import re

from Stemmer import Stemmer

from phenolip_lib.recognition.vocabulary import FUNCTION_WORDS, KEPT_APART

_WORD = re.compile(r"[a-z0-9]+")
_stem = Stemmer("english").stemWord

ORDINALS = dict(zip(("1st", "2nd", "3rd", "4th", "5th"), ("first", "second", "third", "fourth", "fifth"), strict=True))
_SINGULARS = """abdomen abdomina; acetabulum acetabula; antrum antra; apex apices; appendix appendices; atrium
atria; axis axes; bacterium bacteria; calf calves; calyx calyces calices; capitulum capitula; cerebellum cerebella;
cervix cervices; cilium cilia; cornu cornua; corpus corpora; cortex cortices; cranium crania; crisis crises; crus
crura; diverticulum diverticula; epididymis epididymides; epithelium epithelia; face facies; femur femora; foot feet;
foramen foramina; fornix fornices; frenulum frenula; ganglion ganglia; genu genua; half halves; hallux halluces; helix
helices; hilum hila; ilium ilia; index indices; infundibulum infundibula; iris irides; ischium ischia; labium labia;
larynx larynges; lens lenses; louse lice; lumen lumina; matrix matrices; naris nares; olecranon olecrana; operculum
opercula; ostium ostia; ovum ova; pelvis pelves; phalanx phalanges phalange; pharynx pharynges; pollex pollices;
pterygium pterygia; punctum puncta; septum septa; testis testes; thorax thoraces; tooth teeth; varix varices; vertex
vertices; viscus viscera; mitochondrion mitochondria; phenomenon phenomena; ptosis ptotic; loss lost losing lose;
inability cannot unable; dysmorphism dysmorphia"""
IRREGULAR = {other: one for one, *others in map(str.split, _SINGULARS.split(";")) for other in others}
"""What no rule makes singular, and other forms of a noun."""
_AS_THEY_ARE = frozenset(
    """pancreas psoas atlas vas gas bias canvas biceps triceps quadriceps forceps hydrops pneumoniae menses herpes
    diabetes scabies rabies caries species series this thus plus his yes lens pons mons glans penis iii viii
    xiii anti hemi semi mini chiari""".split()
)
"""Singular, though they look like plurals."""
_NOUNS_IN_OSE = frozenset(
    """nose dose rose hose pose those close lose purpose expose suppose overdose glucose lactose fructose sucrose
    galactose disclose enclose propose compose dispose impose oppose goose loose""".split()
)
_PLURALS = (
    (re.compile(r"(?<=[a-z]{3}ma)ta$"), ""),  # colobomata
    (re.compile(r"(?<=it)ides$"), "is"),  # arthritides
    (re.compile(r"(?<=thora)ces$"), "x"),  # pneumothoraces
    (re.compile(r"(?<=ss)es$"), ""),  # abscesses
    (re.compile(r"(?<=[^ao]u)ses$"), "s"),  # sinuses, not causes or spouses
    (re.compile(r"(?<=[a-z][^e]e)ses$|(?<=[a-z]y)ses$|(?<=st[ae])ses$|(?<=(?:ia|ta|ct)a)ses$|(?<=[a-z]ia)ses$"), "sis"),
    (re.compile(r"(?<=[a-z]{2}o)ses$"), "sis"),  # exostoses, not noses
    (re.compile(r"(?<=x)es$|(?<=sh)es$|(?<=[^ae]ch)es$"), ""),  # reflexes, rashes, patches, not headaches
    (re.compile(r"ies$"), "y"),
    (re.compile(r"(?<=[a-z]{2}a)e$"), ""),  # vertebrae
    (re.compile(r"(?<=[a-z]{2}[bcdfghklmnprstv])i$|(?<=nev|cle|adi)i$"), "us"),  # thrombi
    (re.compile(r"(?<=[a-z]{2}[^suio])s$|(?<=[iy]o)s$"), ""),
)
"""Endings of plurals, the first that fits counts."""
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
    ("lachrym", "lacrim"),
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
    ("atactic", "ataxia"),
    ("myopic", "myopia"),
    ("cyanotic", "cyanosis"),
    ("icteric", "icterus"),
    ("febrile", "fever"),
    ("sarcopenic", "sarcopenia"),
)
"""Adjectives that assert the noun on their own: "the boy was microcephalic"."""


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


def _singular(word: str) -> str:
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word[-1] not in "seai" or word in _AS_THEY_ARE or word[:-1] in _NOUNS_IN_OSE:
        return word.removesuffix("s") if word[:-1] in _NOUNS_IN_OSE else word
    for ending, singular in _PLURALS:
        if found := ending.search(word):
            return word[: found.start()] + singular
    return word


def lemma(word: str) -> str:
    """One spelling and number of a lower-case word."""
    word = ORDINALS.get(word, word)
    if len(word) < 4:
        return word
    word = _singular(word)
    if len(word) > 4:
        word = _british.sub(lambda m: _BRITISH[m.group()], word)
        word = _adjective.sub(lambda m: _NOUN_OF[m.group()], word)
    return IRREGULAR.get(word, word)


def words(text: str) -> list[str]:
    """Content lemmas of a phrase, in order."""
    return [lemma(w) for w in _WORD.findall(text.lower()) if w not in FUNCTION_WORDS]


def normal_form(text: str) -> str:
    """A text as lemmas joined by blanks: equal for variants in case, number, hyphens and spelling."""
    return " ".join(lemma(word) for word in _WORD.findall(text.lower()))
