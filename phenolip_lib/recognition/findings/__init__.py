"""From a report to findings: what is seen, where, how severe, and whether it is there.

In comes the text of a report or a caption; the recogniser finds HPO terms, tables beside the modules name radiology's
own categories, places and grades, the status engine says what is denied or doubted. Out come `Finding` with their
place in the text. A language model can stand in for the tables, behind the same call.
"""
