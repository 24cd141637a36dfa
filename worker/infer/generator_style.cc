#include "worker/infer/generator_style.h"

#include <torch/torch.h>

#include <algorithm>

#include "common/errors.h"
#include "common/image_header.h"
#include "common/style_mix.h"
#include "worker/image/resize.h"
#include "worker/kernels/pixels.h"
#include "worker/models/generator_table.h"
#include "worker/nn/multistyle_generator.h"
#include "worker/nn/reference_generator.h"

namespace atelier::infer {
namespace {

using GeneratorPtr = std::shared_ptr<nn::Generator>;

absl::StatusOr<torch::Tensor> MixCode(nn::MultistyleGenerator& generator,
                                      const std::vector<float>& mix) {
  const auto styles = static_cast<std::size_t>(generator.styles());
  if (!mix.empty() && mix.size() != styles) {
    return InvalidField(
        "mix", "must have a weight for each of the model's " + std::to_string(styles) + " styles");
  }
  torch::Tensor weights = torch::zeros({1, static_cast<std::int64_t>(styles)});
  for (std::size_t i = 0; i < styles; ++i) {
    weights[0][static_cast<std::int64_t>(i)] = mix.empty() ? (i == 0 ? 1.0F : 0.0F) : mix[i];
  }
  return generator.Code(weights.to(generator.parameters().front().device()));
}

// The side at which the encoder learnt to look at styles; details beyond it would be new to it.
torch::Tensor ShrinkTo(const torch::Tensor& picture, int short_side) {
  const image::Size size{.height = static_cast<int>(picture.size(0)),
                         .width = static_cast<int>(picture.size(1))};
  if (short_side == 0 || std::min(size.height, size.width) <= short_side) {
    return picture;
  }
  const image::Size fit = image::FitShortSide(size, short_side);
  return image::Resize(picture, fit.height, fit.width);
}

absl::StatusOr<torch::Tensor> ReferenceCode(nn::ReferenceGenerator& generator,
                                            const ModelSpec& spec,
                                            const torch::Tensor& style_image) {
  if (!style_image.defined()) {
    return InvalidField("style_image", "is required: this model takes the style from it");
  }
  if (style_image.dim() != 3 || style_image.size(2) != 3 ||
      style_image.scalar_type() != torch::kByte || style_image.size(0) < kMinImageSide ||
      style_image.size(1) < kMinImageSide) {
    return InvalidField("style_image", "must be at least 16 x 16 pixels of red, green and blue");
  }
  const torch::Tensor like = generator.parameters().front();
  const torch::Tensor picture = ShrinkTo(style_image, spec.architecture.image_size);
  return generator.Style(
      kernels::PixelsToTensor(picture.unsqueeze(0).to(like.device())).to(like.scalar_type()));
}

}  // namespace

absl::StatusOr<GeneratorPtr> MakeModelNetwork(const ModelSpec& spec) {
  GeneratorPtr generator;
  if (spec.architecture.generator == "multistyle") {
    if (spec.classes.empty() || spec.classes.size() > kMaxStyles) {
      return absl::DataLossError("The model must have from 1 to " + std::to_string(kMaxStyles) +
                                 " classes.");
    }
    generator = std::make_shared<nn::MultistyleGenerator>(
        nn::MultistyleGenerator::Options{.styles = static_cast<int>(spec.classes.size())});
  } else if (spec.architecture.generator == "reference") {
    generator = std::make_shared<nn::ReferenceGenerator>(nn::ReferenceGenerator::Options{});
  } else {
    return models::MakeGenerator(spec.architecture);
  }
  generator->eval();
  return generator;
}

absl::StatusOr<at::Tensor> StyleCode(nn::Generator& generator, const ModelSpec& spec,
                                     const StylizeControls& controls) {
  auto* const multistyle = dynamic_cast<nn::MultistyleGenerator*>(&generator);
  auto* const reference = dynamic_cast<nn::ReferenceGenerator*>(&generator);
  if (multistyle == nullptr && !controls.mix.empty()) {
    return InvalidField("mix", "does not apply: this model does not know several styles");
  }
  if (reference == nullptr && controls.style_image.defined()) {
    return InvalidField("style_image", "does not apply: this model has learnt its style");
  }
  if (multistyle != nullptr) {
    return MixCode(*multistyle, controls.mix);
  }
  if (reference != nullptr) {
    return ReferenceCode(*reference, spec, controls.style_image);
  }
  return torch::Tensor();
}

at::Tensor Forward(nn::Generator& generator, const at::Tensor& x, const at::Tensor& code) {
  if (auto* multistyle = dynamic_cast<nn::MultistyleGenerator*>(&generator)) {
    return multistyle->ForwardCode(x, code);
  }
  if (auto* reference = dynamic_cast<nn::ReferenceGenerator*>(&generator)) {
    return reference->forward(x, code);
  }
  return generator.forward(x);
}

}  // namespace atelier::infer
