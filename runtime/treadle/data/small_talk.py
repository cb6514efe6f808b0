"""Questions and answers in English: the corpus of ChatterBot."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from treadle.data.dataset import Dataset, digest_of
from treadle.data.examples import Pair
from treadle.data.malformed import Malformed
from treadle.data.registry import locate, sources
from treadle.data.splitting import shuffled_splits
from treadle.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

_FILES = (
    ("ai.yml", 8_340, "620a65787a56641db4a03e1419a7578e813967218cf6721e3ea4ef90844916aa"),
    ("botprofile.yml", 1_385, "1a694c5288f3f8f87d027d2f98dae71d02efa88e28853a6e5d27e6dbce907294"),
    ("coding.yml", 64_012, "1726a8900a82ee32dad559809564f9ae97df9c52f42a8f1fcde84b1d54b1d260"),
    ("computers.yml", 3_744, "a222c5a432efe4289e6c5edf1c3d99fd26c48df99db0ff893d1d5ab569f5b750"),
    (
        "conversations.yml",
        4_682,
        "1cf105b5802f377b2dc145f741f7df85629c9ca27e450538165286a75b5e3416",
    ),
    ("emotion.yml", 10_337, "510a018938c1880dd0f67e1ae458e26878c91a570daef5a84fb83713c89f0989"),
    ("food.yml", 1_266, "68eab2497721d03044d520b70c27d8a0d8ba8e505b3265fb3a1ff3e1a64c7124"),
    ("gossip.yml", 2_119, "d6f1b1613ed70821fc1c427bdd00395f58b77ff57d76fbe4ab8cb2038cf15c9b"),
    ("greetings.yml", 1_035, "0dd7eb8dcee8e2a38cd1a137bcfbd7f3eb732cddfa1bd396fac5a24b063a4d55"),
    ("health.yml", 201, "eb88edc5302d688ca096374c7e3f5b9d7cd821f053a17d80204c4acdc20ea4f5"),
    ("history.yml", 795, "0ff4beeb6ef9b641dc12e1039a149c6a03eb8f2e183702fad2b0997fcc1d63e3"),
    ("humor.yml", 3_522, "d2aa03a63f0e8e054589f642788afbc41b8c76f5d734c50901a9a63b359ea06b"),
    ("literature.yml", 4_077, "9361ff1478273d811259ca307a1e6be23a5e08e776a5bc5d9524fb13deb886f1"),
    ("money.yml", 2_375, "2911d9766625ff5c2feb3d784f2951b2ebd5e9658547efce7568d0282c49274b"),
    ("movies.yml", 1_387, "075ca9d91a527206c635c88bf0353323826a25a6f2057be1bc71888af389f842"),
    ("politics.yml", 1_399, "c436d5efedea6f715a8a811423a8edf396097771eb11e43b1f0a43a6aee7c2f0"),
    ("psychology.yml", 4_227, "5047c211d35f715af4fbc3398f111135e99d34afcd0905a661c40bdeb1413a58"),
    ("science.yml", 2_397, "3c259799bba36c67a1601fc264ec01ab051e9e63950734ce1ef644e022081fe7"),
    ("sports.yml", 2_113, "8d1bcc632cad4058e3b8490daa15dcd7c2a51790a7b9140b252600b794590403"),
    (
        "tech_support.yml",
        97_407,
        "8a87cdf32579c8efdd9c5f3ef166ae9fb76dcf271b958f5e2265b9246b430655",
    ),
    ("trivia.yml", 19_836, "3a9de77e6d82803d1ea3eba48cf6543c884908f4c4f50501fed69f88112994dc"),
)
CHATTERBOT = sources(
    "chatterbot-corpus",
    {file[0].removesuffix(".yml"): file for file in _FILES},
    licence="BSD-3-Clause",
    home="https://github.com/gunthercox/chatterbot-corpus",
    package=("chatterbot_corpus", "data/english"),
    requirement="chatterbot-corpus==1.3.3",
)


def open_chatterbot(*, seed: int = 0) -> Dataset[list[Pair]]:
    """What is said, with everything that is answered to it, split 80/10/10 by `seed`.

    Conversations are cut into what is said and what is said next. The same words said twice are
    one pair with several targets, so no source is in two splits. One conversation of the corpus is
    malformed and left out. Raises DataError, also where PyYAML is not installed.
    """
    malformed = Malformed("skip")
    answers: dict[str, dict[str, None]] = {}
    for source in CHATTERBOT.values():
        for turns in read_conversations(locate(source), malformed):
            for said, answer in pairwise(turns):
                answers.setdefault(said, {})[answer] = None
    splits = shuffled_splits([Pair(said, tuple(given)) for said, given in answers.items()], seed)
    first = CHATTERBOT["ai"]
    return Dataset(
        name="chatterbot-corpus",
        options={"seed": seed},
        licence=first.licence,
        source=first.home,
        digest=digest_of(splits),
        splits=splits,
        skipped=malformed.count,
    )


def read_conversations(path: Path, malformed: Malformed) -> list[list[str]]:
    """Every conversation of a file of the corpus, as its turns; white space made single spaces.

    One that is not a list of two texts or more is malformed. Raises DataError for a file that is
    no YAML of `conversations`.
    """
    try:
        import yaml
    except ImportError as error:
        raise DataError(
            f"reading {path} needs PyYAML, which is not installed: pip install 'treadle[data]'"
        ) from error
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: expected a YAML file: {error}") from error
    conversations = document.get("conversations") if isinstance(document, dict) else None
    if not isinstance(conversations, list):
        raise DataError(f"{path}: expected a list of conversations")
    whole = []
    for number, turns in enumerate(conversations, start=1):
        if isinstance(turns, list) and len(turns) > 1 and all(type(t) is str for t in turns):
            whole.append([" ".join(turn.split()) for turn in turns])
        else:
            got = str(turns)[:80]
            malformed.found(
                path, f"conversation {number}", f"expected a list of two texts, got {got!r}"
            )
    return whole
