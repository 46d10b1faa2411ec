"""ARL (ACM MM 2022): align, reason and learn with a knowledge graph, then answer questions about images.

In come images, texts and a graph of entities: `knowledge` makes the graph and finds its entities in texts, `transe`
gives them vectors, `inputs` holds tokens of frozen towers, `masks` hides whole entities. `pretraining` and `answering`
are tasks of the engine; out comes a model of `models.fusion`.
"""
