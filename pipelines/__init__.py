"""All Beam, and all input and output at scale."""
