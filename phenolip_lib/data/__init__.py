"""Records, and everything that belongs to a data set before anything is learned from it.

In come folders as publishers leave them, one module a source; out come records with licence and patient, pictures
that are safe to read, splits that keep each patient on one side, masks and probe sets.
"""
