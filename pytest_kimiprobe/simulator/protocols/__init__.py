"""The providers' wire formats: modules that check and read requests, and modules that render answers."""
