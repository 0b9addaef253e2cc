"""A model as a judge of other models' answers: with a rubric, after it agrees with the anchors."""
