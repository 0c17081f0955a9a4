"""The online models: features, learners, heads, rules, and the replica that folds examples."""
