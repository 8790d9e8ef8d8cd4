# SPDX-License-Identifier: BSD-3-Clause
"""What befalls a member, and what ends it."""


def restart(node):
    node.disk()
    if node.process.poll() is None:
        node.kill()
    node.start()


def end_well(node):
    """SIGTERM; it hands over what it serves."""
    node.process.terminate()
    assert node.process.wait(60) == 0


TROUBLES = {
    "killed": (lambda node, others: node.kill(), lambda node: node.start()),
    "cut off": (lambda node, others: node.cut(others), lambda node: node.lab.heal()),
    "deaf": (lambda node, others: node.cut(others, is_heard=True), lambda node: node.lab.heal()),
    "unheard": (lambda node, others: node.cut(others, hears=True), lambda node: node.lab.heal()),
    "stopped": (lambda node, others: node.pause(), lambda node: node.resume()),
}

# As well: what does not always take a member from the others. These want a lab whose disks and clocks are bad.
MORE_TROUBLES = {
    "ended": (lambda node, others: end_well(node), lambda node: node.start()),
    "rebooted": (lambda node, others: node.kill(), lambda node: node.reboot()),
    "far away": (lambda node, others: node.net.roughen(60, 60), lambda node: node.lab.heal()),
    "packets overtaking": (lambda node, others: node.net.roughen(0, 50, 0.02, 0.02), lambda node: node.lab.heal()),
    "losing packets": (lambda node, others: node.lose_packets(0.15), lambda node: node.lab.heal()),
    "clock ahead": (lambda node, others: node.clock(3600 * 1000), lambda node: node.clock()),
    "clock behind": (lambda node, others: node.clock(-5000), lambda node: node.clock()),
    "slow disk": (lambda node, others: node.disk("sync 0 400 appendonlydir"), lambda node: node.disk()),
    "slow writes": (lambda node, others: node.disk("write 0 30 appendonlydir"), lambda node: node.disk()),
    "full disk": (lambda node, others: node.disk("write 28 0 appendonlydir"), lambda node: node.disk()),
    "failing disk": (lambda node, others: node.disk("sync 5 0 appendonlydir"), restart),
    "rewriting": (lambda node, others: node.ask("BGREWRITEAOF"), lambda node: None),
}
