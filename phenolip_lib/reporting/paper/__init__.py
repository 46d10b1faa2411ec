"""The paper's published numbers, what can be checked in them, and our tables in their layout."""
