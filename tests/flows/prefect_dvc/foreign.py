"""Projects of other people's for tests: the shape of DVC's get-started, and a diamond of ten stages."""

import os
import subprocess
import sys
from pathlib import Path

DVC_YAML = """
vars:
  - conf/models.yaml
stages:
  prepare:
    cmd: python src/prepare.py data/data.txt
    deps: [data/data.txt, src/prepare.py]
    params: [prepare.keep]
    outs: [data/prepared]
  featurize:
    foreach: [train, test]
    do:
      cmd: python src/featurize.py ${item}
      deps: [data/prepared, src/featurize.py]
      outs: ["data/features/${item}"]
  train:
    matrix:
      model: ${models}
      depth: [1, 2]
    cmd: python src/train.py ${item.model} ${item.depth}
    deps: [data/features/train, src/train.py]
    params:
      - conf/train.toml:
          - rate
    outs: ["models/${item.model}-${item.depth}"]
  evaluate:
    cmd: python src/evaluate.py
    deps: [models, data/features/test, src/evaluate.py]
    outs:
      - eval/images: {cache: false}
    metrics:
      - eval/metrics.json: {cache: false}
    plots:
      - eval/curve.csv: {x: step, y: loss}
  vocabulary:
    cmd: python src/vocabulary.py
    deps: [data/prepared, src/vocabulary.py]
    outs: [vocabulary.txt]
  weather:
    cmd: echo mild > weather.txt
    always_changed: true
    outs: [weather.txt]
  forecast:
    cmd: cp weather.txt forecast.txt
    deps: [weather.txt]
    outs: [forecast.txt]
plots:
  - eval/curve.csv: {x: step, y: loss}
"""
SCRIPTS = {
    "prepare": "text = open(sys.argv[1]).read().split()\nwrite('data/prepared/words', ' '.join(text[:KEEP]))",
    "featurize": "name = sys.argv[1]\nwords = open('data/prepared/words').read()\n"
    "write(f'data/features/{name}/n', str(len(words) + len(name)))",
    "train": "name = '-'.join(sys.argv[1:])\nrate = tomllib.load(open('conf/train.toml', 'rb'))['rate']\n"
    "write(f'models/{name}', f'{name} {rate} ' + open('data/features/train/n').read())",
    "evaluate": "models = sorted(p.name for p in Path('models').iterdir() if p.name[0] != '.')\n"
    "write('eval/metrics.json', json.dumps({'models': len(models)}))\n"
    "write('eval/images/a.svg', '<svg/>')\nwrite('eval/curve.csv', 'step,loss\\n0,1\\n')",
    "vocabulary": "write('vocabulary.txt', '\\n'.join(sorted(open('data/prepared/words').read().split())))",
}
HEAD = """import json, sys, tomllib
from pathlib import Path

KEEP = int(Path("params.yaml").read_text().split("keep:")[1])


def write(path, text):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


"""
SUMMARY = """
stages:
  summary:
    cmd: wc -c < ../eval/metrics.json > summary.txt
    deps: [../eval/metrics.json]
    outs: [summary.txt]
  below:
    wdir: deeper
    cmd: cp ../summary.txt copy.txt
    deps: [../summary.txt]
    outs: [copy.txt]
"""


def environment(folder: Path) -> dict[str, str]:
    """For commands: this Python is `python`, DVC's state lies beside the project, git has an identity."""
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(folder.parent / f"{folder.name}-dvc"),
        "DVC_NO_ANALYTICS": "1",
        **{f"GIT_{role}_{key}": "test@localhost" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")},
    }


def call(folder: Path, *command: str) -> str:
    """Run a command in a project; returns what it prints."""
    options = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    ran = subprocess.run(command, cwd=folder, env=environment(folder), check=False, **options)
    assert ran.returncode == 0, f"{command}: {ran.stdout}{ran.stderr}"
    return ran.stdout


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def init(folder: Path, files: dict[str, str]) -> None:
    """A new git and DVC repository that holds these files."""
    write(folder, files)
    call(folder, "git", "init", "-q", "-b", "main")
    call(folder, sys.executable, "-m", "dvc", "init", "-q")


def get_started(folder: Path) -> None:
    """The shape of DVC's get-started: data of `dvc add`, foreach, matrix, plots, several params files, sub-folders.

    Folders called `flows` and `pipeline` are the project's own, and nothing may be imported from them.
    """
    trap = "raise SystemExit('imported from the project')\n"
    init(
        folder,
        {
            "dvc.yaml": DVC_YAML,
            "params.yaml": "prepare:\n  keep: 3\n",
            "conf/models.yaml": "models: [linear, tree]\n",
            "conf/train.toml": "rate = 0.5\n",
            "sub/dvc.yaml": SUMMARY,
            "sub/deeper/.gitkeep": "",
            "data/data.txt": "to be or not to be\n",
            "flows/__init__.py": trap,
            "pipeline/__init__.py": trap,
            **{f"src/{name}.py": f"{HEAD}{code}\n" for name, code in SCRIPTS.items()},
        },
    )
    call(folder, sys.executable, "-m", "dvc", "add", "-q", "data/data.txt")


def diamond_of_ten(folder: Path) -> None:
    """One stage, eight that need it alone, one that needs all eight; `w3` fails while there is a file `broken`."""
    wide = [f"w{number}" for number in range(8)]
    lines = ["stages:", "  top:", "    cmd: cp seed top", "    deps: [seed]", "    outs: [top]"]
    for name in wide:
        command = f"cp top {name}" if name != "w3" else "test ! -e broken && cp top w3"
        lines += [f"  {name}:", f"    cmd: {command}", "    deps: [top]", f"    outs: [{name}]"]
    lines += ["  end:", f"    cmd: cat {' '.join(wide)} > end", f"    deps: [{', '.join(wide)}]", "    outs: [end]"]
    init(folder, {"dvc.yaml": "\n".join(lines) + "\n", "seed": "seed\n"})
