"""Cases: their definition, the reading of case files, and the plan of a run."""
