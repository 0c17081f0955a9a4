"""Connectors: one folder per channel; they read files and yield events or rejections."""
