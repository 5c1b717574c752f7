"""What actions do to the return, in closed form, before training starts. For the learner and for policy values."""
