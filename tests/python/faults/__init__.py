"""The service under faults: what clients were told of, and what is there afterwards."""
