"""Checks of the code base that no other linter makes; `make check` runs them."""
