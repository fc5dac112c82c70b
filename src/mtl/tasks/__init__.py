"""Task types: each is one module with its settings, targets, head, loss, decoding, metrics and views. ``mtl.plugins`` lists them."""
