"""The questions of "Check yourself": one right choice, every choice explained, numbers that their answers contain."""

import re
from fractions import Fraction

import pytest

from tests.chapters.test_chapters import CHAPTERS, by_chapter, prose

ITEM = re.compile(r"(?m)^\d+\. ")
BLOCK = re.compile(r'<details class="nccheck"([^>]*)><summary>Answers?</summary>\n\n(.*?)\n\n</details>', re.S)
NUMBER = re.compile(r' data-answer="([-\d./]+)" data-within="([\d.]+)%"')


def questions(text):
    """Yield each question's text, what its tag says, and its explanations."""
    section = re.search(r"(?ms)^## Check yourself$(.*?)(?=^## |\Z)", text)
    end = 0
    for block in BLOCK.finditer(section[1] if section else ""):
        yield section[1][end : block.start()].strip(), block[1], block[2]
        end = block.end()


def faults(question, tag, answers):
    """Return what is wrong with one question."""
    if tag:
        found = NUMBER.fullmatch(tag)
        if found is None:
            return ["the tag must hold data-answer, a number, and data-within, per cent"]
        answer, said = found[1], answers.replace("$", "").replace("{", "").replace("}", "")
        plain = answer.lstrip("-")
        told = re.search(rf"(?<![\d.]){re.escape(plain)}(?!\d)", said)
        fractions = re.findall(r"(\d+)/(\d+)|\\frac(\d)(\d)", said)
        equal = any(Fraction(int(a or c), int(b or d)) == Fraction(plain) for a, b, c, d in fractions)
        return [] if told or equal else [f"the answer's text does not contain {answer}"]
    right = [not text.startswith("**No.** ") for text in ITEM.split(answers)[1:]]
    wrong = []
    if len(right) < 3 or len(right) != len(ITEM.split(question)[1:]):
        wrong.append(f"{len(ITEM.split(question)) - 1} choices, {len(right)} explanations")
    if right.count(True) != 1 or answers.count("**Right.** ") != 1:
        wrong.append("one choice is right, and its explanation says so")
    return wrong


@by_chapter
def test_every_question_can_be_answered(path):
    asked = list(questions(prose(path)))
    assert len(asked) >= 2 and prose(path).count("nccheck") == len(asked)
    assert {q[:60]: f for q, tag, answers in asked if (f := faults(q, tag, answers))} == {}


@pytest.mark.parametrize(
    "question, tag, answers",
    [
        ("1. a\n2. b\n3. c", "", "1. **No.** x\n2. **No.** y\n3. **No.** z"),
        ("1. a\n2. b\n3. c", "", "1. **Right.** x\n2. **Right.** y\n3. **No.** z"),
        ("1. a\n2. b\n3. c", "", "1. **Right.** x\n2. **No.** y"),
        ("How many?", ' data-answer="12" data-within="1%"', "There are 120."),
        ("How many?", ' data-answer="12"', "There are 12."),
    ],
)
def test_a_question_without_one_answer_is_found(question, tag, answers):
    assert faults(question, tag, answers)


def test_the_right_choice_is_not_always_in_one_place():
    blocks = [a for path in CHAPTERS for _, tag, a in questions(prose(path)) if not tag]
    places = [next(i for i, t in enumerate(ITEM.split(b)[1:]) if t.startswith("**Right.**")) for b in blocks]
    assert max(places.count(i) for i in range(3)) <= len(places) / 2
