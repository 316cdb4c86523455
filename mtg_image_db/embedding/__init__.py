"""Pictures -> unit vectors: the models, preprocessing, perceptual hashes, and the vectors kept between builds."""
