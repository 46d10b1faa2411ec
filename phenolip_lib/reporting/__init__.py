"""Tables, figures and cards of what was found; one module a chapter.

In come results; out come CSV, Markdown, LaTeX and PNG, the same bytes for the same results. Nothing here computes a
score.
"""
