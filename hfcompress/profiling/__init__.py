"""Why an INT8 graph is as fast as it is: its time beside that of its fp32 source, and what to change."""
