"""What is measured, one module each: functions from a bench and a peer to figures."""
