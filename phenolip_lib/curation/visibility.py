"""Which phenotypes a picture of a modality can show at all.

Recognition finds whatever a text affirms: fever, pain or a laboratory value too, which no radiograph
shows. A table of ontology branches decides; a term is judged by the branches it lies in:

- branches that no picture shows, less exceptions within them (edema is filed under homeostasis);
- for radiology and tissue sections, further branches that these hide;
- for the other modalities, the only branches they show.
"""

from __future__ import annotations

from collections.abc import Iterable
from weakref import WeakKeyDictionary

from phenolip_lib.data.records import MODALITIES
from phenolip_lib.ontology.ontology import Ontology

NEVER_SEEN = {
    "HP:0025142": "Constitutional symptom",
    "HP:0001608": "Abnormality of the voice",
    "HP:0000708": "Atypical behavior",
    "HP:0004370": "Abnormality of temperature regulation",
    "HP:0012638": "Abnormal nervous system physiology",
    "HP:0001939": "Abnormality of metabolism/homeostasis",
    "HP:0003117": "Abnormal circulating hormone concentration",
    "HP:0031072": "Abnormal endocrine physiology",
    "HP:0000819": "Diabetes mellitus",
    "HP:0008373": "Puberty and gonadal disorders",
    "HP:0001787": "Abnormal delivery",
    "HP:0030917": "Low APGAR score",
    "HP:0012373": "Abnormal eye physiology",
    "HP:0031704": "Abnormal ear physiology",
    "HP:0001928": "Abnormality of coagulation",
    "HP:0033796": "Abnormal leukocyte physiology",
    "HP:0031550": "Abnormal flow cytometry test result",
    "HP:0011017": "Abnormal cellular physiology",
    "HP:0005368": "Abnormality of humoral immunity",
    "HP:0002960": "Autoimmunity",
    "HP:0031409": "Abnormal lymphocyte physiology",
    "HP:0002094": "Dyspnea",
    "HP:0012735": "Cough",
    "HP:0002093": "Respiratory insufficiency",
    "HP:0030878": "Abnormality on pulmonary function testing",
    "HP:0002013": "Vomiting",
    "HP:0002018": "Nausea",
    "HP:0002014": "Diarrhea",
    "HP:0002015": "Dysphagia",
    "HP:0011968": "Feeding difficulties",
    "HP:0011675": "Arrhythmia",
    "HP:0030972": "Abnormal systemic blood pressure",
    "HP:0001279": "Syncope",
    "HP:0001962": "Palpitations",
    "HP:0030148": "Heart murmur",
    "HP:0011804": "Abnormal muscle physiology",
    "HP:0001288": "Gait disturbance",
    "HP:0001382": "Joint hypermobility",
    "HP:0001387": "Joint stiffness",
    "HP:0003110": "Abnormality of urine homeostasis",
    "HP:0031685": "Abnormal stool composition",
    "HP:0002719": "Recurrent infections",
    "HP:0000083": "Renal insufficiency",
    "HP:0000140": "Abnormality of the menstrual cycle",
    "HP:0000789": "Infertility",
    "HP:0003115": "Abnormal EKG",
    "HP:0011122": "Abnormality of skin physiology",
    "HP:0100749": "Chest pain",
    "HP:0003546": "Exercise intolerance",
    "HP:0000009": "Functional abnormality of the bladder",
    "HP:0012719": "Functional abnormality of the gastrointestinal tract",
    "HP:0012393": "Allergy",
}
"""Branches of what is felt, heard, measured or observed over time."""

SEEN_NEVERTHELESS = {
    "HP:0002664": "Neoplasm",
    "HP:0012639": "Abnormal nervous system morphology",
    "HP:0011034": "Amyloidosis",
    "HP:0000969": "Edema",
    "HP:0011032": "Abnormality of fluid regulation",
    "HP:0010766": "Ectopic calcification",
    "HP:0032243": "Abnormal tissue metabolite concentration",
    "HP:0001541": "Ascites",
    "HP:0000486": "Strabismus",
    "HP:0000508": "Ptosis",
    "HP:0025337": "Red eye",
    "HP:0010628": "Facial palsy",
    "HP:0000238": "Hydrocephalus",
    "HP:0001297": "Stroke",
    "HP:0002170": "Intracranial hemorrhage",
    "HP:0100614": "Myositis",
    "HP:0003202": "Skeletal muscle atrophy",
    "HP:0004303": "Abnormal muscle fiber morphology",
    "HP:0100658": "Cellulitis",
    "HP:0003201": "Rhabdomyolysis",
    "HP:0012647": "Abnormal inflammatory response",
    "HP:0001640": "Cardiomegaly",
    "HP:0012210": "Abnormal renal morphology",
    "HP:0002533": "Abnormal posturing",
    "HP:0001349": "Facial diplegia",
    "HP:0002020": "Gastroesophageal reflux",
    "HP:0005214": "Intestinal obstruction",
    "HP:0012372": "Abnormal eye morphology",
    "HP:0025461": "Abnormal cell morphology",
    "HP:0001659": "Aortic regurgitation",
    "HP:0030680": "Abnormal cardiovascular system morphology",
    "HP:0002597": "Abnormality of the vasculature",
    "HP:0000076": "Vesicoureteral reflux",
    "HP:0002019": "Constipation",
    "HP:0001974": "Leukocytosis",
    "HP:0034523": "Blood parasite",
    "HP:0001877": "Abnormal erythrocyte morphology",
    "HP:0001881": "Abnormal leukocyte morphology",
    "HP:0100750": "Atelectasis",
    "HP:0002202": "Pleural effusion",
    "HP:0001025": "Urticaria",
    "HP:0200037": "Skin vesicle",
    "HP:0008066": "Abnormal blistering of the skin",
    "HP:0000975": "Hyperhidrosis",
    "HP:0010783": "Erythema",
    "HP:0011971": "Dermatographic urticaria",
    "HP:0002516": "Increased intracranial pressure",
    "HP:0004377": "Hematological neoplasm",
    "HP:0000991": "Xanthomatosis",
    "HP:0001997": "Gout",
    "HP:0002754": "Osteomyelitis",
    "HP:0100790": "Hernia",
    "HP:0000479": "Abnormal retinal morphology",
    "HP:0002955": "Granulomatosis",
    "HP:0002571": "Achalasia",
    "HP:0025271": "Esophageal spasms",
}
"""Branches within these that leave something to see."""

_NOT_IN_RADIOLOGY = {
    "HP:0000525": "Abnormality iris morphology",
    "HP:0001000": "Abnormality of skin pigmentation",
    "HP:0011123": "Inflammatory abnormality of the skin",
    "HP:0011138": "Abnormal skin adnexa morphology",
    "HP:0025276": "Abnormality of skin adnexa physiology",
    "HP:0011121": "Abnormal skin morphology",
    "HP:0001595": "Abnormal hair morphology",
    "HP:0001597": "Abnormal nail morphology",
    "HP:0008066": "Abnormal blistering of the skin",
    "HP:0011276": "Vascular skin abnormality",
    "HP:0001877": "Abnormal erythrocyte morphology",
    "HP:0001881": "Abnormal leukocyte morphology",
    "HP:0001872": "Abnormality of thrombocytes",
    "HP:0000534": "Abnormal eyebrow morphology",
    "HP:0000499": "Abnormal eyelash morphology",
    "HP:0000288": "Abnormality of the philtrum",
    "HP:0200006": "Slanting of the palpebral fissure",
    "HP:0000377": "Abnormal pinna morphology",
    "HP:0001098": "Abnormal fundus morphology",
    "HP:0004303": "Abnormal muscle fiber morphology",
    "HP:0000978": "Bruising susceptibility",
    "HP:0000421": "Epistaxis",
    "HP:0000502": "Abnormal conjunctiva morphology",
    "HP:0000002": "Abnormality of body height",
    "HP:0004323": "Abnormality of body weight",
    "HP:0000988": "Skin rash",
    "HP:0005561": "Abnormal bone marrow cell morphology",
    "HP:0001903": "Anemia",
    "HP:0011902": "Abnormal hemoglobin",
    "HP:0000952": "Jaundice",
    "HP:0000961": "Cyanosis",
}
_NOT_IN_SECTIONS = {
    "HP:0000002": "Abnormality of body height",
    "HP:0004323": "Abnormality of body weight",
    "HP:0000271": "Abnormality of the face",
    "HP:0040064": "Abnormality of limbs",
    "HP:0000925": "Abnormality of the vertebral column",
    "HP:0000164": "Abnormality of the dentition",
    "HP:0001928": "Abnormality of coagulation",
    "HP:0041159": "Fractured rib",
    "HP:0000978": "Bruising susceptibility",
    "HP:0000421": "Epistaxis",
    "HP:0000534": "Abnormal eyebrow morphology",
    "HP:0001892": "Abnormal bleeding",
}
_NOT_IN_BLOOD = {
    "HP:0001892": "Abnormal bleeding",
    "HP:0001928": "Abnormality of coagulation",
    "HP:0001977": "Abnormal thrombosis",
}
_NOT_IN_FACES = {
    "HP:0001098": "Abnormal fundus morphology",
    "HP:0001600": "Abnormality of the larynx",
    "HP:0033151": "Abnormal pharynx morphology",
    "HP:0011390": "Abnormal inner ear morphology",
    "HP:0008609": "Abnormal middle ear morphology",
    "HP:0000587": "Abnormal optic nerve morphology",
    "HP:0002693": "Abnormal skull base morphology",
    "HP:0000245": "Abnormal paranasal sinus morphology",
    "HP:0001291": "Abnormal cranial nerve morphology",
}
_IN_SKIN = {
    "HP:0001574": "Abnormality of the integument",
    "HP:0008069": "Neoplasm of the skin",
    "HP:0011792": "Neoplasm by histology",
    "HP:0000152": "Abnormality of head or neck",
    "HP:0040064": "Abnormality of limbs",
    "HP:0031093": "Abnormal breast morphology",
    "HP:0012398": "Peripheral edema",
    "HP:0001009": "Telangiectasia",
    "HP:0002619": "Varicose veins",
    "HP:0000811": "Abnormal external genitalia morphology",
    "HP:0000163": "Abnormal oral cavity morphology",
    "HP:0001892": "Abnormal bleeding",
    "HP:0012372": "Abnormal eye morphology",
    "HP:0031703": "Abnormal ear morphology",
    "HP:0000961": "Cyanosis",
    "HP:0000952": "Jaundice",
    "HP:0012647": "Abnormal inflammatory response",
    "HP:0001369": "Arthritis",
    "HP:0004378": "Abnormality of the anus",
    "HP:0004298": "Abnormality of the abdominal wall",
    "HP:0000991": "Xanthomatosis",
    "HP:0001067": "Neurofibroma",
}
_IN_FACES = {
    "HP:0000152": "Abnormality of head or neck",
    "HP:0012372": "Abnormal eye morphology",
    "HP:0000486": "Strabismus",
    "HP:0025337": "Red eye",
    "HP:0000508": "Ptosis",
    "HP:0031703": "Abnormal ear morphology",
    "HP:0001574": "Abnormality of the integument",
    "HP:0010628": "Facial palsy",
    "HP:0001349": "Facial diplegia",
    "HP:0000969": "Edema",
    "HP:0000952": "Jaundice",
    "HP:0000961": "Cyanosis",
    "HP:0000496": "Abnormality of eye movement",
    "HP:0008069": "Neoplasm of the skin",
    "HP:0012288": "Neoplasm of head and neck",
}
_IN_BLOOD = {
    "HP:0001871": "Abnormality of blood and blood-forming tissues",
    "HP:0025461": "Abnormal cell morphology",
    "HP:0004377": "Hematological neoplasm",
    "HP:0034523": "Blood parasite",
    "HP:0025065": "Abnormal mean corpuscular volume",
}
_IN_EYES = {
    "HP:0000478": "Abnormality of the eye",
    "HP:0000648": "Optic atrophy",
    "HP:0032039": "Abnormality of the ocular adnexa",
    "HP:0000587": "Abnormal optic nerve morphology",
    "HP:0001085": "Papilledema",
}

HIDDEN = {
    "radiology": _NOT_IN_RADIOLOGY,
    "pathology": _NOT_IN_SECTIONS,
    "histology": _NOT_IN_SECTIONS,
    "hematology": _NOT_IN_BLOOD,
    "face": _NOT_IN_FACES,
}
"""Branches that a modality hides, besides those that no picture shows."""

SHOWN = {"dermatology": _IN_SKIN, "face": _IN_FACES, "hematology": _IN_BLOOD, "ophthalmology": _IN_EYES}
"""The only branches a modality shows; a modality that is not named shows all."""

_DEEP = {
    "HP:0002664": "Neoplasm",
    "HP:0100658": "Cellulitis",
    "HP:6001021": "Subcutaneous emphysema",
    "HP:0000587": "Abnormal optic nerve morphology",
    "HP:0025247": "Dermoid cyst",
    "HP:0200040": "Epidermoid cyst",
    "HP:0001009": "Telangiectasia",
    "HP:0200036": "Skin nodule",
    "HP:0100653": "Optic neuritis",
    "HP:0100842": "Septo-optic dysplasia",
}
"""Branches within the hidden ones of a modality that it does show: they reach below the surface."""

BRANCHES = (NEVER_SEEN, SEEN_NEVERTHELESS, _DEEP, *HIDDEN.values(), *SHOWN.values())


def visible_terms(onto: Ontology, modality: str) -> frozenset[str]:
    """All phenotypes that a picture of the modality can show; computed once for an ontology.

    Raises:
        ValueError: no such modality.
    """
    if modality not in MODALITIES:
        raise ValueError(f"modality {modality!r} is not one of {MODALITIES}")
    tables = _tables.setdefault(onto, {})
    if modality not in tables:
        shown = set(onto.phenotypes) - (_below(onto, NEVER_SEEN) - _below(onto, SEEN_NEVERTHELESS))
        shown -= _below(onto, HIDDEN.get(modality, ())) - _below(onto, _DEEP)
        if modality in SHOWN:
            shown &= _below(onto, SHOWN[modality])
        tables[modality] = frozenset(shown)
    return tables[modality]


def visible(onto: Ontology, hpo_id: str, modality: str) -> bool:
    """Whether a picture of the modality can show the phenotype.

    Raises:
        KeyError: the ontology does not know the id.
    """
    return onto.resolve(hpo_id) in visible_terms(onto, modality)


def filter_visible(onto: Ontology, hpo_ids: Iterable[str], modality: str) -> tuple[list[str], list[str]]:
    """The phenotypes that a picture of the modality can show, and those it cannot, in their order."""
    kept: list[str] = []
    removed: list[str] = []
    for hpo_id in hpo_ids:
        (kept if visible(onto, hpo_id, modality) else removed).append(hpo_id)
    return kept, removed


_tables: WeakKeyDictionary[Ontology, dict[str, frozenset[str]]] = WeakKeyDictionary()


def _below(onto: Ontology, branches: Iterable[str]) -> set[str]:
    """Terms of the branches; one that the release lacks has none."""
    return {term for branch in branches if branch in onto for term in onto.descendants(branch)}
