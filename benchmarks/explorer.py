"""Times the explorer through a real kernel: from a change to the new picture.

Usage: python benchmarks/explorer.py [rounds] [threads]

Plays the browser: opens the explorer in a fresh kernel, tells a control its new value
in the words of the widget protocol, and waits until the kernel sends the new picture.
Prints the median and the slowest of all rounds for each kind of change.
"""

import re
import statistics
import sys
import time

from jupyter_client.manager import start_new_kernel

OPEN = """\
import torch
torch.set_num_threads({threads})
from courseai_helpers.explorer import explore
from courseai_helpers.images import load_photo
from courseai_helpers.models import load_resnet18
from courseai_helpers.reference import visualizing_features as lesson

names = ["grad_cam", "capture_activations", "normalize_filters", "filter_to_image"]
explorer = explore(
    load_resnet18(),
    load_photo("cat"),
    **{{name: getattr(lesson, name) for name in names}},
)
for name, control in vars(explorer.controls).items():
    print(name, control.model_id)
"""
STAGES = ["conv1", "layer1", "layer2", "layer3", "layer4"]
PHOTOS = ["your photo", "cat", "coffee", "rocket", "astronaut"]
# What the benchmark changes, and the values that it goes through, each of them once.
CHANGES = {
    "opacity of a heatmap": ("opacity", list(range(5, 100, 7))),
    "class (Grad-CAM at layer4)": ("target", [str(n) for n in range(1000)]),
    "layer (Grad-CAM)": ("layer", STAGES),
    "class (Grad-CAM at conv1)": ("target", [str(n) for n in range(999, 500, -1)]),
    "channel (activation map of conv1)": ("channel", list(range(1, 64))),
    "layer (activation map)": ("layer", STAGES[::-1]),
    "photo (activation map)": ("photo", [*PHOTOS[1:], PHOTOS[0]]),
    "channel (filter)": ("channel", list(range(40, 63))),
}
# Which controls to set before a kind of change.
BEFORE = {
    "class (Grad-CAM at conv1)": {"layer": 0},
    "channel (activation map of conv1)": {"view": 1},
    "channel (filter)": {"view": 0},
}


class Browser:
    """The far end of the explorer's widgets."""

    def __init__(self, threads: int):
        self.manager, self.client = start_new_kernel()
        said = ""

        def listen(message: dict) -> None:
            nonlocal said
            said += message["content"].get("text", "")

        reply = self.client.execute_interactive(
            OPEN.format(threads=threads), output_hook=listen, timeout=300
        )
        if reply["content"]["status"] != "ok":
            raise SystemExit("\n".join(reply["content"]["traceback"]))
        self.ids = dict(re.findall(r"^(\w+) ([0-9a-f]{32})$", said, re.M))

    def change(self, control: str, state: dict) -> float:
        """Changes a control; returns the seconds until the picture is there."""
        client = self.client
        content = {
            "comm_id": self.ids[control],
            "data": {"method": "update", "state": state, "buffer_paths": []},
        }
        message = client.session.msg("comm_msg", content)
        start = time.perf_counter()
        client.shell_channel.send(message)
        seen = None
        while True:
            answer = client.get_iopub_msg(timeout=60)
            if answer["parent_header"].get("msg_id") != message["header"]["msg_id"]:
                continue
            content = answer["content"]
            if content.get("comm_id") == self.ids["picture"]:
                seen = time.perf_counter() - start
            if content.get("execution_state") == "idle":
                return seen

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


def describe(browser: Browser, kind: str, rounds: int) -> str:
    """Measures one kind of change; returns its row of the table."""
    control, values = CHANGES[kind]
    for other, index in BEFORE.get(kind, {}).items():
        browser.change(other, {"index": index})
    seconds = []
    for value in values[:rounds]:  # a second time it would be known already
        state = {"value": value}
        if control in ("layer", "photo"):
            state = {"index": find_choice(control, value)}
        spent = browser.change(control, state)
        if spent is not None:  # else it was there already, and nothing changed
            seconds.append(spent)
    median, slowest = statistics.median(seconds), max(seconds)
    return f"| {kind} | {1000 * median:.0f} | {1000 * slowest:.0f} | {len(seconds)} |"


def find_choice(control: str, value: str) -> int:
    """Returns the place of a value among those of a dropdown."""
    if control == "layer":
        return STAGES.index(value)
    return PHOTOS.index(value)


def main(rounds: int, threads: int) -> None:
    browser = Browser(threads)
    try:
        print(f"{rounds} rounds, {threads} thread(s), milliseconds\n")
        print("| change | median | slowest | changes |\n|---|---|---|---|")
        for kind in CHANGES:
            print(describe(browser, kind, rounds), flush=True)
    finally:
        browser.close()


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:3]]
    main(*given, *(20, 2)[len(given) :])
