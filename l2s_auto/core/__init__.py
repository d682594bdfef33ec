"""Types, contracts between the rooms, and errors. Imports nothing else of the project."""
