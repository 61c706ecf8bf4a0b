"""What a call does between its upload and its answer: audio to codes and `.ecdc`, and back."""
