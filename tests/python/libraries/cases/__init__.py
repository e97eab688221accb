"""The matrix of libraries, a file for each kind of them."""
