"""params.yaml as a typed object: read once, every key known, every value checked; its sections are in `sections`.

An unknown key is refused with the nearest valid name; a wrong value is reported with the key's
full path and what is allowed.
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator
from ruamel.yaml import YAML

from phenolip_lib.core import systems
from phenolip_lib.core.errors import PhenoLIPError, brief
from phenolip_lib.core.names import SOURCES
from phenolip_lib.core.sections import (
    BAD_NAME,
    Ablations,
    Atlas,
    Encoders,
    Evaluation,
    Hpo,
    Names,
    Open,
    PhenoKG,
    Runtime,
    Section,
    Seed,
    Stage1,
    Stage2,
    Tour,
    Training,
    Unique,
    check_keys,
)
from phenolip_lib.core.storage import digest

MOST = 8
"""Mistakes of one file that a message names."""


class Params(Section):
    sources: Annotated[list[Literal[*SOURCES]], Field(min_length=1), Unique]
    seeds: Annotated[list[Seed], Field(min_length=1), Unique]
    methods: Annotated[dict[str, dict[str, Any]], Field(min_length=1), Names]
    runtime: Runtime
    hpo: Hpo
    atlas: Atlas
    open: Open
    phenokg: PhenoKG
    encoders: Encoders
    training: Training
    stage1: Stage1
    stage2: Stage2
    medfilip: systems.MedFILIP
    arl: systems.Arl
    evaluation: Evaluation
    tour: Tour
    ablations: Ablations
    choice: systems.Choice
    factors: systems.Factors

    @model_validator(mode="after")
    def _methods_exist(self):
        e = self.evaluation
        named = {
            "evaluation.baseline": [e.baseline],
            "evaluation.headline": [e.headline],
            "evaluation.cross_validated": e.cross_validated,
            "tour.methods": self.tour.methods,
            "medfilip.beside": self.medfilip.beside,
        }
        for key, names in named.items():
            for name in names:
                if name not in self.methods:
                    known = ", ".join(self.methods)
                    raise ValueError(f"{key} names {name!r}, which is not under methods; name one of {known}")
        if e.baseline == e.headline or e.baseline not in e.cross_validated:
            raise ValueError(
                f"evaluation.baseline {e.baseline!r} must be one of evaluation.cross_validated and not the headline"
            )
        return self

    @model_validator(mode="after")
    def _rows_have_names_of_their_own(self):
        beside = {"medfilip.methods": self.medfilip.methods, "ablations.overrides": self.ablations.overrides}
        for key, names in {"methods": self.methods, "arl.methods": self.arl.methods, **beside}.items():
            others = self.methods if key in beside else ()
            if twice := [name for name in names if name in systems.NO_METHOD or name in others]:
                raise ValueError(f"{key} names {twice[0]!r}, as another row of its tables is named; name it otherwise")
        return self

    @model_validator(mode="after")
    def _sources_have_their_settings(self):
        for key in ("folds", "unseen_share"):
            if missing := [source for source in self.sources if source not in getattr(self.evaluation, key)]:
                raise ValueError(f"evaluation.{key} has no value for the source {missing[0]!r}; give 0 for none")
        for key, system in (("medfilip", self.medfilip), ("arl", self.arl)):
            if missing := [source for source in self.sources if source not in system.run]:
                raise ValueError(f"{key}.run.{missing[0]} names no method; name some of {key}.methods")
        return self

    @model_validator(mode="after")
    def _ablations_exist(self):
        for name in self.ablations.run:
            if name not in self.ablations.overrides:
                known = ", ".join(self.ablations.overrides)
                raise ValueError(f"ablations.run names {name!r}, which is not under ablations.overrides ({known})")
        return self

    def with_overrides(self, overrides: Mapping[str, Any]) -> Params:
        """A checked copy with dotted keys replaced, e.g. ``{"stage2.lambda_kd": 0.0}``.

        Raises:
            PhenoLIPError: for a key that does not exist or a value that is not allowed.
        """
        tree = copy.deepcopy(self.model_dump())
        for dotted, value in overrides.items():
            node, parts = tree, dotted.split(".")
            for depth, part in enumerate(parts):
                if not isinstance(node, dict) or part not in node:
                    raise PhenoLIPError(_unknown_key(".".join(parts[: depth + 1]), node))
                if depth == len(parts) - 1:
                    node[part] = value
                else:
                    node = node[part]
        return parse_params(tree, "overrides")

    def method(self, name: str) -> Params:
        """The parameters of one compared method.

        Raises:
            PhenoLIPError: no such method; one that changes what is made once for all methods.
        """
        return self._changed("methods", self.methods, name)

    def setting(self, name: str) -> Params:
        """The parameters of one of ``choice.settings``; raises as `method` does."""
        return self._changed("choice.settings", self.choice.settings, name)

    def combination(self, name: str) -> Params:
        """The parameters of one of ``factors.combinations``; raises as `method` does."""
        return self._changed("factors.axes", self.factors.combinations, name)

    def filip(self, name: str) -> Params:
        """The parameters of one of ``medfilip.methods``, without a term of stage 2; raises as `method` does."""
        if idle := sorted(systems.UNREAD & self.medfilip.methods.get(name, {}).keys()):
            raise PhenoLIPError(f"medfilip.methods.{name}: MedFILIP has no use for {idle[0]!r}; take it out")
        alone = self.with_overrides(systems.ALONE)
        return alone._changed("medfilip.methods", self.medfilip.methods, name, systems.OF_FILIP)

    def fusion(self, name: str) -> Params:
        """The parameters of one of ``arl.methods``; raises as `method` does."""
        return self._changed("arl.methods", self.arl.methods, name, systems.OF_ARL, "change it for all in arl")

    def ablated(self, name: str) -> Params:
        """The parameters of one named ablation: those of the full model, ``evaluation.headline``, with its changes.

        Raises:
            PhenoLIPError: no such ablation; one that changes what is made once for all of them.
        """
        way_out = "change it for all in its own section of params.yaml"
        full = self.method(self.evaluation.headline)
        return full._changed("ablations.overrides", self.ablations.overrides, name, systems.OF_AN_ABLATION, way_out)

    def _changed(
        self,
        where: str,
        known: Mapping,
        name: str,
        may: tuple = systems.OF_A_METHOD,
        way_out: str = "make it an ablation",
    ) -> Params:
        """A copy with the overrides `name` of `known`, whose keys must be in `may` or below."""
        if name not in known:
            raise PhenoLIPError(_unknown_key(f"{where}.{name}", known))
        changed = self.with_overrides(known[name])
        for key in known[name]:
            if not any(key == own or key.startswith(f"{own}.") for own in may):
                raise PhenoLIPError(
                    f"{where}.{name} may not change {key!r}, only {', '.join(may)}, since other stages read it too; "
                    f"{way_out}"
                )
        return changed

    def fingerprint(self, *names: str) -> str:
        """A short hash of sections, or of keys such as ``evaluation.candidates``, for provenance and cache keys."""
        dump = self.model_dump()
        return digest({name: reduce(getitem, name.split("."), dump) for name in names})


def _unknown_key(path: str, siblings: Any) -> str:
    parent, _, key = path.rpartition(".")
    names = list(siblings) if isinstance(siblings, Mapping) else []
    near = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {', '.join(names) or 'nothing here'}"
    return f"unknown parameter {path!r}; {hint}"


def _fields_at(location: tuple) -> dict[str, Any]:
    """Names allowed in the section that holds the last part of a pydantic error location."""
    model: Any = Params
    for part in location[:-1]:
        field = getattr(model, "model_fields", {}).get(part)
        if field is None:
            return {}
        model = field.annotation
    return dict(getattr(model, "model_fields", {}))


def _explain(error: ValidationError, where: str) -> str:
    lines = []
    for item in error.errors():
        path = " ".join(".".join(map(str, item["loc"])).split())  # one line, whatever a key holds
        if item["type"] == "extra_forbidden":
            lines.append(_unknown_key(path, _fields_at(item["loc"])))
        elif item["type"] == "missing":
            lines.append(f"missing parameter {path!r}")
        elif item["type"] == BAD_NAME:
            lines.append(f"{path}: {item['msg']}")
        else:
            lines.append(f"{path}: {item['msg']}" + (f", got {item['input']!r}" if path else ""))
    more = f"; and {len(lines) - MOST} more" if len(lines) > MOST else ""
    return f"{where}: " + "; ".join(brief(line, 180) for line in lines[:MOST]) + more


def parse_params(tree: Any, where: str = "params") -> Params:
    """Check a tree of plain values; one `PhenoLIPError` names everything wrong in it."""
    check_keys(tree, where)
    try:
        return Params.model_validate(tree)
    except ValidationError as error:
        raise PhenoLIPError(_explain(error, where)) from None


def read_yaml(content: bytes, where: str) -> Any:
    """The value of a YAML text in UTF-8.

    Raises:
        PhenoLIPError: it is no such text; one line that names `where` and the line.
    """
    try:
        return YAML(typ="safe", pure=True).load(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PhenoLIPError(f"{where}: line {line} is not UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise PhenoLIPError(f"{where}: not valid YAML: it is nested too deep; check its brackets") from None
    except Exception as error:  # values that are no numbers or dates raise errors of Python's own
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise PhenoLIPError(f"{where}: not valid YAML{line}: {reason}") from None


def load_params(path: Path, *, check_ablations: bool = False) -> Params:
    """Read a params file (YAML 1.2, so ``1e-4`` is a number).

    Args:
        check_ablations: also check methods, ablations, settings and combinations: existing keys, allowed values.

    Raises:
        PhenoLIPError: missing or unreadable file, broken YAML, unknown key, wrong value.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise PhenoLIPError(f"{path}: there is no such file") from None
    except OSError as error:
        raise PhenoLIPError(
            f"{path}: cannot be read ({error.strerror}); put a params.yaml you may read there"
        ) from None
    tree = read_yaml(content, str(path))
    if not isinstance(tree, Mapping):
        raise PhenoLIPError(f"{path}: empty, or no sections with keys; take the repository's params.yaml again")
    params = parse_params(tree, path.name)
    if check_ablations:
        for kind, names, apply in (
            ("method", params.methods, params.method),
            ("ablation", params.ablations.overrides, params.ablated),
            ("MedFILIP's method", params.medfilip.methods, params.filip),
            ("fusion model", params.arl.methods, params.fusion),
            ("setting", params.choice.settings, params.setting),
            ("combination", params.factors.combinations, params.combination),
        ):
            for name in names:
                try:
                    apply(name)
                except PhenoLIPError as error:
                    raise PhenoLIPError(f"{path.name}: {kind} {name!r}: {error}") from None
    return params
