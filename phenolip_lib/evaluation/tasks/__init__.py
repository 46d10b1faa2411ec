"""One module a task: embeddings in, outcomes of single queries and numbers out."""
