"""Errors for people: each text says what failed, on what, and what to do next."""

from n2wbackup.lib import terminal


class BackupError(Exception):
    """A failure that a person can act on; its text is one sentence for them.

    Words of AWS, of a script or of a user in it are harmless for whoever reads it.
    """

    def __init__(self, message: str = "") -> None:
        """Keep the sentence."""
        super().__init__(terminal.line(message))


class InputError(BackupError):
    """The input is invalid; nothing was saved."""


class RefusedError(BackupError):
    """The request cannot be done now; nothing was changed."""


class AwsError(BackupError):
    """AWS refused, or did not answer. `code` is AWS's error code, if it gave one."""

    def __init__(self, message: str, code: str = "") -> None:
        """Keep the sentence and AWS's error code."""
        super().__init__(message)
        self.code = code


class CredentialsError(AwsError):
    """The keys are wrong, or there are none."""


class NotPermittedError(AwsError):
    """The account lacks a permission. `permission` names it, such as ec2:CreateTags."""

    def __init__(self, message: str, code: str = "", permission: str = "") -> None:
        """Keep the sentence, AWS's error code and the missing permission."""
        super().__init__(message, code)
        self.permission = permission


class RegionError(AwsError):
    """The region does not exist, or is not enabled for the account."""


class NotFoundError(AwsError):
    """The resource does not exist in this account and region."""


class ThrottledError(AwsError):
    """AWS refused because of its rate limit, or something is not available yet.

    Nothing was done; the call may be repeated.
    """


class UnreachableError(AwsError):
    """No connection could be made; nothing was done, and the call may be repeated."""


class RejectedError(AwsError):
    """AWS refused for another reason; nothing was done."""


class InUseError(RejectedError):
    """Something else in AWS needs the resource; nothing was done."""


class AnswerLostError(AwsError):
    """The request was sent and no answer came: AWS may have done it.

    Never repeat the call; look for the tag instead.
    """


class ImageError(BackupError):
    """A snapshot could not be opened as an image, or does not answer as one."""


class ImageNotPossibleError(ImageError):
    """It cannot be tried here and now: a program is missing, mounting is not allowed, too many are open."""


class ImageDamagedError(ImageError):
    """What is in the snapshot is at fault: no file system that is known, or one that cannot be mounted."""


class ImageGoneError(ImageError):
    """The image is closed: its time was over, or it was killed."""


class NoSuchPathError(ImageError):
    """The image has no such path, or it leads through a link, or is nothing that can be read."""
