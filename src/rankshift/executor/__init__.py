"""From a study to its results: find the parts, plan the groups, do what is not done, sum up."""
