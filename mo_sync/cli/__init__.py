"""What people and their programs type: commands in, words and an exit code out."""
