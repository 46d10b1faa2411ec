"""Towers, student and knowledge encoder: from pixels and tokens to embeddings.

In come names of checkpoints, packaged or of a hub, pictures and texts; out come features, embeddings, heat maps, and
models written so that open_clip and sentence-transformers load them. Nothing here trains.
"""
