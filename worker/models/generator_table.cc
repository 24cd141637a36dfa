#include "worker/models/generator_table.h"

#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "common/status_macros.h"
#include "worker/nn/lite_generator.h"
#include "worker/nn/resnet_generator.h"
#include "worker/nn/shared_latent_generator.h"
#include "worker/nn/transformer_net.h"
#include "worker/nn/unet_generator.h"

namespace atelier::models {
namespace {

using GeneratorPtr = std::shared_ptr<nn::Generator>;

// The generators that people choose by name.
struct GeneratorRow {
  std::string_view name;
  std::string_view tier;  // empty: of none
  Architecture architecture;
};

const std::vector<GeneratorRow>& Rows() {
  static const auto* const rows = new std::vector<GeneratorRow>{
      {"lite", "lite", {.generator = "lite"}},
      {"resnet-6", "base", {.generator = "resnet-6", .base_channels = 64, .norm = "instance"}},
      {"resnet-9", "quality", {.generator = "resnet-9", .base_channels = 64, .norm = "instance"}},
      {"cut-resnet-6",
       "",
       {.generator = "resnet-6", .base_channels = 64, .norm = "instance", .antialias = true}},
      {"cut-resnet-9",
       "",
       {.generator = "resnet-9", .base_channels = 64, .norm = "instance", .antialias = true}},
      {"unet-64", "", {.generator = "unet-64", .base_channels = 64, .norm = "batch"}},
      {"unet-128", "", {.generator = "unet-128", .base_channels = 64, .norm = "batch"}},
      {"unet-256", "", {.generator = "unet-256", .base_channels = 64, .norm = "batch"}},
      {"transformer", "", {.generator = "transformer", .base_channels = 32}},
  };
  return *rows;
}

// The number behind "NAME-", or 0.
int NumberBehind(const std::string& generator, std::string_view prefix) {
  int number = 0;
  const bool has =
      generator.starts_with(prefix) && absl::SimpleAtoi(generator.substr(prefix.size()), &number);
  return has ? number : 0;
}

// Older model files say nothing of width and norm.
int ChannelsOf(const Architecture& architecture) {
  return architecture.base_channels == 0 ? 64 : architecture.base_channels;
}

absl::StatusOr<GeneratorPtr> Build(const Architecture& architecture, bool dropout) {
  if (architecture.generator == "lite") {
    return std::make_shared<nn::LiteGenerator>(nn::LiteGenerator::Options{});
  }
  if (architecture.generator == "transformer") {
    return std::make_shared<nn::TransformerNet>(
        nn::TransformerNet::Options{.channels = architecture.base_channels});
  }
  if (architecture.generator == "shared-latent") {
    return std::make_shared<nn::SharedLatentGenerator>(
        nn::SharedLatentGenerator::Options{.base_channels = ChannelsOf(architecture)});
  }
  ATELIER_ASSIGN_OR_RETURN(const nn::NormKind norm,
                           NormKindOf(architecture.norm.empty() ? "instance" : architecture.norm));
  constexpr int kMaxBlocks = 99;
  const int blocks = NumberBehind(architecture.generator, "resnet-");
  if (blocks >= 1 && blocks <= kMaxBlocks) {
    return std::make_shared<nn::ResnetGenerator>(
        nn::ResnetGenerator::Options{.blocks = blocks,
                                     .ngf = ChannelsOf(architecture),
                                     .norm = norm,
                                     .antialias = architecture.antialias,
                                     .resize_convolution = architecture.resize_convolution,
                                     .multi_level = architecture.multi_level,
                                     .int8 = architecture.int8});
  }
  constexpr int kLeastDowns = 5;
  constexpr int kMostDowns = 10;
  for (int downs = kLeastDowns; downs <= kMostDowns; ++downs) {
    if (NumberBehind(architecture.generator, "unet-") == 1 << downs) {
      return std::make_shared<nn::UnetGenerator>(
          nn::UnetGenerator::Options{.downs = downs,
                                     .ngf = ChannelsOf(architecture),
                                     .norm = norm,
                                     .dropout = dropout,
                                     .int8 = architecture.int8});
    }
  }
  return absl::UnimplementedError("This build has no generator called \"" + architecture.generator +
                                  "\"; update the worker.");
}

}  // namespace

absl::StatusOr<nn::NormKind> NormKindOf(std::string_view name) {
  constexpr std::pair<std::string_view, nn::NormKind> kNorms[] = {
      {"instance", nn::NormKind::kInstance},
      {"batch", nn::NormKind::kBatch},
      {"layer", nn::NormKind::kLayer},
      {"none", nn::NormKind::kNone}};
  for (const auto& [norm_name, kind] : kNorms) {
    if (norm_name == name) {
      return kind;
    }
  }
  return absl::InvalidArgumentError("there is no norm called \"" + std::string(name) +
                                    "\"; use instance, batch, layer or none");
}

absl::StatusOr<Architecture> ArchitectureOf(std::string_view name, int base_channels) {
  std::string names;
  for (const GeneratorRow& row : Rows()) {
    names += (names.empty() ? "" : ", ") + std::string(row.name);
    if (row.name != name) {
      continue;
    }
    Architecture architecture = row.architecture;
    if (base_channels != 0 && architecture.base_channels == 0) {
      return absl::InvalidArgumentError("the generator \"" + std::string(name) +
                                        "\" has one width only; leave base_channels out");
    }
    if (base_channels != 0) {
      architecture.base_channels = base_channels;
    }
    return architecture;
  }
  return absl::InvalidArgumentError("there is no generator called \"" + std::string(name) +
                                    "\"; use one of " + names);
}

absl::StatusOr<GeneratorPtr> MakeGenerator(const Architecture& architecture, bool dropout) {
  ATELIER_ASSIGN_OR_RETURN(GeneratorPtr generator, Build(architecture, dropout));
  generator->eval();
  return generator;
}

absl::StatusOr<GeneratorPtr> MakeGenerator(std::string_view name) {
  ATELIER_ASSIGN_OR_RETURN(const Architecture architecture, ArchitectureOf(name));
  return MakeGenerator(architecture);
}

absl::StatusOr<std::string> GeneratorForTier(std::string_view tier) {
  for (const GeneratorRow& row : Rows()) {
    if (!tier.empty() && row.tier == tier) {
      return std::string(row.name);
    }
  }
  return absl::InvalidArgumentError("There is no tier called \"" + std::string(tier) +
                                    "\"; use lite, base or quality.");
}

std::string TierOf(const Architecture& architecture) {
  for (const GeneratorRow& row : Rows()) {
    if (row.architecture == architecture) {
      return std::string(row.tier);
    }
  }
  return "";
}

}  // namespace atelier::models
