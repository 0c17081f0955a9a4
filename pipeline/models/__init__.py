"""The online models: features, learner, heads, rules, and the replica that folds the examples
topic.
"""
