"""Steps of gradient and what surrounds them: processes, fine-tuning, transfer, troubles. For the algorithm."""
