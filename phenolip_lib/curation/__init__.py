"""The steps of PhenoKG: from records to linked, deduplicated, split pairs.

In come the records of a source; pictures are examined and cut, copies found, captions linked, groups split; out
come pairs, mentions, and a quarantine that names the reason for everything that was left out.
"""
