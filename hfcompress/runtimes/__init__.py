"""An artifact becomes `predict(batch) -> named outputs`, whatever runs it."""
