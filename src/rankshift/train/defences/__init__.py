"""What defends arms while they train, a small module each; docs/defences.md compares them."""
