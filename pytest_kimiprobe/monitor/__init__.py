"""The monitor: turns recorded runs into flag decisions, pull requests and alerts; holds the `kimiprobe` commands."""
