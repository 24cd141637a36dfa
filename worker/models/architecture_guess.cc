#include "worker/models/architecture_guess.h"

#include <algorithm>
#include <optional>
#include <string_view>

namespace atelier::models {
namespace {

using Shape = std::vector<std::int64_t>;

constexpr int kMaxChannels = 4096;
constexpr int kMaxBlocks = 99;
constexpr int kMinDowns = 5;
constexpr int kMaxDowns = 10;
// Of DCGAN's generator, from 4 pixels: 64, 128 and 256.
constexpr int kMinDoublings = 4;
constexpr int kMaxDoublings = 6;

// The names and shapes of a file.
class File {
 public:
  explicit File(const Shapes& shapes) : shapes_(shapes) {}

  bool Has(const std::string& name) const { return shapes_.contains(name); }

  // The shape of a convolution's weight, or nullptr.
  const Shape* Weight(const std::string& layer) const {
    const auto found = shapes_.find(layer + ".weight");
    return found != shapes_.end() && found->second.size() == 4 ? &found->second : nullptr;
  }

  // The channels on one side of a convolution, within reason.
  std::optional<int> Channels(const std::string& layer, int side) const {
    const Shape* weight = Weight(layer);
    if (weight == nullptr || (*weight)[side] < 1 || (*weight)[side] > kMaxChannels) {
      return std::nullopt;
    }
    return static_cast<int>((*weight)[side]);
  }

  // Of a convolution and the layer behind it; see nn::ConvolutionHasBias.
  std::string Norm(const std::string& convolution, const std::string& norm) const {
    if (!Has(norm + ".weight")) {
      return Has(convolution + ".bias") ? "instance" : "none";
    }
    return Has(norm + ".running_mean") ? "batch" : "layer";
  }

 private:
  const Shapes& shapes_;
};

std::optional<Architecture> GuessResnet(const File& file) {
  const std::optional<int> ngf = file.Channels("model.1", 0);
  if (!ngf) {
    return std::nullopt;
  }
  Architecture guess{.base_channels = *ngf, .norm = file.Norm("model.1", "model.2")};
  guess.antialias = file.Has("model.7.filt");
  guess.multi_level = file.Has("rgb_half.weight");
  const int first = guess.antialias ? 12 : 10;
  int blocks = 0;
  while (blocks < kMaxBlocks &&
         file.Has("model." + std::to_string(first + blocks) + ".conv_block.1.weight")) {
    ++blocks;
  }
  if (blocks == 0) {
    return std::nullopt;
  }
  // [out, in, 3, 3] is a convolution, [in, out, 3, 3] a transposed one.
  const Shape* up = file.Weight("model." + std::to_string(first + blocks));
  guess.resize_convolution = !guess.antialias && up != nullptr && (*up)[0] < (*up)[1];
  guess.generator = "resnet-" + std::to_string(blocks);
  return guess;
}

std::optional<Architecture> GuessUnet(const File& file) {
  const std::optional<int> ngf = file.Channels("model.model.0", 0);
  if (!ngf) {
    return std::nullopt;
  }
  int downs = 1;
  std::string block = "model.model.1.model";
  for (; downs < kMaxDowns && file.Has(block + ".1.weight"); ++downs) {
    block += ".3.model";
  }
  return Architecture{.generator = "unet-" + std::to_string(1 << std::max(downs, kMinDowns)),
                      .base_channels = *ngf,
                      .norm = file.Norm("model.model.1.model.1", "model.model.1.model.2")};
}

std::optional<Architecture> GuessTransformer(const File& file) {
  const std::optional<int> channels = file.Channels("conv1.conv2d", 0);
  if (!channels) {
    return std::nullopt;
  }
  return Architecture{.generator = "transformer", .base_channels = *channels};
}

std::optional<Architecture> GuessLite(const File& file) {
  if (file.Weight("stem.conv") == nullptr || !file.Has("noise_tile")) {
    return std::nullopt;
  }
  return Architecture{.generator = "lite"};
}

std::optional<Architecture> GuessSharedLatent(const File& file) {
  const std::optional<int> channels = file.Channels("encoder_source.0.conv", 0);
  if (!channels) {
    return std::nullopt;
  }
  return Architecture{.generator = "shared-latent", .base_channels = *channels};
}

std::optional<Architecture> GuessDcgan(const File& file) {
  const std::optional<int> latent = file.Channels("main.0", 0);
  // A discriminator has no norm behind its first layer.
  if (!latent || !file.Has("main.1.weight")) {
    return std::nullopt;
  }
  int doublings = 0;
  while (doublings < kMaxDoublings &&
         file.Weight("main." + std::to_string(3 * (doublings + 1))) != nullptr) {
    ++doublings;
  }
  const std::optional<int> ngf = file.Channels("main." + std::to_string(3 * doublings), 0);
  if (doublings < kMinDoublings || !ngf) {
    return std::nullopt;
  }
  return Architecture{.generator = "dcgan",
                      .base_channels = *ngf,
                      .latent_size = *latent,
                      .image_size = 4 << doublings};
}

// A convolution, plain or with spectral norm.
bool HasConvolution(const Shapes& file, std::string_view layer) {
  for (const std::string_view ending : {".weight", ".weight_orig"}) {
    const auto found = file.find(std::string(layer) + std::string(ending));
    if (found != file.end() && found->second.size() == 4) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::vector<Architecture> GuessArchitectures(const Shapes& file) {
  const File names(file);
  std::vector<Architecture> guesses;
  for (const auto guess :
       {GuessResnet, GuessUnet, GuessTransformer, GuessLite, GuessSharedLatent, GuessDcgan}) {
    if (std::optional<Architecture> architecture = guess(names)) {
      guesses.push_back(*std::move(architecture));
    }
  }
  return guesses;
}

bool LooksLikeDiscriminator(const Shapes& file) {
  const auto both = [&file](std::string_view first, std::string_view second) {
    return HasConvolution(file, first) && HasConvolution(file, second);
  };
  return both("model.0", "model.2") || both("net.0", "net.2") || both("main.0", "main.2") ||
         both("scale_0.model.0", "scale_0.model.2") || HasConvolution(file, "level_0.0");
}

}  // namespace atelier::models
