"""A job id, and texts that are none."""

JOB_ID = "01234567-89ab-4def-8123-456789abcdef"

NOT_JOB_IDS = [
    "",
    "x",
    "job_" + "0123456789abcdef" * 2,
    JOB_ID[:-1],
    JOB_ID + "0",
    JOB_ID.upper(),
    JOB_ID.replace("a", "A"),
    JOB_ID + "\n",
    " " + JOB_ID,
    JOB_ID + "/",
    "../" + JOB_ID,
    JOB_ID.replace("0", "\u0660"),
    JOB_ID.replace("-", ""),
    JOB_ID.replace("-", "_"),
    "{" + JOB_ID + "}",
    "urn:uuid:" + JOB_ID,
]
