"""Words of phenotype recognition: lists of English and clinical usage.

What HPO itself can tell about words is not listed here but mined from it (`families`).
"""

from __future__ import annotations

FUNCTION_WORDS = frozenset(
    """a an the of in on at to for by from his her their its both is are was were be been being as that
    which has have had very extremely markedly significantly rather somewhat quite seem seems appear appears appeared
    remain remains remained affecting affects involving some any these those both s""".split()
)
"""Words that carry no part of a finding; "his gait was very unstable" reads "gait unstable"."""
MODIFIERS = frozenset(
    """mild mildly moderate moderately severe severely profound profoundly marked slight slightly subtle significant
    bilateral bilaterally unilateral unilaterally left right persistent persistently diffuse extensive massive
    minimal obvious abnormally early late multiple several recent ongoing intermittent prior""".split()
)
"""Words that qualify a finding; they may be left out where no term holds them."""
FILLERS = frozenset("morphology physiology circulating level levels concentration serum plasma blood".split())
"""Words of HPO's systematic names that nobody writes: "abnormal pupil morphology", "circulating IgG"."""
ABNORMAL = frozenset("abnormal abnormality anomaly malformation malformed deformity deformed".split())
"""The head of HPO's grouping terms, by any of its names: "brain malformation" is an abnormal brain morphology."""
DEFORMED = frozenset("malformation malformed deformity deformed misshapen".split())
VAGUE = frozenset(["lesion", "manifestation"])
"""A lesion is something abnormal and no malformation."""
DECLARED = {"abnormal": "change defect disorder disturbance involvement manifestation lesion", "elevated": "high"}
"""Replacements that mining misses or gets too wide: nothing else stands for these words."""
DECLARED_PRICE = 0.3
VOLUME_LOSS = "brain cerebellum cerebellar hippocampus hippocampal vermis cortex cortical pons pontine thalamus muscle"
"""What is atrophied if its volume is lost or reduced, as radiologists write."""
UNSAID = {"weakness": "muscle", "contracture": "joint"}
"""What a name says beside another word and a text need not: "hand weakness" is that of muscles."""
ADDED_FORMS = {
    "HP:0000988": ("rash",),
    "HP:0002716": ("enlarged lymph nodes",),
    "HP:0001999": ("craniofacial abnormality", "craniofacial disorder", "abnormal facial characteristics"),
    "HP:0000707": ("neurological signs", "neurological symptoms", "neurological deficits"),
    "HP:0003429": ("hypomyelination",),
    "HP:0030890": ("white matter hyperintensity", "subcortical white matter hyperintensity"),
    "HP:0002015": ("swallowing dysfunction",),
    "HP:0100024": ("happy disposition",),
    "HP:0000010": ("recurrent UTI",),
    "HP:0000407": ("SNHL",),
    "HP:0002625": ("DVT",),
    "HP:0001655": ("PFO",),
    "HP:0002870": ("OSA",),
    "HP:0000822": ("HTN",),
    "HP:0001712": ("LVH",),
    "HP:0001669": ("TGA",),
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
heart cardiac; eye ocular ophthalmic ophthalmologic ophthalmological; mouth oral; ear otic aural; anus anal; stomach
gastric; bowel intestinal; skull cranium cranial; chest thorax thoracic; limb extremity; spleen splenic; brain
cerebral; decreased reduced diminished; increased elevated raised; broad wide; tumor neoplasm; bleeding hemorrhage;
difficulty problem trouble; extra supernumerary; fusion fused synostosis; distal terminal; wasting atrophy; abdomen
abdominal belly; muscle muscular; deafness deaf; lymphocyte lymphocytic; arrhythmia dysrhythmia; polydactyly
hexadactyly"""
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
COMMON = frozenset("bone joint absent small large short long thin thick increased decreased upper lower".split())
"""Words beside which anything stands; that two words are exchanged beside them tells little."""
SYNONYMS = """finger digit; absence absent aplasia agenesis missing lack; small underdeveloped hypoplasia hypoplastic
hypotrophic; concentration level; elevated high excessive; decreased low; enlarged large big dilated; morphology
shape structure; narrow stenosis narrowing; gastrointestinal gi; delayed retardation; fracture broken; count number;
hemoglobin hb; calcium ca ca2; breadth width; clavicle collarbone; gait walk; palsy paralysis; gingiva gum; lip
labial; disc disk; bicarbonate hco3; edema swelling swollen; electroretinogram erg; femur femoral thighbone; tibia
shinbone shankbone; eyelid lid palpebra; failure insufficiency; fecal stool; horizontal transverse; patella kneecap;
potassium k; jaw mandible; naris nostril; fat adipose; dermatitis eczema; dyspnea breathlessness; paroxysmal
episodic; eye eyeball; hyperopia hypermetropia; oxygen o2; thin slender; spine vertebra; chloride cl; coccyx
tailbone; diaphysis shaft; genitourinary gu; thyroxine t4; triiodothyronine t3; vein venous; ramus rami; midbrain
mesencephalon; midline median; malar zygomatic; magnesium mg; mass lump bump; limited restricted; interleukin il;
hypermobility laxity; hematocrit hct; physiology function functional; complete total; obstruction blockage; atresia
atretic; nevus mole; recurrent frequent; circulating serum plasma blood; accessory extra; hyperelastic stretchable;
lacrimal tear; telangiectasia angioectasia; asymmetry uneven; impaired deficit; premature early"""
"""Words of one meaning in any company, and what the ontology exchanges for them."""
NO_SYNONYMS = """multiple multifocal; flexibility flexion; hepatic hepatocellular; laryngeal laryngotracheal;
lymphoblastic lymphoid; cerebral cerebrovascular; colovesical colovesicular; dental dentoalveolar; diastasis diastema;
equinovarus equinus; fibroma fibromatosis; finger fingertip; frontal frontoethmoidal; granuloma granulomatosis;
keratoderma keratosis; sleep sleepiness; tuberculin tuberculosis; close closure; closed closure; melanocytosis
melanosis; baby primary; milk primary; baby milk; adult secondary; permanent secondary; local partial; localized
partial; localized segmental; partial segmental; recurrent multiple; mch mchc; constriction loss; cellulitis edema;
digit triphalangeal; digitalized triphalangeal; canal septal; tissue leukocyte; compression wedge; slow under;
bicuspid premolar; alveolar gum; aneurysm dilatation; aneurysm dilated; aneurysm dilation; contracture deformity;
angioma hemangioma; abnormal poor; abnormality poor; episodic intermittent; bleeding heme; cleft coloboma; coloboma
notched; maxillary upper; lower mandible; lower mandibular; forehead frontalis"""
"""Words that two names of some terms exchange and that mean different things, found by reading the whole list."""
KEPT_APART = frozenset(
    [
        "involvement",
        "involved",
        "involving",
        "thickness",
        "shortness",
        "tearing",
        "tear",
        "abnormally",
        "affect",
        "affected",
        "circulating",
        "circulation",
        "affective",
        "initiative",
        "notice",
    ]
)
PREFIXES = frozenset(
    """ante anti auto bi brachy brady cardio di dys extra hemi hydro hyper hypo infra inter intra macro mal micro
    mid multi neuro non oligo osteo over pan para peri poly post pre pseudo quadri retro sub supra tachy tetra
    tri ultra un under""".split()
)
"""Beginnings of words that may be written apart from them, by a hyphen or a blank."""
STOP_FORMS = frozenset(
    """all can mass collection onset severe mild moderate acute chronic progressive stable recurrent bilateral
    unilateral right left anterior posterior proximal distal localized generalized focal diffuse central
    peripheral patchy lesion inflammation infection death male female age size tears tear sweating abnormality
    abnormal finding falls fall tube feeding aura adipose depressed collecting tearing flush spinning oncology
    ordering arranging cutting""".split()
)
"""HPO names and synonyms that are everyday words in reports and name no phenotype there."""
HEADINGS = frozenset("edema neoplasm tumor cancer infection".split())
"""Findings that are also headings; alone on a line they say nothing."""
AMBIGUOUS_ACRONYMS = frozenset("OCD ASD RAD TMD AEA LFT RA CP S3 S4 BO ODD CVI VMA LDD CSU".split())
"""Short forms that mean something else as often; they count only where the text defines them."""
HOMOGRAPHS = r"""corn: sweet, pop, of, eat, eats, with _ starch, oil, flour, syrup, meal, flakes?, bread, gluten,
products?, protein, fed, snake; mole: per, one, half, each _ of, fraction, ratio, percent, per, balance; stroke: heat,
key, sun, brush, compression, back _ volume, work, index, output, length, rate, distance, unit, velocity; shock:
electric, electrical, culture, thermal, acoustic, heat _ wave, waves, therapy, absor\w+, lithotripsy, protein,
proteins; depression: ST, ST segment, PR, of the, skull, focal, bony, cortical, articular _ of the, fracture, in the
(?:bone|skull); aspiration: needle, marrow, joint, cyst, suction, stereotactic, ultrasound guided, guided, abscess _
of the, of fluid, biopsy, cytology, needle, thrombectomy, was performed, yielded; fatigue: material, metal _
fractures?, testing, failure; fever: yellow, scarlet, dengue, rheumatic, typhoid, hay, familial mediterranean,
mediterranean, Q, valley, Lassa, spotted, glandular, hemorrhagic, rift valley, relapsing _ virus, tree; flushing:
catheter, line, saline, after _ of the, the, with; confusion: to avoid, avoid, some, cause, causing, source of, led
to, for _ matrix, between, about, with, over, as to; irritable: _ bowel, bowels; agitation: gentle, constant, with
gentle, mechanical, continuous _ of the (?:sample|tube|mixture); overgrowth: bacterial, fungal, yeast, gingival,
intestinal bacterial _ of bacteria; imbalance: electrolyte, allelic, muscle, chromosomal, genomic, hormonal, acid
base, autonomic, sagittal, coronal, fluid, chromosome, gene _ of the, in the; inactivity: physical, enzyme, during _
of the; dehydration: alcohol, graded, ethanol _ in, through, and embedding, and clearing, of the
(?:sample|tissue|section); plethora: a, the _ of; rosette: homer wright, flexner, true _ formation, assay, test; pile:
a, of _ of, up; boil: to, a rolling _ the, water; hive: bee, a _ of; shy: work, camera _ of; spinning: _ wheel; limp:
a _ body, tissue; rigidity: nuchal, arterial, mechanical, of _ of the (?:wall|frame); tired: _ of; sad: _ to;
hopeless: _ case; dullness: liver, cardiac, shifting _ to percussion; trance: en _ of; tumor: _ necrosis,
suppressors?, markers?, lysis, infiltrating, microenvironment, associated antigen, board, protein; cancer: _ antigen,
genes?, genetics, risk, susceptibility, society, center, survivors?, cells?, institute, predisposition; pain: _
management, clinic, medication, medications, relievers?, control, relief, scale, score, killers?, free; allergy: no
known, no, seasonal _ to, testing, clinic; bleed: _ time; blindness: color, colour, single, double, of _ of the
(?:study|trial); squint: to _ at; tearing: _ down; jumping: _ genes?, translocations?; hopping: _ on; migraine: _
prophylaxis; proboscis: of the _ of the (?:fly|moth|mosquito|butterfly); cough: _ drops, syrup, medicine; hydrops:
gallbladder, endolymphatic _ of the gallbladder; weakness: of, main, major, methodological, study _ of this, of the
(?:study|method|approach|wall); contracture: capsular, bladder neck, dupuytren, ischemic _ of the capsule; paralysis:
analysis _ of the (?:network|government); sweat: _ glands?, test, chloride; collapse: _ of the (?:market|government);
caries: pit _ risk; stupor: _ of"""
"""Words that are a finding, with what before ( _ ) and behind them says that they are something else."""
NOT_OF_A_PATIENT = """clinics? units? teams? protocols? questionnaires? suppressors? markers? vaccines? board registry
society foundation scales? inventory"""
"""What behind a finding makes it the name of a thing or an institution: "stroke unit", "depression scale"."""
SIZES = frozenset(" ".join(DIMENSIONS).split()) | frozenset(
    "severe mild moderate profound "
    "upper lower abnormal poor excessive decreased reduced increased elevated absent delayed visual".split()
)
DIRECTIONS = frozenset(
    """decreased reduced diminished low increased elevated raised high excessive excess absent deficiency deficient
    impaired poor delayed enlarged small large short long""".split()
)
"""Words that say in which direction something is abnormal."""
