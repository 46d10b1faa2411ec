"""For people: the explorer of PhenoKG, the demo in a browser, the executed notebooks as a book.

In come reports, graph and model; out come pages.
"""
