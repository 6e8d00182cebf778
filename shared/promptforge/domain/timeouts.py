"""Every interval of the job pipeline that is not a setting, in seconds."""

from promptforge.domain.timestamps import DAY_SECONDS

CLOCK_SKEW_SECONDS = 2.0
"""The largest difference between the clocks of two machines."""

# Upload and split
UPLOAD_CHECK_SECONDS = 300.0
"""How often the sweeper looks for an upload whose event was lost."""
UPLOAD_GRACE_SECONDS = 3600.0
"""A large upload that started in time may take this long after its URL expired."""
SPLIT_TIMEOUT_SECONDS = 600.0
"""The sweeper starts a split again after this long without a sign of it."""

# Processing
JOB_CHECK_SECONDS = 60.0
"""How often the sweeper checks a job in progress."""
UNCLAIMED_REQUEUE_SECONDS = 3600.0
"""A published chunk that nothing claimed for this long is published again."""
STOP_POLL_SECONDS = 2.0
"""How often the holder of a chunk checks whether its job was stopped or deleted."""
ACCESS_CHECK_SECONDS = 60.0
"""A worker without the provider's key, or with another address of it, looks at its settings again after this long."""
PROBE_SECONDS = 5.0
"""A first call that runs this long counts as accepted: a provider rejects a key quickly."""
TOTAL_REFRESH_SECONDS = 2.0
"""How old the summed cost of a job with a limit may be."""
COST_UNKNOWN_SECONDS = 10.0
"""A chunk is deferred this long while the cost of its job cannot be read."""
WAITING_NOTE_INTERVAL_SECONDS = 10.0
"""The reason why a job waits is written at most this often."""

# Caches of one process
JOB_CACHE_SECONDS = 1.5
TOTALS_CACHE_SECONDS = 1.0

# Deletion
MAX_PROCESS_STALL_SECONDS = 7.0 * DAY_SECONDS
"""No process stands still for longer than this and then continues."""
ERASE_RETRY_SECONDS = 300.0
"""The time between the first removal of a deleted job's objects and the second."""

# Retry-After of refused requests
TOO_MANY_JOBS_RETRY_SECONDS = 30
QUOTA_RETRY_SECONDS = 30
"""A job that finishes may release a part of its client's daily quota."""
