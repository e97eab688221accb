"""What a fork does not keep: each is handled, or named to who relies on it. One file for each kind of hazard."""
