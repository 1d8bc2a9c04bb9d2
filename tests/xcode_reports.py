"""Bundles as Xcode writes them."""

import json


def report(name="block-x2--12345678", samples=(0.00087, 0.00089), **more):
    return {
        "modelMetadata": {"fileName": f"{name}.mlpackage", "size": 12},
        "deviceInfo": {
            "modelName": "iPhone 12",
            "osNameAndVersionWithoutBuildNumber": "iOS 16.5.1",
            "displayName": "Ada's phone",
            "deviceID": "00008101-SECRET",
            "serialNumber": "C39SECRET",
        },
        "computeUnit": 3,
        "deviceResults": {"predict": {"samples": list(samples), "numOperations": 3}, **more},
        "somethingNew": {"in": "Xcode 28"},
    }


def bundle(folder, document, name="a"):
    path = folder / f"{name}.mlperf"
    path.mkdir(parents=True)
    (path / "report.json").write_text(json.dumps(document))
    return path
