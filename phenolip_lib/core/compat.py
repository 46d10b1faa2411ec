"""Import open_clip where torchvision's compiled operators do not match torch.

A torchvision wheel from the package index beside a CPU build of torch fails at import with
``operator torchvision::nms does not exist``, which takes open_clip and timm down with it although
neither calls that operator here. Declaring the schemas first lets the import through; a call to
the operator still fails. Where torchvision imports by itself nothing is done.
"""

from __future__ import annotations

import sys
import warnings

import torch

# Progress bars are plain under papermill on purpose; the hint to install widgets is noise.
warnings.filterwarnings("ignore", message="IProgress not found")

_declared: torch.library.Library | None = None  # must stay alive: dropping it removes the schemas


def _import_torchvision() -> None:
    global _declared
    try:
        import torchvision
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declared = torch.library.Library("torchvision", "FRAGMENT")
        _declared.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        import torchvision  # noqa: F401


_import_torchvision()

import open_clip  # noqa: E402
import timm  # noqa: E402
import transformers  # noqa: E402

# A trunk is loaded without its unused pooler on purpose; the report about it would fill notebooks.
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()

__all__ = ["open_clip", "timm", "transformers"]
