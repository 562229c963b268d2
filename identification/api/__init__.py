"""What programs do over HTTP."""
