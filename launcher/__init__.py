"""The launcher behind `spotid.py`: environment, bundled PostgreSQL, processes. Python's standard library only."""
