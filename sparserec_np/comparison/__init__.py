"""Many runs side by side: a sweep of them, what they reached, how sure that is, and pages of it."""
