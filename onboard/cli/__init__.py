"""The commands: one file each. Only here are errors logged, signals caught and exit codes returned."""
