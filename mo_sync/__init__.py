"""mo-sync: no file that a customer sent through Syniverse is ever lost."""
