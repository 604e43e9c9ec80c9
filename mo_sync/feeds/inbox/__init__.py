"""The inbox as a feed: what Syniverse has, and nobody announced."""
