"""Image compression: an autoencoder whose code is quantised and entropy-coded."""
