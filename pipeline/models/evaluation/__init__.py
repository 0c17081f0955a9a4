"""Judging models on labelled texts: the online model as it runs, and the offline models it is
measured against.
"""
