#include "worker/train/conditioning.h"

#include <torch/torch.h>

#include <algorithm>
#include <map>
#include <utility>

#include "common/check.h"
#include "common/family.h"
#include "common/status_macros.h"
#include "worker/models/pattern_table.h"
#include "worker/train/caption.h"
#include "worker/train/random.h"

namespace atelier::train {
namespace {

constexpr std::size_t kMaxClasses = 1000;
constexpr std::size_t kFrequent = 4;  // the rows of the sample grid
constexpr double kDropAll = 0.1;
constexpr double kDropWord = 0.2;

// What is left of a caption that a sample's generator is told.
std::vector<std::int64_t> Shortened(const std::vector<std::int64_t>& words, KeyedRandom random) {
  std::vector<std::int64_t> kept;
  if (random.Uniform() < kDropAll) {
    return kept;
  }
  for (const std::int64_t word : words) {
    if (random.Uniform() >= kDropWord) {
      kept.push_back(word);
    }
  }
  return kept;
}

std::string Sentence(const std::vector<std::string>& words) {
  std::string sentence;
  for (const std::string& word : words) {
    sentence += (sentence.empty() ? "" : " ") + word;
  }
  return sentence;
}

}  // namespace

absl::StatusOr<Conditioning> Conditioning::Make(const TrainConfig& config,
                                                const ImageFolder& content) {
  const Family* family = FindFamily(config.family);
  if (family == nullptr || !family->has_labels) {
    return Conditioning();
  }
  if (config.pattern.words) {
    return MakeWords(config, content);
  }
  Conditioning conditioning;
  conditioning.classes_ = content.labels();
  const std::size_t count = conditioning.classes_.size();
  if (count < 2 || count > kMaxClasses) {
    return absl::FailedPreconditionError(
        "the family \"" + config.family + "\" learns what folders are called: the data set \"" +
        config.content_dataset + "\" needs from 2 to 1000 folders of pictures and has " +
        std::to_string(count) + "; or set pattern.condition to \"words\"");
  }
  return conditioning;
}

absl::StatusOr<Conditioning> Conditioning::MakeWords(const TrainConfig& config,
                                                     const ImageFolder& content) {
  std::vector<std::string> sentences;
  for (std::int64_t i = 0; i < content.size(); ++i) {
    ATELIER_ASSIGN_OR_RETURN(const torch::Tensor picture, content.Load(i));
    const std::string& type = content.labels().at(static_cast<std::size_t>(content.label(i)));
    sentences.push_back(Sentence(CaptionOf(type, picture)));
  }
  Conditioning conditioning;
  conditioning.seed_ = config.seed;
  ATELIER_ASSIGN_OR_RETURN(conditioning.tokenizer_, nn::Tokenizer::FromCaptions(sentences));
  const torch::Tensor tokens = conditioning.tokenizer_->Encode(sentences);
  const auto rows = tokens.accessor<std::int64_t, 2>();
  std::map<Words, std::int64_t> counts;
  for (std::int64_t i = 0; i < tokens.size(0); ++i) {
    Words words;
    for (std::int64_t j = 0; j < tokens.size(1) && rows[i][j] != nn::Tokenizer::kPadding; ++j) {
      words.push_back(rows[i][j]);
    }
    ++counts[words];
    conditioning.captions_.push_back(std::move(words));
  }
  std::vector<std::pair<Words, std::int64_t>> ranked(counts.begin(), counts.end());
  std::ranges::stable_sort(ranked, std::greater(), &std::pair<Words, std::int64_t>::second);
  ranked.resize(std::min(ranked.size(), kFrequent));
  for (auto& [words, count] : ranked) {
    conditioning.frequent_.push_back(std::move(words));
  }
  return conditioning;
}

nn::ConditionOptions Conditioning::options() const {
  return tokenizer_.has_value() ? models::WordCondition(tokenizer_->words().size())
                                : models::LabelCondition(classes_.size());
}

torch::Tensor Conditioning::WeightsOf(const std::vector<Words>& captions) const {
  torch::Tensor weights =
      torch::zeros({static_cast<std::int64_t>(captions.size()), tokenizer_->entries()});
  auto rows = weights.accessor<float, 2>();
  for (std::size_t i = 0; i < captions.size(); ++i) {
    for (const std::int64_t word : captions[i]) {
      rows[static_cast<std::int64_t>(i)][word] = 1;
    }
  }
  return weights;
}

torch::Tensor Conditioning::Of(const Batch& part) const {
  if (!tokenizer_.has_value()) {
    return classes_.empty() ? torch::Tensor() : part.labels;
  }
  ATELIER_CHECK(!part.content_places.empty());
  std::vector<Words> captions;
  for (std::size_t i = 0; i < part.content_places.size(); ++i) {
    captions.push_back(Shortened(
        captions_.at(static_cast<std::size_t>(part.content_places[i])),
        KeyedRandom(seed_, part.samples().At(static_cast<std::int64_t>(i)), 0, Purpose::kCaption)));
  }
  return WeightsOf(captions).to(part.labels.device());
}

std::int64_t Conditioning::kinds() const {
  const std::size_t kinds = tokenizer_.has_value() ? frequent_.size() : classes_.size();
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(kinds));
}

std::int64_t Conditioning::LabelOfRow(std::int64_t row) const {
  return tokenizer_.has_value() || classes_.empty() ? -1 : row % kinds();
}

torch::Tensor Conditioning::OfRow(std::int64_t row, std::int64_t count,
                                  const torch::Device& device) const {
  const std::int64_t kind = row % kinds();
  if (tokenizer_.has_value()) {
    return WeightsOf({frequent_[static_cast<std::size_t>(kind)]}).repeat({count, 1}).to(device);
  }
  return classes_.empty() ? torch::Tensor()
                          : torch::full({count}, kind, torch::dtype(torch::kInt64).device(device));
}

void Conditioning::Describe(ModelSpec& spec) const {
  spec.classes = classes_;
  spec.vocabulary = tokenizer_.has_value() ? tokenizer_->words() : std::vector<std::string>();
  spec.capabilities = models::PatternCapabilities(!classes_.empty(), tokenizer_.has_value());
}

}  // namespace atelier::train
