"""Models without fusion that a fusion model has to beat: the same frozen towers under a small head."""

from __future__ import annotations

import torch
from torch import nn

HIDDEN = 512


class Plain(nn.Module):
    """Answers from the question's mean token beside the whole image.

    Args:
        kind: ``plain``, an MLP that also takes cells by question-guided attention; ``linear``, without a hidden layer;
            ``question``, the MLP given the question alone.
    """

    def __init__(self, kind: str, image_width: int, text_width: int, n_answers: int, dropout: float = 0.3) -> None:
        super().__init__()
        self.kind = kind
        wide = text_width + image_width * {"question": 0, "linear": 1, "plain": 2}[kind]
        if kind == "plain":
            self.question, self.cell = nn.Linear(text_width, HIDDEN), nn.Linear(image_width, HIDDEN)
            self.score = nn.Linear(HIDDEN, 1)
        self.norm = nn.LayerNorm(wide)
        if kind == "linear":
            self.head = nn.Linear(wide, n_answers)
        else:
            hidden = (nn.Linear(wide, HIDDEN), nn.GELU(), nn.Dropout(dropout), nn.Linear(HIDDEN, n_answers))
            self.head = nn.Sequential(nn.Dropout(dropout), *hidden)

    def forward(
        self,
        image: torch.Tensor,
        text: torch.Tensor,
        text_mask: torch.Tensor,
        entities: torch.Tensor | None = None,
        spans: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """``logits`` ``(n, n_answers)``; the arguments are those of `model.Fusion`, entities are not read."""
        question = (text * text_mask[..., None]).sum(dim=1) / text_mask.sum(dim=1, keepdim=True)
        parts = [question]
        if self.kind != "question":
            parts.append(image[:, 0])
        if self.kind == "plain":
            asked = torch.tanh(self.cell(image[:, 1:]) + self.question(question)[:, None])
            parts.append((self.score(asked).softmax(dim=1) * image[:, 1:]).sum(dim=1))
        return {"logits": self.head(self.norm(torch.cat(parts, dim=1)))}
