"""Sets of visual questions: an image, a question about it and its answer, in one table for every set.

In comes a folder as its publisher leaves it, one module a layout; out comes a `QuestionSet`: the table of questions
whose images are there, with the publisher's split, and the numbers of records left out by reason.
"""

from phenolip_lib.data.questions.registry import load, present
from phenolip_lib.data.questions.table import QuestionSet, coverage, normal_answer, vocabulary

__all__ = ["QuestionSet", "coverage", "load", "normal_answer", "present", "vocabulary"]
