"""A teacher's outputs for every row of the training set, asked for once and kept on disk."""
