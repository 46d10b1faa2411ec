"""The evaluation tasks, one module each; they read embeddings and the pairs table only."""
