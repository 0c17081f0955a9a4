"""Normal forms of text and scripts: one definition for rules, features and comparisons."""
