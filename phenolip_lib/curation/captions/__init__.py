"""Captions for pictures that have none, and captions made clean, by rules or by a language model."""
