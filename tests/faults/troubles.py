# SPDX-License-Identifier: BSD-3-Clause
"""What befalls a member, and what ends it."""

TROUBLES = {
    "killed": (lambda node, others: node.kill(), lambda node: node.start()),
    "cut off": (lambda node, others: node.cut(others), lambda node: node.lab.heal()),
    "deaf": (lambda node, others: node.cut(others, is_heard=True), lambda node: node.lab.heal()),
    "unheard": (lambda node, others: node.cut(others, hears=True), lambda node: node.lab.heal()),
    "stopped": (lambda node, others: node.pause(), lambda node: node.resume()),
}
