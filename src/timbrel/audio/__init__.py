"""Audio in and out, front ends, pitch, loudness and the condition of a recording."""
