"""Models: where families keep their layers, and the one way to load and save every torch artifact."""
