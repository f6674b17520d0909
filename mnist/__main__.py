"""``python -m mnist``: the verbs, one line each."""

import sys

VERBS = """\
usage: python -m mnist.VERB [OPTION...]

  python -m mnist.prepare    make data/mnist.json.gz from the four official MNIST files
  python -m mnist.train      train a model as a config says, or go on from a checkpoint
  python -m mnist.evaluate   accuracy, loss and confusion matrix of a checkpoint on a split
  python -m mnist.report     a run, or several compared, on one HTML page to look at
  python -m mnist.predict    read the digits in pictures
  python -m mnist.export     a model for other programs: ONNX, Paddle's inference model, weights
  python -m mnist.serve      a page to draw digits on, and an HTTP interface

Each has a --help of its own."""

if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["-h"], ["--help"]):
        print(
            f"error: {sys.argv[1]}: a verb is called as python -m mnist.VERB (see python -m mnist)",
            file=sys.stderr,
        )
        sys.exit(2)
    print(VERBS)
