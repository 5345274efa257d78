"""What runs in processes of its own, and may import what the web process never does."""
