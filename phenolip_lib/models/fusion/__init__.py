"""The fusion model of ARL: image tokens and text tokens read each other, and text reads entities of a knowledge graph.

In come tokens of an image and of a text, entities with the tokens that say them, and a graph; out come both streams
and one vector of the pair. `config` has the sizes, `layers` a layer, `graph` the embedding of entities, `model` the
whole, `pretext` what it is pretrained with, `plain` the models without fusion that it has to beat.
"""
