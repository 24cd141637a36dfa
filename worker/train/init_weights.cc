#include "worker/train/init_weights.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>
#include <utility>

#include "common/errors.h"
#include "common/files.h"
#include "common/status_macros.h"
#include "worker/models/import_weights.h"
#include "worker/models/safetensors.h"
#include "worker/models/saved_names.h"
#include "worker/models/weights.h"
#include "worker/train/checkpoint.h"

namespace atelier::train {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMaxBytes = 2ull << 30;
constexpr const char* kModelFile = "weights.safetensors";

// Where weights come from: the tensors of one network, or those of all networks of a checkpoint.
struct Source {
  std::string name;  // for sentences
  TensorMap network;
  TensorMap checkpoint;

  bool is_checkpoint() const { return !checkpoint.empty(); }
};

// torch.nn.DataParallel's prefix is dropped; a file that is recognised gets the names that its
// network has here.
absl::StatusOr<TensorMap> ReadFileTensors(const fs::path& path) {
  ATELIER_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path, kMaxBytes));
  ATELIER_ASSIGN_OR_RETURN(TensorMap tensors, models::ParseWeights(bytes));
  if (absl::StatusOr<models::ImportedWeights> known = models::RecognizeWeights(tensors);
      known.ok()) {
    return std::move(known->tensors);
  }
  constexpr std::string_view kParallel = "module.";
  TensorMap plain;
  for (auto& [name, tensor] : tensors) {
    plain[name.starts_with(kParallel) ? name.substr(kParallel.size()) : name] = tensor;
  }
  return plain;
}

absl::StatusOr<Source> ReadSource(const fs::path& path, const std::string& name) {
  Source source;
  source.name = name.empty() ? path.filename().string() : name;
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    ATELIER_ASSIGN_OR_RETURN(source.network, ReadFileTensors(path));
  } else if (fs::exists(path / kModelFile, error)) {
    ATELIER_ASSIGN_OR_RETURN(models::Safetensors file,
                             models::ReadSafetensors(path / kModelFile, kMaxBytes));
    source.network = std::move(file.tensors);
  } else {
    ATELIER_ASSIGN_OR_RETURN(Checkpoint checkpoint, LoadCheckpoint(path));
    source.checkpoint = std::move(checkpoint.state);
  }
  if (std::ranges::any_of(source.network, [](const auto& tensor) {
        return tensor.first.ends_with(models::kInputScale);
      })) {
    return InvalidField(
        "train.init_from",
        "is an int8 model, from which nothing can be learnt; give the model that it "
        "was made from");
  }
  return source;
}

// The weights and buffers of `network` in a checkpoint, without its optimiser's moments.
TensorMap TensorsOf(const TensorMap& checkpoint, const std::string& network) {
  const std::string prefix = network + ".";
  TensorMap tensors;
  for (auto it = checkpoint.lower_bound(prefix);
       it != checkpoint.end() && it->first.starts_with(prefix); ++it) {
    if (it->first.find('#') == std::string::npos) {
      tensors[it->first.substr(prefix.size())] = it->second;
    }
  }
  return tensors;
}

// The names under which a checkpoint may have what is called `network` here, the best first.
std::vector<std::string> NamesFor(const std::string& network) {
  std::vector<std::string> names = {network};
  const bool counted = network.ends_with("_a") || network.ends_with("_b");
  if (network.ends_with("_a")) {
    names.push_back(network.substr(0, network.size() - 2));
  } else if (!counted) {
    names.push_back(network + "_a");
  }
  if (network == "average") {  // made without a running mean
    names.insert(names.end(), {"generator", "generator_a"});
  }
  return names;
}

TensorMap TensorsOfNetwork(const TensorMap& checkpoint, const std::string& network) {
  for (const std::string& name : NamesFor(network)) {
    if (TensorMap tensors = TensorsOf(checkpoint, name); !tensors.empty()) {
      return tensors;
    }
  }
  return {};
}

class Starter {
 public:
  explicit Starter(TrainStep& step) : step_(step) {}

  absl::Status FromModel(const Source& source) {
    models::MatchReport report;
    for (torch::nn::Module* network : step_.generators()) {
      report = models::LoadMatching(*network, source.network);
    }
    return Tell("the generator", source, report);
  }

  // Every network that `wanted` says yes to.
  template <typename Wanted>
  absl::Status FromCheckpoint(const Source& source, Wanted wanted) {
    bool some = false;
    for (const NamedNetwork& network : step_.Networks()) {
      if (!wanted(network)) {
        continue;
      }
      const TensorMap tensors = TensorsOfNetwork(source.checkpoint, network.name);
      if (tensors.empty()) {
        sentences_.push_back(network.name + " starts afresh: " + source.name + " has none");
        continue;
      }
      some = true;
      ATELIER_RETURN_IF_ERROR(
          Tell(network.name, source, models::LoadMatching(*network.network, tensors)));
    }
    return some ? absl::OkStatus()
                : absl::FailedPreconditionError(source.name + " has no network of this family's");
  }

  absl::Status FromDiscriminatorFile(const Source& source) {
    const std::vector<NamedNetwork> networks = step_.Networks();
    const auto first = std::ranges::find_if(
        networks, [](const NamedNetwork& network) { return network.discriminator; });
    if (first == networks.end()) {
      return absl::FailedPreconditionError("this family has no discriminator to start from " +
                                           source.name);
    }
    return Tell(first->name, source, models::LoadMatching(*first->network, source.network));
  }

  std::vector<std::string> TakeSentences() { return std::move(sentences_); }

 private:
  absl::Status Tell(const std::string& network, const Source& source,
                    const models::MatchReport& report) {
    if (report.kernels == 0) {
      return absl::FailedPreconditionError("no weight of " + source.name + " fits " + network +
                                           ", but for biases and counters: " + report.Sentence());
    }
    sentences_.push_back(network + " started from " + source.name + ": " + report.Sentence());
    return absl::OkStatus();
  }

  TrainStep& step_;
  std::vector<std::string> sentences_;
};

}  // namespace

absl::StatusOr<std::vector<std::string>> StartFromWeights(const TrainJob& job, TrainStep& step) {
  Starter starter(step);
  if (!job.init_directory.empty()) {
    ATELIER_ASSIGN_OR_RETURN(const Source source,
                             ReadSource(job.init_directory, job.config.init_from));
    // A discriminator of its own comes afterwards.
    const bool all = job.init_discriminator.empty();
    ATELIER_RETURN_IF_ERROR(source.is_checkpoint()
                                ? starter.FromCheckpoint(source,
                                                         [all](const NamedNetwork& network) {
                                                           return all || !network.discriminator;
                                                         })
                                : starter.FromModel(source));
  }
  if (!job.init_discriminator.empty()) {
    ATELIER_ASSIGN_OR_RETURN(const Source source, ReadSource(job.init_discriminator, ""));
    ATELIER_RETURN_IF_ERROR(
        source.is_checkpoint()
            ? starter.FromCheckpoint(
                  source, [](const NamedNetwork& network) { return network.discriminator; })
            : starter.FromDiscriminatorFile(source));
  }
  return starter.TakeSentences();
}

}  // namespace atelier::train
