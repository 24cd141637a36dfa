#include "worker/nn/tokenizer.h"

#include <torch/torch.h>

#include <algorithm>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "common/check.h"
#include "common/words.h"

namespace atelier::nn {

Tokenizer::Tokenizer(std::vector<std::string> words) : words_(std::move(words)) {
  std::int64_t place = kFirstWord;
  for (const std::string& word : words_) {
    places_.emplace(word, place++);
  }
}

absl::StatusOr<Tokenizer> Tokenizer::Create(std::vector<std::string> words) {
  if (words.empty() || words.size() > kMaxWords) {
    return absl::InvalidArgumentError("A vocabulary has between 1 and " +
                                      std::to_string(kMaxWords) + " words.");
  }
  for (const std::string& word : words) {
    if (SplitWords(word) != std::vector{word}) {
      return absl::InvalidArgumentError("A word of the vocabulary is not one word in lower case.");
    }
  }
  Tokenizer tokenizer(std::move(words));
  if (tokenizer.places_.size() != tokenizer.words_.size()) {
    return absl::InvalidArgumentError("A word stands twice in the vocabulary.");
  }
  return tokenizer;
}

absl::StatusOr<Tokenizer> Tokenizer::FromCaptions(const std::vector<std::string>& captions,
                                                  int max_words) {
  ATELIER_CHECK(max_words > 0 && max_words <= kMaxWords);
  std::map<std::string, int> captions_with;
  for (const std::string& caption : captions) {
    const std::vector<std::string> words = SplitWords(caption);
    for (const std::string& word : std::set<std::string>(words.begin(), words.end())) {
      ++captions_with[word];
    }
  }
  // The map is in alphabetical order, which the stable sort keeps among equals.
  std::vector<std::pair<std::string, int>> ranked(captions_with.begin(), captions_with.end());
  std::ranges::stable_sort(ranked, std::greater(), &std::pair<std::string, int>::second);
  ranked.resize(std::min(ranked.size(), static_cast<std::size_t>(max_words)));
  std::vector<std::string> words;
  words.reserve(ranked.size());
  for (auto& [word, count] : ranked) {
    words.push_back(std::move(word));
  }
  return Create(std::move(words));
}

torch::Tensor Tokenizer::Encode(const std::vector<std::string>& texts) const {
  torch::Tensor tokens =
      torch::full({static_cast<std::int64_t>(texts.size()), kMaxTokens}, kPadding, torch::kLong);
  auto rows = tokens.accessor<std::int64_t, 2>();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<std::string> words = SplitWords(texts[i]);
    for (std::size_t j = 0; j < std::min<std::size_t>(words.size(), kMaxTokens); ++j) {
      const auto found = places_.find(words[j]);
      rows[static_cast<std::int64_t>(i)][static_cast<std::int64_t>(j)] =
          found == places_.end() ? kUnknown : found->second;
    }
  }
  return tokens;
}

absl::StatusOr<torch::Tensor> Tokenizer::EncodeAttributes(
    const std::vector<std::string>& attributes) const {
  torch::Tensor weights = torch::zeros({1, entries()});
  for (const std::string& attribute : attributes) {
    const auto found = places_.find(attribute);
    if (found == places_.end()) {
      return absl::InvalidArgumentError("The vocabulary has no attribute \"" + attribute + "\".");
    }
    weights[0][found->second] = 1.0;
  }
  return weights;
}

}  // namespace atelier::nn
