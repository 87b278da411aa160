"""Cases: what they are, how files of them are read, and the plan of a run."""
