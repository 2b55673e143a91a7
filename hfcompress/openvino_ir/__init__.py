"""OpenVINO's own format: a graph in XML, and its constants in a file beside it."""
