#include "worker/train/rank_part.h"

#include <torch/torch.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "common/build_info.h"
#include "common/status_macros.h"
#include "common/text.h"
#include "worker/train/checkpoint.h"
#include "worker/train/whole_batch.h"

namespace atelier::train {
namespace {

// Places and scores of one set's pictures, of the whole batch.
void GatherScores(ranks::RankGroup& group, const SampleRange& samples,
                  std::vector<std::int64_t>& places, torch::Tensor& scores) {
  if (!scores.defined()) {
    return;
  }
  const torch::Tensor part = torch::stack(
      {torch::tensor(places, torch::kInt64).to(torch::kFloat64), scores.cpu().to(torch::kFloat64)},
      1);
  const torch::Tensor whole = GatherWhole(group, samples, part);
  scores = whole.select(1, 1).contiguous();
  const torch::Tensor of_all = whole.select(1, 0).to(torch::kInt64).contiguous();
  places.assign(of_all.const_data_ptr<std::int64_t>(),
                of_all.const_data_ptr<std::int64_t>() + of_all.numel());
}

constexpr char kEndOfNote = '\0';

// The notes of the others, on the first rank. `text`: this one's, each with its end; `lengths`: of
// all ranks' texts, int64 [ranks].
absl::Status GatherNotes(ranks::RankGroup& group, const std::string& text,
                         const torch::Tensor& lengths, std::vector<std::string>& notes) {
  const auto longest = lengths.max().item<std::int64_t>();
  if (longest == 0) {
    return absl::OkStatus();
  }
  const torch::Tensor mine = torch::zeros({longest}, torch::kUInt8);
  std::ranges::copy(text, mine.mutable_data_ptr<std::uint8_t>());
  const torch::Tensor all = group.Gather(mine);
  ATELIER_RETURN_IF_ERROR(group.status());
  for (int rank = 1; rank < group.size() && group.rank() == 0; ++rank) {
    const std::uint8_t* const bytes = all[rank].const_data_ptr<std::uint8_t>();
    const std::string told(bytes, bytes + lengths[rank].item<std::int64_t>());
    std::vector<std::string_view> pieces = SplitText(told, kEndOfNote);
    pieces.pop_back();  // behind the last end
    for (const std::string_view piece : pieces) {
      notes.emplace_back(piece);
    }
  }
  return absl::OkStatus();
}

std::string PicturesOf(const SetDigests& digests, const std::string& role) {
  const auto set = digests.find(role);
  return set == digests.end() ? "none"
                              : std::to_string(set->second.pictures) + ", digest " +
                                    set->second.sha256.substr(0, 12);
}

}  // namespace

TrainConfig RankPart::ConfigOf(TrainConfig config) const {
  config.batch_size /= ranks();
  return config;
}

absl::Status RankPart::CompareJobs(const TrainJob& job, const Datasets& sets) const {
  if (group_ == nullptr) {
    return absl::OkStatus();
  }
  const SetDigests digests = DigestsOf(sets);
  const std::string resumed = job.resume_directory.filename().string();
  return group_->ExpectEqual(
      {{"the version of atelier", std::string(Version())},
       {"what the job file says", "digest " + Fingerprint(job.config).substr(0, 12)},
       {"the length of the job", std::to_string(job.config.steps) + " steps, " +
                                     std::to_string(job.config.epochs) + " epochs"},
       {"how often checkpoints are saved", std::to_string(job.config.checkpoint_every_steps)},
       {"the pictures of data.content", PicturesOf(digests, "content")},
       {"the pictures of data.style", PicturesOf(digests, "style")},
       {"the checkpoint to go on from", resumed.empty() ? "none" : resumed}});
}

absl::Status RankPart::ShareState(TrainStep& step) const {
  if (group_ == nullptr) {
    return absl::OkStatus();
  }
  TensorMap state = step.State();
  for (auto& [name, tensor] : state) {
    if (tensor.numel() > 0) {
      group_->Broadcast(tensor);
    }
  }
  ATELIER_RETURN_IF_ERROR(group_->status());
  return group_->rank() == 0 ? absl::OkStatus() : step.LoadState(state);
}

absl::StatusOr<RankPart::Word> RankPart::Exchange(const Word& word) const {
  Word heard = {.stop = word.stop, .memory_bytes = word.memory_bytes, .notes = {}};
  if (group_ == nullptr) {
    return heard;
  }
  std::string text;
  for (const std::string& note : word.notes) {
    text += note + kEndOfNote;
  }
  // The two numbers, and the length of each rank's notes.
  const torch::Tensor sums = torch::zeros({2 + ranks()}, torch::kFloat64);
  sums[0] = word.stop ? 1.0 : 0.0;
  sums[1] = static_cast<double>(word.memory_bytes);
  sums[2 + rank()] = static_cast<double>(text.size());
  group_->Sum(sums);
  ATELIER_RETURN_IF_ERROR(group_->status());
  heard.stop = sums[0].item<double>() > 0;
  heard.memory_bytes = static_cast<std::uint64_t>(sums[1].item<double>());
  const torch::Tensor lengths = sums.narrow(0, 2, ranks()).to(torch::kInt64);
  ATELIER_RETURN_IF_ERROR(GatherNotes(*group_, text, lengths, heard.notes));
  return heard;
}

absl::Status RankPart::MeanLosses(std::map<std::string, double>& losses) const {
  if (group_ == nullptr) {
    return absl::OkStatus();
  }
  std::vector<double> values;
  for (const auto& [name, loss] : losses) {
    values.push_back(loss);
  }
  const torch::Tensor sums = torch::tensor(values, torch::kFloat64);
  group_->Sum(sums);
  ATELIER_RETURN_IF_ERROR(group_->status());
  std::int64_t place = 0;
  for (auto& [name, loss] : losses) {
    loss = sums[place++].item<double>() / ranks();
  }
  return absl::OkStatus();
}

absl::Status RankPart::WholeScores(Batch& batch, RealScores& scores) const {
  if (group_ == nullptr) {
    return absl::OkStatus();
  }
  GatherScores(*group_, batch.samples(), batch.content_places, scores.content);
  GatherScores(*group_, batch.samples(), batch.target_places, scores.target);
  return group_->status();
}

absl::StatusOr<double> RankPart::FromFirst(double here) const {
  if (group_ == nullptr) {
    return here;
  }
  const torch::Tensor number = torch::full({1}, here, torch::kFloat64);
  group_->Broadcast(number);
  ATELIER_RETURN_IF_ERROR(group_->status());
  return number.item<double>();
}

}  // namespace atelier::train
