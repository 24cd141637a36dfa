// Line drawings made from photographs: the inputs of pix2pix's "edges" data sets.
#pragma once

#include <ATen/core/Tensor.h>

namespace atelier::image {

// uint8 [H, W, 3] RGB → uint8 [H, W, 3]: black lines on white, by Canny's detector (Canny 1986);
// its upper threshold is the picture's own by Otsu 1979, the lower one 40 % of it. Pure,
// thread-safe.
at::Tensor DrawEdges(const at::Tensor& picture);

// Whether a drawing has not one line.
bool IsEmptyDrawing(const at::Tensor& drawing);

}  // namespace atelier::image
