"""Compound figures cut into panels: `classical` without learned weights, `detr` with a checkpoint."""
