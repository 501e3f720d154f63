"""The switch behind scikit-learn's names."""
