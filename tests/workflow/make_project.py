"""Makes a small real project: two labelled datasets in files of its own, a copy of the workflow and of the package, git and DVC."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

ROOT = Path(__file__).parents[2]

PEOPLE, PLACES = ("Ann", "Bob Lee", "Carla", "Dan", "Eva Stone"), ("Paris", "New York", "Rome", "Oslo", "Bonn")
GOOD, BAD = ("good", "great", "fine", "lovely"), ("bad", "poor", "awful", "sad")


def _words(number: int) -> tuple[str, str, str]:
    """Three words that no other number below 1000 has in this order."""
    sizes = ("big", "small", "long", "short", "wide", "thin", "tall", "low", "deep", "flat")
    colours = ("red", "green", "blue", "black", "white", "brown", "pink", "grey", "gold", "violet")
    things = ("house", "car", "river", "book", "shoe", "tree", "lamp", "boat", "chair", "bridge")
    return sizes[number % 10], colours[number // 10 % 10], things[(number // 100 + number) % 10]


def ratings(rows: int, seed: int = 0) -> str:
    """A CSV of texts with a rating whose sign the words give away."""
    random = Random(seed)
    lines = ["rating,text"]
    for number in range(rows):
        good = random.random() < 0.5
        word = random.choice(GOOD if good else BAD)
        lines.append(f'{1.5 if good else -1.5},"the {" ".join(_words(number))} was {word}"')
    return "\n".join(lines) + "\n"


def entities(rows: int, seed: int = 0) -> str:
    """A CoNLL file of persons and places."""
    random = Random(seed)
    sentences = []
    for number in range(rows):
        person, place = random.choice(PEOPLE).split(), random.choice(PLACES).split()
        tagged = [(word, ("B-" if i == 0 else "I-") + "person") for i, word in enumerate(person)]
        tagged += [(word, "O") for word in ("saw", *_words(number), "in")]
        tagged += [(word, ("B-" if i == 0 else "I-") + "place") for i, word in enumerate(place)]
        sentences.append("\n".join(f"{word} {tag}" for word, tag in tagged))
    return "\n\n".join(sentences) + "\n"


PARAMS = """\
seed: 1
datasets:
  mood:
    source: {{url: input/mood.csv, sha256: {mood}}}
    reader: {{format: csv}}
    labels:
      mood: {{type: class, column: rating, bins: {{bad: [-4, 0], good: [0, 4]}}}}
    split: {{train: 0.7, validation: 0.15, test: 0.15}}
  names:
    source: {{url: input/names.conll, sha256: {names}}}
    reader: {{format: conll}}
    labels:
      names: {{type: tags, column: tags}}
    split: {{train: 0.7, validation: 0.15, test: 0.15}}
tasks:
  names: {{type: token_classification, label: names}}
  mood: {{type: classification, label: mood}}
augment:
  shards: 1
  methods:
    synonym: {{type: synonym}}
encoder: {{type: fnn, width: 16, layers: 1, vocabulary: 300, max_length: 32}}
train: {{epochs: 2, batch_tokens: 256, learning_rate: 0.005, head_learning_rate: 0.005, eval_every: 5}}
experiment: {{joint: [augmented], single_task: []}}
evaluate: {{resamples: 100}}
report: {{title: Small project}}
"""


class Project:
    """A project folder, and the tools run in it as a user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("DVC_", "SNAKEMAKE_"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"),
            "OMP_NUM_THREADS": "1",
            "SMK_CORES": "2",
            "DVC_NO_ANALYTICS": "1",
            "HOME": str(folder.parent),  # no settings of the user's own
        }

    @classmethod
    def make(cls, folder: Path) -> "Project":
        """A fresh project under git and DVC, with nothing run yet."""
        folder.mkdir(parents=True)
        project = cls(folder)
        for name in ("workflow", "src", "dvc.yaml", ".gitignore", ".dvcignore"):
            source = ROOT / name
            ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copy(source, folder / name)
        (folder / "input").mkdir()
        for name in ("tune", "audit"):
            (folder / "data" / name).mkdir(parents=True)
            shutil.copy(ROOT / "data" / name / ".gitkeep", folder / "data" / name)
        (folder / "input/mood.csv").write_text(ratings(60))
        (folder / "input/names.conll").write_text(entities(60))
        (folder / "params.yaml").write_text(
            PARAMS.format(mood=project.checksum("input/mood.csv"), names=project.checksum("input/names.conll"))
        )
        project.git("init", "-q", "-b", "main")
        project.git("config", "user.name", "Test")
        project.git("config", "user.email", "test@example.org")
        project.run("dvc", "init", "-q")
        shutil.copytree(ROOT / ".dvc/plots", folder / ".dvc/plots")
        project.commit("start")
        return project

    def checksum(self, path: str) -> str:
        return hashlib.sha256((self.folder / path).read_bytes()).hexdigest()

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text in a file; it must be there."""
        content = (self.folder / path).read_text()
        assert old in content, f"{path} does not hold {old!r}"
        (self.folder / path).write_text(content.replace(old, new, 1))

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the project; returns what it printed."""
        done = subprocess.run(command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=600)
        output = done.stdout + done.stderr
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)} exited with {done.returncode}:\n{output}")
        return output

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments)

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)

    def snakemake(self, *arguments: str) -> list[str]:
        """Run the workflow; returns the jobs that were really built."""
        return built(self.run("snakemake", "--cores", "2", *arguments))

    def dvc(self, *arguments: str) -> list[str]:
        """Run DVC; returns the jobs that were really built."""
        return built(self.run("dvc", *arguments))

    def clean(self) -> None:
        """Both tools agree that there is nothing to do."""
        assert "Nothing to be done" in self.run("snakemake", "--cores", "2")
        assert "up to date" in self.run("dvc", "status")

    def from_scratch(self, folder: Path) -> dict[str, str]:
        """The results that the present params, code and data give in a fresh folder."""
        folder.mkdir()
        for name in ("src", "workflow", "input"):
            shutil.copytree(self.folder / name, folder / name)
        shutil.copy(self.folder / "params.yaml", folder)
        scratch = Project(folder)
        scratch.run("snakemake", "--cores", "2")
        return scratch.results()

    def results(self) -> dict[str, str]:
        """Checksums of all results that do not hold times."""
        kept = ("examples", "shards", "predictions", "results")
        files = [path for name in kept for path in (self.folder / "data" / name).rglob("*") if path.is_file()]
        files += (self.folder / "data/models").rglob("model.safetensors")
        return {str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def built(output: str) -> list[str]:
    """The jobs that report that they were built, sorted, such as ``train_run joint-augmented-1``."""
    # Anywhere in a line: jobs that run side by side share one stream.
    return sorted(re.findall(r"built (\w+ \S+) in [\d.]+ s", output))


def only(jobs: Sequence[str], *rules: str) -> list[str]:
    """The jobs of some rules."""
    return [job for job in jobs if job.split()[0] in rules]
