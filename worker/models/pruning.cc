#include "worker/models/pruning.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "common/check.h"
#include "common/status_macros.h"
#include "worker/models/generator_table.h"
#include "worker/models/weights.h"
#include "worker/nn/blocks.h"

namespace atelier::models {
namespace {

// A set of channels that must be chosen together: what one layer makes, or several whose results
// are added.
struct Group {
  std::int64_t before = 0;
  std::int64_t after = 0;
};

// A convolution: what it makes, and what it is given, in the order in which that is concatenated.
// Places in the list of groups.
struct Layer {
  std::vector<std::size_t> in;
  std::size_t out = 0;
};

// The convolutions of a network in the order of its modules.
struct Wiring {
  std::vector<Group> groups;
  std::vector<Layer> layers;

  std::size_t Add(std::int64_t before, std::int64_t after) {
    groups.push_back({before, after});
    return groups.size() - 1;
  }
};

constexpr std::int64_t kColors = 3;

Wiring ResnetWiring(int blocks, int before, int after, bool multi_level) {
  Wiring wiring;
  const auto width = [&](int times) {
    return wiring.Add(std::int64_t{times} * before, std::int64_t{times} * after);
  };
  const std::size_t colors = wiring.Add(kColors, kColors);
  const std::size_t full = width(1);
  const std::size_t half = width(2);
  const std::size_t trunk = width(4);
  wiring.layers = {{{colors}, full}, {{full}, half}, {{half}, trunk}};
  for (int i = 0; i < blocks; ++i) {
    const std::size_t inner = width(4);
    wiring.layers.push_back({{trunk}, inner});
    wiring.layers.push_back({{inner}, trunk});
  }
  const std::size_t up_half = width(2);
  const std::size_t up_full = width(1);
  wiring.layers.push_back({{trunk}, up_half});
  wiring.layers.push_back({{up_half}, up_full});
  wiring.layers.push_back({{up_full}, colors});
  if (multi_level) {
    wiring.layers.push_back({{trunk}, colors});
    wiring.layers.push_back({{up_half}, colors});
  }
  return wiring;
}

// Going down, then up; what is made on the way down skips to the same level on the way up.
Wiring UnetWiring(int downs, int before, int after) {
  Wiring wiring;
  const auto level = [&](int i) {
    const std::int64_t times = std::min(1 << (i - 1), 8);
    return wiring.Add(times * before, times * after);
  };
  const std::size_t colors = wiring.Add(kColors, kColors);
  std::vector<std::size_t> skips = {colors};
  for (int i = 1; i <= downs; ++i) {
    skips.push_back(level(i));
    wiring.layers.push_back({{skips[static_cast<std::size_t>(i) - 1]}, skips.back()});
  }
  std::vector<std::size_t> given = {skips.back()};
  for (int i = downs - 1; i >= 1; --i) {
    const std::size_t made = level(i);
    wiring.layers.push_back({given, made});
    given = {skips[static_cast<std::size_t>(i)], made};
  }
  wiring.layers.push_back({given, colors});
  return wiring;
}

Wiring WiringOf(const Architecture& architecture, int after) {
  const std::string& generator = architecture.generator;
  const int number = std::stoi(generator.substr(generator.find('-') + 1));
  if (generator.starts_with("unet-")) {
    return UnetWiring(static_cast<int>(std::lround(std::log2(number))), architecture.base_channels,
                      after);
  }
  return ResnetWiring(number, architecture.base_channels, after, architecture.multi_level);
}

// One tensor of a network and the layer that it belongs to.
struct Part {
  std::string name;
  torch::Tensor tensor;
  std::size_t layer = 0;
  bool convolution = false;
  bool transposed = false;  // [in, out, k, k]
};

// Convolutions in the order of their modules; what has one number a channel of the last one belongs
// to it (biases and norms).
std::vector<Part> PartsOf(nn::Generator& network) {
  std::vector<Part> parts;
  std::size_t layers = 0;
  for (const auto& module : network.named_modules()) {
    const auto add = [&](const auto& named, bool learnt) {
      const std::string name =
          module.key().empty() ? named.key() : module.key() + "." + named.key();
      const torch::Tensor& tensor = named.value();
      const bool convolution = learnt && tensor.dim() == 4;
      layers += convolution ? 1 : 0;
      ATELIER_CHECK(layers > 0);
      parts.push_back({name, tensor, layers - 1, convolution,
                       module.value()->template as<nn::UpConvImpl>() != nullptr});
    };
    for (const auto& parameter : module.value()->named_parameters(/*recurse=*/false)) {
      add(parameter, true);
    }
    for (const auto& buffer : module.value()->named_buffers(/*recurse=*/false)) {
      add(buffer, false);
    }
  }
  return parts;
}

// Per group, the channels that stay, ascending.
std::vector<torch::Tensor> Choose(const Wiring& wiring, const std::vector<Part>& parts) {
  std::vector<torch::Tensor> sums;
  for (const Group& group : wiring.groups) {
    sums.push_back(torch::zeros({group.before}, torch::kDouble));
  }
  for (const Part& part : parts) {
    if (part.convolution) {
      const torch::Tensor of_channels = part.transposed ? part.tensor.transpose(0, 1) : part.tensor;
      sums[wiring.layers[part.layer].out] += of_channels.to(torch::kDouble).abs().sum({1, 2, 3});
    }
  }
  std::vector<torch::Tensor> chosen;
  for (std::size_t i = 0; i < sums.size(); ++i) {
    const torch::Tensor largest =
        std::get<1>(sums[i].sort(/*stable=*/true, /*dim=*/0, /*descending=*/true))
            .narrow(0, 0, wiring.groups[i].after);
    chosen.push_back(std::get<0>(largest.sort()));
  }
  return chosen;
}

// The places that stay of channels that are concatenated.
torch::Tensor Concatenated(const Wiring& wiring, const std::vector<torch::Tensor>& chosen,
                           const std::vector<std::size_t>& groups) {
  std::vector<torch::Tensor> places;
  std::int64_t offset = 0;
  for (const std::size_t group : groups) {
    places.push_back(chosen[group] + offset);
    offset += wiring.groups[group].before;
  }
  return torch::cat(places);
}

}  // namespace

Architecture PrunedArchitecture(const Architecture& architecture, double keep) {
  constexpr int kMultiple = 4;
  Architecture pruned = architecture;
  const double wanted = keep * architecture.base_channels / kMultiple;
  pruned.base_channels = kMultiple * std::max(1, static_cast<int>(std::lround(wanted)));
  return pruned;
}

absl::StatusOr<TensorMap> PruneChannels(const Architecture& architecture, nn::Generator& source,
                                        const Architecture& pruned) {
  const torch::NoGradGuard no_grad;
  const Wiring wiring = WiringOf(architecture, pruned.base_channels);
  const std::vector<Part> parts = PartsOf(source);
  ATELIER_CHECK(parts.back().layer + 1 == wiring.layers.size());
  const std::vector<torch::Tensor> chosen = Choose(wiring, parts);
  // Filters that do not learn are as the smaller network has them.
  ATELIER_ASSIGN_OR_RETURN(const auto network, MakeGenerator(pruned));
  TensorMap left = CollectWeights(*network);
  for (const Part& part : parts) {
    const Layer& layer = wiring.layers[part.layer];
    if (part.convolution) {
      const torch::Tensor in = Concatenated(wiring, chosen, layer.in);
      left[part.name] = part.tensor.index_select(part.transposed ? 1 : 0, chosen[layer.out])
                            .index_select(part.transposed ? 0 : 1, in);
    } else if (part.tensor.dim() == 1) {
      left[part.name] = part.tensor.index_select(0, chosen[layer.out]);
    } else if (part.tensor.dim() == 0) {
      left[part.name] = part.tensor.clone();
    }
  }
  return left;
}

}  // namespace atelier::models
