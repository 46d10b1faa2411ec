"""Losses, samplers, the engine and the two stages.

In come pairs or ontology texts, towers and params; out come weights, with curves and checkpoints that a killed run
goes on from, to the same bits. Metrics live elsewhere: what is recorded on the way is handed in.
"""
