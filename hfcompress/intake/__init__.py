"""What must not come in: files are judged by their bytes before any loader sees them. Never imports torch."""
