"""Many small square images through the vision tower of a Qwen2.5-VL at once.

The library goes through images one by one, since they may differ in size; here all are of one size,
and training on a CPU is twice as fast. The numbers are the same (tests hold them to the library's).
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision

_ROTARY_BASE = 10_000.0


class ImageEncoder:
    """Encodes images of one size; the weights are the model's own, and learn with it.

    Args:
        model: a Qwen2.5-VL whose vision layers all attend over the whole image.
        side_px: of every image.
    """

    def __init__(self, model: PreTrainedModel, side_px: int) -> None:
        config = model.config.vision_config
        self._visual = model.model.visual
        self._patch, self._merge = config.patch_size, config.spatial_merge_size
        self._heads = config.num_heads
        self._grid = side_px // self._patch
        self._mean = torch.tensor(OPENAI_CLIP_MEAN).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(OPENAI_CLIP_STD).view(1, 3, 1, 1) * 255
        self._cos, self._sin = self._turns(config.hidden_size // config.num_heads)

    def encode(self, images: NDArray[np.uint8]) -> Tensor:
        """Return what stands for images in the text: (images, tokens, hidden).

        Args:
            images: (images, side, side, 3), RGB.
        """
        num_images, num_patches = len(images), self._grid**2
        hidden = self._embed(self._cut(images)).view(num_images, num_patches, -1)
        for block in self._visual.blocks:
            hidden = hidden + self._attend(block.attn, block.norm1(hidden))
            hidden = hidden + block.mlp(block.norm2(hidden))
        merged: Tensor = self._visual.merger(hidden.flatten(0, 1))
        return merged.view(num_images, -1, merged.shape[-1])

    def _cut(self, images: NDArray[np.uint8]) -> Tensor:
        """Return patches as the processor orders them, a token's beside each other: (n, pixels)."""
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
        pixels = (pixels - self._mean) / self._std
        blocks = self._grid // self._merge
        side = (blocks, self._merge, self._patch)
        cut = pixels.view(len(images), 3, *side, *side)
        cut = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)
        return cut.reshape(len(images) * self._grid**2, -1)

    def _embed(self, patches: Tensor) -> Tensor:
        """Return the patches' channels: a still shows every frame the same, so weights add up."""
        weights = self._visual.patch_embed.proj.weight.sum(2).flatten(1)
        return functional.linear(patches, weights)

    def _attend(self, attention: nn.Module, hidden: Tensor) -> Tensor:
        images, patches, channels = hidden.shape
        mixed = attention.qkv(hidden).view(images, patches, 3, self._heads, -1)
        query, key, value = mixed.unbind(2)
        query, key = apply_rotary_pos_emb_vision(query, key, self._cos, self._sin)
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        scores = (query @ key.transpose(-1, -2)) * query.shape[-1] ** -0.5
        seen = scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value
        projected: Tensor = attention.proj(seen.transpose(1, 2).reshape(images, patches, channels))
        return projected

    def _turns(self, head_dim: int) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of the rotary positions, (patches, head) each."""
        blocks = self._grid // self._merge
        row, column = torch.meshgrid(
            torch.arange(self._grid), torch.arange(self._grid), indexing="ij"
        )
        places = [
            each.reshape(blocks, self._merge, blocks, self._merge).permute(0, 2, 1, 3).flatten()
            for each in (row, column)
        ]
        quarter = torch.arange(0, head_dim // 2, 2).float() / (head_dim // 2)
        speeds = 1 / _ROTARY_BASE**quarter
        angles = torch.cat([place[:, None] * speeds for place in places], dim=-1)
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()
