"""A whole experiment: train a method, embed a source, run the tasks.

In come pairs, methods and seeds; out come students and results, on the test split, on folds, with a named ablation,
and for models of others.
"""
