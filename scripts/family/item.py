"""What every generator draws."""

from dataclasses import dataclass

import split


@dataclass(frozen=True)
class Item:
    """One question with its one right answer, in the three forms the family needs.

    `row` is the benchmark row in the schema of the original set; `question` fills the instruction frame and `response`
    is what a fine-tune learns to write after it; `raw` is the same knowledge as plain text without any frame, with
    `raw_answer` the unframed way of putting the answer.
    """

    skill: str
    template: str
    composition: str
    parameters: str
    question: str
    response: str
    raw: str
    raw_answer: str
    row: dict

    @property
    def key(self) -> str:
        """The canonical name of the item: two items with the same key ask the same thing."""
        return f"{self.template}|{self.parameters}"

    @property
    def part(self) -> str:
        """train, validation or test."""
        return split.part_of(self.composition, self.parameters)
