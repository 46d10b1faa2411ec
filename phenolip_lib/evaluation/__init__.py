"""What embeddings are worth: tasks, metrics, statistics.

In come embeddings and a benchmark; out come outcomes of single queries, and means with intervals over patients. No task
knows how a model was trained.
"""
