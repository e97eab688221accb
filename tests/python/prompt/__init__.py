"""Sessions beside Python's own prompt."""
