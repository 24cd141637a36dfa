// Augmentation of the data: one random affine map and flip a picture, on decoded pictures on the
// CPU. Pure functions, thread-safe.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "common/train_config.h"
#include "worker/train/random.h"

namespace atelier::train {

// One draw of the options' ranges.
struct Warp {
  double angle = 0;    // degrees, clockwise as one looks at the picture
  double shear = 0;    // tangent: how far a row moves to the right for each row further down
  double zoom = 1;     // above 1 enlarges
  double shift_x = 0;  // share of the window's width, to the right
  double shift_y = 0;  // share of the window's height, down
  bool flip = false;   // left and right, before all else

  bool IsIdentity() const;
};

// angle in ±rotation, shear in ±shear, zoom in 1 ± zoom, shifts in ±shift, all uniform; flip with
// probability 1/2 when it is on. Options that are off cost their draw all the same, so that turning
// one on does not change the others.
Warp DrawWarp(const AugmentConfig& options, KeyedRandom random);

// The part of a picture that is learnt from, in pixels.
struct Window {
  int top = 0;
  int left = 0;
  int height = 0;
  int width = 0;
};

// The window [window.height, window.width, C] of uint8 or float pixels [H, W, C] after they are
// flipped, sheared, zoomed, turned and shifted about the window's middle. One bilinear resampling;
// none when nothing but a flip is drawn, which is exact. What lies around the window moves in;
// beyond the picture's edge it is mirrored (`reflect`) or its last pixel is repeated.
at::Tensor ApplyWarp(const at::Tensor& pixels, const Window& window, const Warp& warp,
                     bool reflect);

}  // namespace atelier::train
