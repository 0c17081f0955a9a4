"""The steps and folds of the stages: pure functions, no I/O, no clock."""
