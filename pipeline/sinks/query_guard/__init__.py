"""Decides which statements are questions: they read the history and nothing else."""
