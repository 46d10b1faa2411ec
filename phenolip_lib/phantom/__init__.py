"""The phantom atlas: synthetic medical pictures whose findings, captions, boxes and masks are known.

In come names of phenotypes and the ``atlas`` section of params; findings are drawn into pictures and put into
words; out comes a folder like that of a real source, which is why the whole pipeline runs without a download.
"""
