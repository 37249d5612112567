"""What is copied onto the card and runs there."""
