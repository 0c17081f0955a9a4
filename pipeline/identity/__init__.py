"""Contact points, our own side, and the direction of a communication."""
