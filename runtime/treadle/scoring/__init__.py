"""A bundle over files of rows: a row out for each row in, in parts that are there or not."""

from treadle.scoring.files import Scored, score_files

__all__ = ["Scored", "score_files"]
