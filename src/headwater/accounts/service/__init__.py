"""What may happen to people, organisations and their credentials: one function per act, one module per noun."""
