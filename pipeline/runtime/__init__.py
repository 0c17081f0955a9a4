"""Hosts: they read batches from the log, run a stage, write its outputs and commit."""
