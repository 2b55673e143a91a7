"""More than one process: who this one is, what was asked for and what came, and the hand-over to accelerate.

Nothing is imported here, and torch only where there are several processes.
"""
