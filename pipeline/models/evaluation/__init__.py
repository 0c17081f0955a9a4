"""Evaluate models on labelled texts: the online model as it runs, beside offline models."""
