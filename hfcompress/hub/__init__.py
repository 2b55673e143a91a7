"""What leaves for the Hub: the card, the repository, the push, and the check of what came back. Never imports torch."""
