"""What a trained policy is worth, to whom, and what it does: simulated, or by logged weeks. For sweeps and studies."""
