"""Git and GitHub: push results, open and update pull requests."""
