"""What was found with rankshift: a script for each finding prints its figures from results/."""
