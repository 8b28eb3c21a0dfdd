"""Symmetric block matrices, with a lower block for each pair of layers, and their assembly into one matrix."""

from __future__ import annotations

import math

from ffnn_xp._lib.typing import Array, Namespace
from ffnn_xp.backends import pairs, writable
from ffnn_xp.network.layout import Layout

BlockMatrix = dict[tuple[int, int], Array]
"""Lower blocks of a symmetric matrix: (m, l), l <= m, to ``(..., p_m, p_l)``, or to what `in_order` accepts."""


def assemble(layout: Layout, lead: int, panel_bytes: int, xp: Namespace, blocks: BlockMatrix) -> Array:
    """Assemble a symmetric matrix ``(..., p, p)`` from its lower blocks, which are deleted.

    There are `lead` axes in front. The blocks of one layer are unfolded in panels of at most `panel_bytes`.
    """
    if writable(xp):
        first, p, ends = blocks[0, 0], layout.n_parameters, layout.offsets
        whole = xp.empty((*first.shape[:lead], p, p), dtype=first.dtype, device=first.device)
        while blocks:
            (m, l), block = blocks.popitem()
            rows, columns = slice(ends[m], ends[m + 1]), slice(ends[l], ends[l + 1])
            if block.ndim == lead + 3:
                _unfold(xp, layout.shapes[m], block[..., 0], whole[..., rows, columns], panel_bytes)
                continue
            block = in_order(xp, layout, (m, l), block, lead)
            whole[..., rows, columns] = block
            if m != l:
                whole[..., columns, rows] = block.mT
        return whole
    lines = []
    blocks = {at: in_order(xp, layout, at, block, lead) for at, block in blocks.items()}
    for m in range(layout.n_layers):
        line = [blocks[m, l] for l in range(m + 1)]
        line += [blocks[l, m].mT for l in range(m + 1, layout.n_layers)]
        lines.append(xp.concat(line, axis=-1))
    return xp.concat(lines, axis=-2)


def _unfold(xp: Namespace, shape: tuple[int, int], block: Array, out: Array, panel_bytes: int) -> None:
    """Write one layer's block into `out` ``(..., h c, h c)``, some units at a time."""
    h, c = shape
    panel = max(1, panel_bytes // (8 * h * c * c * math.prod(block.shape[:-2])))
    for at in range(0, h, panel):
        units = range(at, min(at + panel, h))
        out[..., c * units.start : c * units.stop, :] = _unfolded(xp, shape, block, units)


def in_order(xp: Namespace, layout: Layout, at: tuple[int, int], block: Array, lead: int) -> Array:
    """Return one block as ``(..., p_m, p_l)``, with `lead` axes in front.

    A block of two layers may be given as ``(..., h, h, c, c)``. That of one layer is symmetric in its units and in its
    columns, and may hold each pair of them once, with a last axis of 1: ``(..., h (h + 1) / 2, c (c + 1) / 2, 1)``.
    """
    if block.ndim == lead + 2:
        return block
    if block.ndim == lead + 3:
        return _unfolded(xp, layout.shapes[at[0]], block[..., 0], range(layout.shapes[at[0]][0]))
    block = permute(xp, block, (0, 2, 1, 3))
    return xp.reshape(block, (*block.shape[:-4], layout.sizes[at[0]], layout.sizes[at[1]]))


def _unfolded(xp: Namespace, shape: tuple[int, int], block: Array, rows: range) -> Array:
    """Unfold the rows of some units ``(..., r c, h c)`` of a layer's ``(..., h (h + 1) / 2, c (c + 1) / 2)`` block."""
    (h, c), r = shape, len(rows)
    units = pairs(xp, h, block)[2][rows.start * h : rows.stop * h]
    block = xp.take(xp.take(block, units, axis=-2), pairs(xp, c, block)[2], axis=-1)
    block = permute(xp, xp.reshape(block, (*block.shape[:-2], r, h, c, c)), (0, 2, 1, 3))
    return xp.reshape(block, (*block.shape[:-4], r * c, h * c))


def permute(xp: Namespace, T: Array, order: tuple[int, int, int, int]) -> Array:
    """Put the last four axes into another order."""
    lead = T.ndim - 4
    return xp.permute_dims(T, (*range(lead), *(lead + i for i in order)))
