#include "worker/models/expected_shapes.h"

#include <bit>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "worker/nn/lite_generator.h"
#include "worker/nn/shared_latent_generator.h"

namespace atelier::models {
namespace {

using Shape = std::vector<std::int64_t>;

// Adds layers by name.
class Layers {
 public:
  explicit Layers(std::string norm) : norm_(std::move(norm)) {}

  // weight: [out, in, kernel, kernel], or with in and out exchanged for transposed convolutions.
  void Convolution(const std::string& name, Shape weight, std::int64_t bias) {
    shapes_[name + ".weight"] = std::move(weight);
    if (bias > 0) {
      shapes_[name + ".bias"] = {bias};
    }
  }
  // Followed by a norm: see nn::ConvolutionHasBias.
  void NormedConvolution(const std::string& name, Shape weight, std::int64_t channels) {
    Convolution(name, std::move(weight), norm_ == "instance" ? channels : 0);
  }
  void Affine(const std::string& name, std::int64_t channels) {
    shapes_[name + ".weight"] = {channels};
    shapes_[name + ".bias"] = {channels};
  }
  void Norm(const std::string& name, std::int64_t channels) {
    if (norm_ == "batch") {
      shapes_[name + ".running_mean"] = {channels};
      shapes_[name + ".running_var"] = {channels};
      shapes_[name + ".num_batches_tracked"] = {};
    }
    if (norm_ == "batch" || norm_ == "layer") {
      Affine(name, channels);
    }
  }
  // nn::ConvNormRelu.
  void Unit(const std::string& name, Shape weight) {
    Affine(name + ".norm", weight.front());
    Convolution(name + ".conv", std::move(weight), 0);
  }
  void Buffer(const std::string& name, Shape shape) { shapes_[name] = std::move(shape); }

  Shapes Take() { return std::move(shapes_); }

 private:
  std::string norm_;
  Shapes shapes_;
};

// The indices of nn::ResnetGenerator's layers.
Shapes ResnetShapes(const Architecture& a) {
  Layers layers(a.norm);
  const std::int64_t ngf = a.base_channels;
  const int step = a.antialias ? 4 : 3;
  layers.NormedConvolution("model.1", {ngf, 3, 7, 7}, ngf);
  layers.Norm("model.2", ngf);
  int next = 4;
  for (const std::int64_t out : {2 * ngf, 4 * ngf}) {
    layers.NormedConvolution(ChildName("model", next), {out, out / 2, 3, 3}, out);
    layers.Norm(ChildName("model", next + 1), out);
    if (a.antialias) {
      layers.Buffer(ChildName("model", next + 3) + ".filt", {out, 1, 3, 3});
    }
    next += step;
  }
  for (const int end = next + NumberOf(a); next < end; ++next) {
    const std::string block = ChildName("model", next) + ".conv_block";
    for (const int convolution : {1, 5}) {
      layers.NormedConvolution(ChildName(block, convolution), {4 * ngf, 4 * ngf, 3, 3}, 4 * ngf);
      layers.Norm(ChildName(block, convolution + 1), 4 * ngf);
    }
  }
  for (const std::int64_t in : {4 * ngf, 2 * ngf}) {
    if (a.antialias) {
      layers.Buffer(ChildName("model", next++) + ".filt", {in, 1, 4, 4});
    }
    const bool transposed = !a.antialias && !a.resize_convolution;
    layers.NormedConvolution(ChildName("model", next),
                             transposed ? Shape{in, in / 2, 3, 3} : Shape{in / 2, in, 3, 3},
                             in / 2);
    layers.Norm(ChildName("model", next + 1), in / 2);
    next += 3;
  }
  layers.Convolution(ChildName("model", next + 1), {3, ngf, 7, 7}, 3);
  if (a.multi_level) {
    layers.Convolution("rgb_quarter", {3, 4 * ngf, 1, 1}, 3);
    layers.Convolution("rgb_half", {3, 2 * ngf, 1, 1}, 3);
  }
  return layers.Take();
}

// The nested blocks of nn::UnetGenerator, from the outermost in.
Shapes UnetShapes(const Architecture& a) {
  Layers layers(a.norm);
  const std::int64_t ngf = a.base_channels;
  const int downs = std::countr_zero(static_cast<unsigned>(NumberOf(a)));
  layers.NormedConvolution("model.model.0", {ngf, 3, 4, 4}, ngf);
  layers.Convolution("model.model.3", {2 * ngf, 3, 4, 4}, 3);
  std::string block = "model.model.1.model";
  std::int64_t outer = ngf;
  for (int depth = 1; depth < downs; ++depth) {
    const std::int64_t inner = depth < 4 ? 2 * outer : outer;
    const bool innermost = depth == downs - 1;
    layers.NormedConvolution(ChildName(block, 1), {inner, outer, 4, 4}, inner);
    if (innermost) {
      layers.NormedConvolution(ChildName(block, 3), {inner, outer, 4, 4}, outer);
      layers.Norm(ChildName(block, 4), outer);
    } else {
      layers.Norm(ChildName(block, 2), inner);
      layers.NormedConvolution(ChildName(block, 5), {2 * inner, outer, 4, 4}, outer);
      layers.Norm(ChildName(block, 6), outer);
    }
    block += ".3.model";
    outer = inner;
  }
  return layers.Take();
}

Shapes TransformerShapes(const Architecture& a) {
  Layers layers("");
  const std::int64_t width = a.base_channels;
  const auto unit = [&layers](const std::string& convolution, const std::string& norm,
                              Shape weight) {
    const std::int64_t out = weight.front();
    layers.Convolution(convolution + ".conv2d", std::move(weight), out);
    layers.Affine(norm, out);
  };
  unit("conv1", "in1", {width, 3, 9, 9});
  unit("conv2", "in2", {2 * width, width, 3, 3});
  unit("conv3", "in3", {4 * width, 2 * width, 3, 3});
  for (int i = 1; i <= 5; ++i) {
    const std::string block = "res" + std::to_string(i);
    unit(block + ".conv1", block + ".in1", {4 * width, 4 * width, 3, 3});
    unit(block + ".conv2", block + ".in2", {4 * width, 4 * width, 3, 3});
  }
  unit("deconv1", "in4", {2 * width, 4 * width, 3, 3});
  unit("deconv2", "in5", {width, 2 * width, 3, 3});
  layers.Convolution("deconv3.conv2d", {3, width, 9, 9}, 3);
  return layers.Take();
}

Shapes LiteShapes() {
  const nn::LiteGenerator::Options o;
  constexpr std::int64_t kNoise = 8;
  constexpr std::int64_t kTile = 64;
  Layers layers("");
  layers.Unit("stem", {o.stem_channels, 3, 5, 5});
  layers.Unit("down", {o.channels, o.stem_channels, 3, 3});
  layers.Convolution("noise", {o.channels, kNoise, 1, 1}, 0);
  layers.Buffer("noise_tile", {1, kNoise, kTile, kTile});
  for (int i = 0; i < o.blocks; ++i) {
    const std::string block = ChildName("blocks", i);
    layers.Convolution(block + ".depthwise", {o.channels, 1, o.block_kernel, o.block_kernel}, 0);
    layers.Affine(block + ".norm", o.channels);
    layers.Convolution(block + ".expand", {o.expansion, o.channels, 1, 1}, o.expansion);
    layers.Convolution(block + ".project", {o.channels, o.expansion, 1, 1}, o.channels);
  }
  layers.Convolution("reduce", {o.up_channels, o.channels, 1, 1}, 0);
  layers.Unit("up", {o.up_channels, o.up_channels, 3, 3});
  layers.Convolution("shrink", {o.head_channels, o.up_channels, 1, 1}, o.head_channels);
  layers.Convolution("head", {3, o.head_channels, 5, 5}, 3);
  return layers.Take();
}

// The indices of nn::SharedLatentGenerator's layers.
Shapes SharedLatentShapes(const Architecture& a) {
  const nn::SharedLatentGenerator::Options o;
  const std::int64_t width = a.base_channels;
  const int own_blocks = o.blocks - o.shared_blocks;
  Layers layers("");
  const auto block = [&](const std::string& name) {
    layers.Unit(name + ".first", {4 * width, 4 * width, 3, 3});
    layers.Convolution(name + ".second", {4 * width, 4 * width, 3, 3}, 0);
    layers.Affine(name + ".norm", 4 * width);
  };
  for (const std::string domain : {"source", "target"}) {
    const std::string encoder = "encoder_" + domain;
    layers.Unit(ChildName(encoder, 0), {width, 3, 7, 7});
    layers.Unit(ChildName(encoder, 1), {2 * width, width, 3, 3});
    layers.Unit(ChildName(encoder, 2), {4 * width, 2 * width, 3, 3});
    const std::string decoder = "decoder_" + domain;
    for (int i = 0; i < own_blocks; ++i) {
      block(ChildName(encoder, 3 + i));
      block(ChildName(decoder, i));
    }
    int next = own_blocks;
    for (const std::int64_t out : {2 * width, width}) {
      layers.Convolution(ChildName(decoder, next), {out, 2 * out, 3, 3}, 0);
      layers.Affine(ChildName(decoder, next + 1), out);
      next += 3;
    }
    layers.Convolution(ChildName(decoder, next + 1), {3, width, 7, 7}, 3);
  }
  for (int i = 0; i < o.shared_blocks; ++i) {
    block(ChildName("shared_encoder", i));
    block(ChildName("shared_decoder", i));
  }
  return layers.Take();
}

// Noise to 4x4, then doublings: transposed convolutions at main.0, main.3, ..., a batch norm behind
// each but the last.
Shapes DcganShapes(const Architecture& a) {
  Layers layers("batch");
  std::int64_t in = a.latent_size;
  std::int64_t out = std::int64_t{a.base_channels} * a.image_size / 8;
  int next = 0;
  for (; out >= a.base_channels; out /= 2, next += 3) {
    layers.Convolution(ChildName("main", next), {in, out, 4, 4}, 0);
    layers.Norm(ChildName("main", next + 1), out);
    in = out;
  }
  layers.Convolution(ChildName("main", next), {in, 3, 4, 4}, 0);
  return layers.Take();
}

bool Is(const Architecture& architecture, std::string_view start) {
  return architecture.generator.starts_with(start);
}

}  // namespace

int NumberOf(const Architecture& architecture) {
  const std::size_t dash = architecture.generator.find('-');
  int number = 0;
  if (dash != std::string::npos) {
    for (const char digit : architecture.generator.substr(dash + 1, 4)) {
      ATELIER_CHECK(digit >= '0' && digit <= '9');
      number = 10 * number + (digit - '0');
    }
  }
  return number;
}

std::string Describe(const Architecture& architecture) {
  std::string text = architecture.generator;
  if (architecture.base_channels > 0) {
    text += " with " + std::to_string(architecture.base_channels) + " base channels";
  }
  if (!architecture.norm.empty()) {
    text += ", " + (architecture.norm == "none" ? "no" : architecture.norm) + " norm";
  }
  text += architecture.antialias ? ", antialias" : "";
  text += architecture.resize_convolution ? ", resize_convolution" : "";
  text += architecture.multi_level ? ", multi_level" : "";
  text += architecture.int8 ? ", int8" : "";
  if (architecture.image_size > 0) {
    text += ", " + std::to_string(architecture.latent_size) + " numbers of noise, " +
            std::to_string(architecture.image_size) + " pixels";
  }
  return text;
}

Shapes ExpectedShapes(const Architecture& architecture) {
  if (Is(architecture, "resnet-")) {
    return ResnetShapes(architecture);
  }
  if (Is(architecture, "unet-")) {
    return UnetShapes(architecture);
  }
  if (architecture.generator == "transformer") {
    return TransformerShapes(architecture);
  }
  if (architecture.generator == "dcgan") {
    return DcganShapes(architecture);
  }
  if (architecture.generator == "shared-latent") {
    return SharedLatentShapes(architecture);
  }
  ATELIER_CHECK(architecture.generator == "lite");
  return LiteShapes();
}

}  // namespace atelier::models
