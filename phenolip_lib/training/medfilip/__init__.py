"""MedFILIP (J-BHI 2025): images and the findings of their reports, with soft labels by likeness.

In come pairs with the findings that `recognition.findings` read in their texts, and a book of appearances; images are
contrasted with all entries of a batch, several an image, against a matrix that says how alike two entries are; out
comes a student as of stage 2.
"""
