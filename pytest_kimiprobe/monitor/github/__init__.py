"""Access to git and GitHub: pushes results, and opens, updates and closes pull requests."""
