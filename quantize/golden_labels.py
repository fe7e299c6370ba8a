"""Write into bundles what their models say of the shipped beats: for bundles made before, or of other beats.

python -m quantize.golden_labels              the shipped bundles
python -m quantize.golden_labels FOLDER...    others
"""

from __future__ import annotations

import json
from dataclasses import replace

import click

from edge_ecg.bench.labels import labels_of
from edge_ecg.bundles import shipped_ids
from edge_ecg.infer.rhythm import RhythmClassifier
from edge_ecg.infer.tflite import TfliteClassifier
from edge_ecg.io.whole import write_whole
from edge_ecg.manifest import Bundle, load_any
from edge_ecg.schema import encode

__all__ = ["label_bundle"]


@click.command()
@click.argument("names", metavar="[BUNDLE]...", nargs=-1)
def main(names: tuple[str, ...]) -> None:
    """Label the beats and keep the labels in the manifests."""
    for name in names or shipped_ids():
        click.echo(f"{name}: {label_bundle(name)} labels")


def label_bundle(name: str) -> int:
    """Renew the golden labels of a bundle; return how many there are."""
    bundle = load_any(name)
    classifier = TfliteClassifier(bundle) if isinstance(bundle, Bundle) else RhythmClassifier(bundle)
    golden = labels_of(classifier, bundle.manifest.label_set)
    manifest = replace(bundle.manifest, golden_labels=golden)
    write_whole(bundle.folder / "manifest.json", (json.dumps(encode(manifest), indent=2) + "\n").encode())
    return 0 if golden is None else len(golden.labels)


if __name__ == "__main__":
    main()
