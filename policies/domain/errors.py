"""What can go wrong outside, in our words: what failed, on what, and what to do next."""


class BackupError(Exception):
    """A failure that a person can act on; its text is one sentence for them."""


class InputError(BackupError):
    """What was entered cannot be; nothing was saved."""


class RefusedError(BackupError):
    """What was asked for cannot be done now; nothing was changed."""


class AwsError(BackupError):
    """AWS answered no, or not at all. `code` is AWS's own word where there was one."""

    def __init__(self, message: str, code: str = "") -> None:
        """Keep the sentence and AWS's error code."""
        super().__init__(message)
        self.code = code


class CredentialsError(AwsError):
    """The keys are wrong, or there are none."""


class NotPermittedError(AwsError):
    """The account may not do this. `permission` is what it lacks, such as ec2:CreateTags."""

    def __init__(self, message: str, code: str = "", permission: str = "") -> None:
        """Keep the sentence, AWS's error code and the missing permission."""
        super().__init__(message, code)
        self.permission = permission


class RegionError(AwsError):
    """The region does not exist, or is not switched on for the account."""


class NotFoundError(AwsError):
    """The resource does not exist in this account and region."""


class ThrottledError(AwsError):
    """AWS refused for the rate, or has not got yet what is needed; nothing was done, it may be asked again."""


class UnreachableError(AwsError):
    """No connection could be made; nothing was done, it may be asked again."""


class RejectedError(AwsError):
    """AWS refused for another reason; nothing was done."""


class AnswerLostError(AwsError):
    """The request went out and no answer came: it may have been done. Never ask twice; look for the tag."""
