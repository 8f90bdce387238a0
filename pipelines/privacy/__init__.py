"""What is personal, and how a person is forgotten."""
