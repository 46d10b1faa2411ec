"""A page to try a model on: drop a picture, read which phenotypes it ranks first, and see what that is worth.

``assistant`` computes everything and knows no user interface; ``candidates`` is what it chooses from; ``source`` is
what a source's pictures add (calibration on its validation split, similar pictures); ``questions`` asks the model of
chapter 8 about a picture; ``uploads`` and ``overlay`` are the picture's way in and out; ``page`` writes HTML; ``guard``
is what the server says beside it; ``app`` is the Gradio application around them, the only module that imports Gradio.

The rules:

* Probabilities are a softmax over the candidates listed, at a scale fitted on validation pictures, and the page says
  on how many. Without a source they are uncalibrated, and the page says that.
* Of a source only pictures whose licence allows passing them on are shown; the others are counted.
* An uploaded file is deleted as soon as it is read, one whose request was refused after two minutes.
* The page asks nothing of any other host.
"""
