"""The public functions where either side is sparse."""
