"""What lessons measure: functions from a bench to a finding, and from a finding to an answer."""
