#include "worker/models/torchscript_source.h"

#include <bit>
#include <string_view>

#include "worker/models/expected_shapes.h"
#include "worker/nn/lite_generator.h"
#include "worker/nn/shared_latent_generator.h"

namespace atelier::models {
namespace {

// nn::PadToMultiple.
constexpr char kPadToMultiple[] = R"(
def pad_to_multiple(self, x: Tensor, multiple: int) -> Tensor:
    bottom = (multiple - x.size(2) % multiple) % multiple
    right = (multiple - x.size(3) % multiple) % multiple
    while bottom > 0 or right > 0:
        down = min(bottom, x.size(2) - 1)
        across = min(right, x.size(3) - 1)
        x = torch.reflection_pad2d(x, [0, across, 0, down])
        bottom = bottom - down
        right = right - across
    return x
)";

constexpr char kForward[] = R"(
def forward(self, x: Tensor) -> Tensor:
)";

struct ConvolutionText {
  int stride = 1;
  int padding = 0;  // zeros
  bool bias = true;
  std::string groups = "1";
};

// Writes the body of forward, in which "x" is the picture on its way. A layer is a dotted name.
class Body {
 public:
  Body& Line(const std::string& line) {
    text_ += "    " + line + "\n";
    return *this;
  }

  Body& PadToMultiple(int multiple) {
    return Line("x = self.pad_to_multiple(x, " + std::to_string(multiple) + ")");
  }
  Body& Reflect(int pixels) {
    const std::string p = std::to_string(pixels);
    return Line("x = torch.reflection_pad2d(x, [" + p + ", " + p + ", " + p + ", " + p + "])");
  }
  Body& Convolution(std::string_view layer, const ConvolutionText& options = {}) {
    return Line("x = torch.conv2d(x, " + Weights(layer, options.bias) + ", " +
                Pair(options.stride) + ", " + Pair(options.padding) + ", [1, 1], " +
                options.groups + ")");
  }
  Body& TransposedConvolution(std::string_view layer, bool bias, int stride, int padding,
                              int output_padding = 0) {
    return Line("x = torch.conv_transpose2d(x, " + Weights(layer, bias) + ", " + Pair(stride) +
                ", " + Pair(padding) + ", " + Pair(output_padding) + ", 1, [1, 1])");
  }
  // nn::UpConv: exactly twice the size.
  Body& UpConvolution(std::string_view layer, int output_padding, bool bias) {
    return TransposedConvolution(layer, bias, /*stride=*/2, /*padding=*/1, output_padding);
  }
  // nn::InstanceNorm; `layer` is empty where it has no parameters.
  Body& InstanceNorm(std::string_view layer) {
    return Line("x = torch.instance_norm(x, " +
                (layer.empty() ? "None, None" : Weights(layer, /*bias=*/true)) +
                ", None, None, True, 0.0, 1e-05, False)");
  }
  // nn::MakeNorm.
  Body& Norm(const std::string& kind, std::string_view layer) {
    if (kind == "instance") {
      return InstanceNorm("");
    }
    const std::string weights = Weights(layer, /*bias=*/true);
    if (kind == "batch") {
      return Line("x = torch.batch_norm(x, " + weights + ", " + Path(layer) + ".running_mean, " +
                  Path(layer) + ".running_var, False, 0.1, 1e-05, False)");
    }
    return kind == "layer" ? Line("x = torch.group_norm(x, 1, " + weights + ", 1e-05, False)")
                           : *this;
  }
  // nn::ConvNormRelu.
  Body& Unit(const std::string& name, int kernel, int stride) {
    Reflect(kernel / 2).Convolution(name + ".conv", {.stride = stride, .bias = false});
    return InstanceNorm(name + ".norm").Relu();
  }
  Body& Relu() { return Line("x = torch.relu(x)"); }
  Body& Tanh() { return Line("x = torch.tanh(x)"); }
  Body& DoubleNearest() {
    return Line("x = torch.upsample_nearest2d(x, [2 * x.size(2), 2 * x.size(3)])");
  }

  // The whole program of a network of pictures.
  std::string Finish() {
    return std::string(kPadToMultiple) + std::string(kForward) +
           "    height = x.size(2)\n    width = x.size(3)\n" + text_ +
           "    return x[:, :, :height, :width]\n";
  }
  // The whole program of one whose result is x as it is.
  std::string FinishAsIs() { return std::string(kForward) + text_ + "    return x\n"; }

  // An expression for a submodule; most of their names are numbers.
  static std::string Path(std::string_view layer) {
    std::string path = "self";
    while (!layer.empty()) {
      const std::size_t dot = layer.find('.');
      path.insert(0, "getattr(");
      path.append(", \"").append(layer.substr(0, dot)).append("\")");
      layer.remove_prefix(dot == std::string_view::npos ? layer.size() : dot + 1);
    }
    return path;
  }

 private:
  static std::string Weights(std::string_view layer, bool bias) {
    return Path(layer) + ".weight, " + (bias ? Path(layer) + ".bias" : "None");
  }
  static std::string Pair(int value) {
    return "[" + std::to_string(value) + ", " + std::to_string(value) + "]";
  }

  std::string text_;
};

// nn::ResnetGenerator; the indices are those of its layers.
std::string ResnetSource(const Architecture& a) {
  const bool bias = a.norm == "instance";
  Body body;
  body.PadToMultiple(4).Reflect(3).Convolution("model.1", {.bias = bias});
  body.Norm(a.norm, "model.2").Relu();
  int next = 4;
  for (int down = 0; down < 2; ++down) {
    body.Convolution(ChildName("model", next),
                     {.stride = a.antialias ? 1 : 2, .padding = 1, .bias = bias});
    body.Norm(a.norm, ChildName("model", next + 1)).Relu();
    if (a.antialias) {
      body.Reflect(1).Line("x = torch.conv2d(x, " + Body::Path(ChildName("model", next + 3)) +
                           ".filt, None, [2, 2], [0, 0], [1, 1], x.size(1))");
    }
    next += a.antialias ? 4 : 3;
  }
  for (const int end = next + NumberOf(a); next < end; ++next) {
    const std::string block = ChildName("model", next) + ".conv_block";
    body.Line("skip = x");
    body.Reflect(1).Convolution(block + ".1", {.bias = bias}).Norm(a.norm, block + ".2").Relu();
    body.Reflect(1).Convolution(block + ".5", {.bias = bias}).Norm(a.norm, block + ".6");
    body.Line("x = x + skip");
  }
  for (int up = 0; up < 2; ++up) {
    if (a.antialias) {
      ++next;
      body.Line("x = torch.upsample_bilinear2d(x, [2 * x.size(2), 2 * x.size(3)], False)");
      body.Convolution(ChildName("model", next), {.padding = 1, .bias = bias});
    } else if (a.resize_convolution) {
      body.DoubleNearest().Reflect(1).Convolution(ChildName("model", next), {.bias = bias});
    } else {
      body.UpConvolution(ChildName("model", next), /*output_padding=*/1, bias);
    }
    body.Norm(a.norm, ChildName("model", next + 1)).Relu();
    next += 3;
  }
  return body.Reflect(3).Convolution(ChildName("model", next + 1)).Tanh().Finish();
}

// nn::UnetGenerator: its nested blocks on the way in, then on the way out.
std::string UnetSource(const Architecture& a) {
  const bool bias = a.norm == "instance";
  const int downs = std::countr_zero(static_cast<unsigned>(NumberOf(a)));
  const auto name = [](int depth) {
    std::string block = "model.model";
    for (int i = 0; i < depth; ++i) {
      block += i == 0 ? ".1.model" : ".3.model";
    }
    return block;
  };
  Body body;
  body.PadToMultiple(1 << downs);
  body.Convolution("model.model.0", {.stride = 2, .padding = 1, .bias = bias});
  for (int depth = 1; depth < downs; ++depth) {
    // What skips a block is the activated input: the reference activates in place.
    const std::string skip = "skip" + std::to_string(depth);
    body.Line(skip + " = torch.leaky_relu(x, 0.2)").Line("x = " + skip);
    body.Convolution(ChildName(name(depth), 1), {.stride = 2, .padding = 1, .bias = bias});
    if (depth < downs - 1) {
      body.Norm(a.norm, ChildName(name(depth), 2));
    }
  }
  for (int depth = downs - 1; depth > 0; --depth) {
    const int up = depth == downs - 1 ? 3 : 5;
    body.Relu().UpConvolution(ChildName(name(depth), up), /*output_padding=*/0, bias);
    body.Norm(a.norm, ChildName(name(depth), up + 1));
    body.Line("x = torch.cat([skip" + std::to_string(depth) + ", x], 1)");
  }
  body.Relu().UpConvolution("model.model.3", /*output_padding=*/0, /*bias=*/true);
  return body.Tanh().Finish();
}

// nn::TransformerNet.
std::string TransformerSource() {
  Body body;
  const auto unit = [&body](const std::string& convolution, int kernel, int stride,
                            const std::string& norm) {
    body.Reflect(kernel / 2).Convolution(convolution + ".conv2d", {.stride = stride});
    body.InstanceNorm(norm);
  };
  body.PadToMultiple(4).Line("x = (x + 1.0) * 127.5");
  unit("conv1", 9, 1, "in1");
  body.Relu();
  unit("conv2", 3, 2, "in2");
  body.Relu();
  unit("conv3", 3, 2, "in3");
  body.Relu();
  for (int i = 1; i <= 5; ++i) {
    const std::string block = "res" + std::to_string(i);
    body.Line("skip = x");
    unit(block + ".conv1", 3, 1, block + ".in1");
    body.Relu();
    unit(block + ".conv2", 3, 1, block + ".in2");
    body.Line("x = x + skip");
  }
  body.DoubleNearest();
  unit("deconv1", 3, 1, "in4");
  body.Relu().DoubleNearest();
  unit("deconv2", 3, 1, "in5");
  body.Relu().Reflect(4).Convolution("deconv3.conv2d");
  return body.Line("x = torch.clamp(x / 127.5 - 1.0, -1.0, 1.0)").Finish();
}

// How far the tile in row i and column j is rolled; rolling takes any number.
std::string RollText(const nn::LiteNetwork::Roll& roll) {
  const auto term = [](int factor, const char* of) { return std::to_string(factor) + of; };
  return term(roll.row2, " * i * i + ") + term(roll.both, " * i * j + ") +
         term(roll.column2, " * j * j + ") + term(roll.row, " * i + ") + term(roll.column, " * j");
}

// nn::LiteGenerator with its default options.
std::string LiteSource() {
  const nn::LiteGenerator::Options o;
  Body body;
  body.PadToMultiple(4).Unit("stem", 5, 2).Unit("down", 3, 2);
  body.Line("noise = torch.conv2d(self.noise_tile, self.noise.weight)")
      .Line("rows: List[Tensor] = []")
      .Line("for i in range((x.size(2) + noise.size(2) - 1) // noise.size(2)):")
      .Line("    row: List[Tensor] = []")
      .Line("    for j in range((x.size(3) + noise.size(3) - 1) // noise.size(3)):")
      .Line("        row.append(torch.roll(noise, [" + RollText(nn::LiteNetwork::kRollDown) + ", " +
            RollText(nn::LiteNetwork::kRollRight) + "], [2, 3]))")
      .Line("    rows.append(torch.cat(row, 3))")
      .Line("x = x + torch.cat(rows, 2)[:, :, :x.size(2), :x.size(3)]");
  for (int i = 0; i < o.blocks; ++i) {
    const std::string block = ChildName("blocks", i);
    body.Line("skip = x");
    body.Convolution(block + ".depthwise",
                     {.padding = o.block_kernel / 2, .bias = false, .groups = "x.size(1)"});
    body.InstanceNorm(block + ".norm").Convolution(block + ".expand").Relu();
    body.Convolution(block + ".project").Line("x = x + skip");
  }
  body.Convolution("reduce", {.bias = false}).DoubleNearest();
  body.Unit("up", 3, 1).Convolution("shrink").Relu().DoubleNearest();
  return body.Reflect(2).Convolution("head").Tanh().Finish();
}

// nn::SharedLatentGenerator with its default numbers of blocks, from source to target.
std::string SharedLatentSource() {
  const nn::SharedLatentGenerator::Options o;
  const int own_blocks = o.blocks - o.shared_blocks;
  Body body;
  const auto blocks = [&body](const std::string& sequence, int first, int count) {
    for (int i = first; i < first + count; ++i) {
      const std::string block = ChildName(sequence, i);
      body.Line("skip = x").Unit(block + ".first", 3, 1);
      body.Reflect(1).Convolution(block + ".second", {.bias = false});
      body.InstanceNorm(block + ".norm").Line("x = x + skip");
    }
  };
  body.PadToMultiple(4).Unit("encoder_source.0", 7, 1);
  body.Unit("encoder_source.1", 3, 2).Unit("encoder_source.2", 3, 2);
  blocks("encoder_source", 3, own_blocks);
  blocks("shared_encoder", 0, o.shared_blocks);
  blocks("shared_decoder", 0, o.shared_blocks);
  blocks("decoder_target", 0, own_blocks);
  int next = own_blocks;
  for (int up = 0; up < 2; ++up, next += 3) {
    body.DoubleNearest().Reflect(1).Convolution(ChildName("decoder_target", next), {.bias = false});
    body.InstanceNorm(ChildName("decoder_target", next + 1)).Relu();
  }
  return body.Reflect(3).Convolution(ChildName("decoder_target", next + 1)).Tanh().Finish();
}

// nn::DcganGenerator.
std::string DcganSource(const Architecture& a) {
  Body body;
  body.Line("x = x.reshape([x.size(0), -1, 1, 1])");
  body.TransposedConvolution("main.0", /*bias=*/false, /*stride=*/1, /*padding=*/0);
  int next = 0;
  for (int side = 4; side < a.image_size; side *= 2) {
    body.Norm("batch", ChildName("main", next + 1)).Relu();
    next += 3;
    body.UpConvolution(ChildName("main", next), /*output_padding=*/0, /*bias=*/false);
  }
  return body.Tanh().FinishAsIs();
}

}  // namespace

absl::StatusOr<std::string> TorchScriptSource(const Architecture& architecture) {
  if (architecture.generator.starts_with("resnet-")) {
    return ResnetSource(architecture);
  }
  if (architecture.generator.starts_with("unet-")) {
    return UnetSource(architecture);
  }
  if (architecture.generator == "transformer") {
    return TransformerSource();
  }
  if (architecture.generator == "lite") {
    return LiteSource();
  }
  if (architecture.generator == "shared-latent") {
    return SharedLatentSource();
  }
  if (architecture.generator == "dcgan" && !architecture.resize_convolution) {
    return DcganSource(architecture);
  }
  return absl::UnimplementedError("The generator \"" + architecture.generator +
                                  "\" cannot be exported as TorchScript.");
}

}  // namespace atelier::models
