"""How fast artifacts are, and how sure we are of their figures."""
