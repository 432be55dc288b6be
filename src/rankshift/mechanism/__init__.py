"""Inside the model: directions of the residual stream, what an update does along them, spectra."""
