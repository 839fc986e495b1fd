"""A parametric model of the human head and neck: identity, expression, eight cervical joints, a larynx."""
