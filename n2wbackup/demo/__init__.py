"""What the demo and the tests need and the product never imports."""
