"""Languages that augmentation knows, one module each; ``base`` says what a module tells."""
