"""How a session goes from one supervisor to the next: the private protocol, spoken directly to real processes."""
