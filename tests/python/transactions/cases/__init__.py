"""The table of cases, a file for each theme."""
