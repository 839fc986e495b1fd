"""Models made from other people's head models: read as they are, given this project's skeleton, saved in its format."""
