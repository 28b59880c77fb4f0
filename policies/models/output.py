"""What scripts printed, in pieces."""

from django.db import models

from policies.models.result import PhaseResult


class OutputChunk(models.Model):
    """A piece of one stream of a script, in UTF-8; the pieces of a stream follow one another without a gap.

    What is printed is masked before it is cut, so a piece never holds a part of a secret.
    """

    class Stream(models.TextChoices):
        STDOUT = "stdout"
        STDERR = "stderr"

    result = models.ForeignKey(PhaseResult, on_delete=models.CASCADE, related_name="chunks")
    stream = models.CharField(max_length=6, choices=Stream.choices)
    start = models.PositiveIntegerField()  # how many bytes of the stream come before
    line = models.PositiveIntegerField()  # how many line breaks come before
    data = models.BinaryField()

    class Meta:
        """A piece is entered only once, even if two processes try."""

        ordering = ["result", "stream", "start"]
        constraints = [
            models.UniqueConstraint(
                fields=["result", "stream", "start"], name="one_piece_of_an_output"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.stream} from byte {self.start}"
