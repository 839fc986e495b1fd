"""Between this project's models and FLAME and SMPL-X, through the package ``smplx`` and a user's own model files."""
