"""From text to HPO mentions with their place and status.

In come a caption, a report or an abstract; words are read, matched with families mined from the ontology, and judged as
present, absent, uncertain or of the family; out come spans with an HPO id. Gold sets and their scores are here too.
"""
