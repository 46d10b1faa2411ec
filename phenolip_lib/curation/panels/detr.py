"""Cut compound figures into panels with a learned detector: a DETR checkpoint of transformers.

The published pipeline uses such a detector trained on figures of PMC. `phenolip_lib.curation.panels.classical` needs no
weights and is the default.
"""

from __future__ import annotations

import numpy as np
import torch

from phenolip_lib.core.compat import transformers
from phenolip_lib.core.errors import PhenoLIPError
from phenolip_lib.curation.panels.classical import Box, check_rgb, panel_iou, reading_order

MAX_OVERLAP = 0.5
"""Of two boxes with a larger IoU the less certain one goes: DETR may find a panel twice."""


class DetrPanels:
    """A detector of panels, used like `panels.split_panels`: ``DetrPanels(checkpoint)(rgb)``.

    Args:
        checkpoint: folder or hub name of an object detection model of transformers (``config.json``,
            ``model.safetensors``) with its processor (``preprocessor_config.json``), whose classes are panels.
        threshold: least score of a panel, in [0, 1]; 0.5 as published.
        device: a torch device, such as ``cpu`` or ``cuda``.

    Raises:
        PhenoLIPError: the checkpoint cannot be loaded.
    """

    def __init__(self, checkpoint: str, threshold: float = 0.5, device: str = "cpu") -> None:
        self.threshold = threshold
        try:
            self.processor = transformers.AutoImageProcessor.from_pretrained(checkpoint)
            model = transformers.AutoModelForObjectDetection.from_pretrained(checkpoint, use_safetensors=True)
        except (OSError, ValueError, KeyError) as error:
            raise PhenoLIPError(
                f"phenokg.panel_detector: {checkpoint} cannot be loaded ({str(error).splitlines()[0]})"
            ) from None
        self.model = model.to(device).eval()

    def __call__(self, rgb: np.ndarray) -> list[Box]:
        """Panels in reading order; the whole figure alone if fewer than two are found.

        Args:
            rgb: uint8 ``(height, width, 3)``.
        """
        boxes = [box for box, _ in self.detect(rgb)]
        return reading_order(boxes) if len(boxes) > 1 else [(0, 0, rgb.shape[1], rgb.shape[0])]

    @torch.no_grad()
    def detect(self, rgb: np.ndarray) -> list[tuple[Box, float]]:
        """Panels with their scores, the most certain first.

        Raises:
            ValueError: not an 8-bit RGB picture.
        """
        check_rgb(rgb)
        height, width = rgb.shape[:2]
        inputs = self.processor(images=rgb, return_tensors="pt", input_data_format="channels_last")
        outputs = self.model(**inputs.to(self.model.device))
        [found] = self.processor.post_process_object_detection(
            outputs, threshold=self.threshold, target_sizes=torch.tensor([[height, width]])
        )
        kept: list[tuple[Box, float]] = []
        order = torch.argsort(found["scores"], descending=True, stable=True)
        for score, corners in zip(found["scores"][order].tolist(), found["boxes"][order].tolist(), strict=True):
            left, top, right, bottom = (round(value) for value in corners)
            box = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
            if box[0] < box[2] and box[1] < box[3] and all(panel_iou(box, other) <= MAX_OVERLAP for other, _ in kept):
                kept.append((box, score))
        return kept
