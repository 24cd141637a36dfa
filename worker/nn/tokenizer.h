// Short texts as numbers, for networks that are told in words what to make.
//
// A caption is a handful of words such as "dress floral blue", so that a fixed vocabulary of whole
// words, taken from the captions of the training set, is enough; it is plain data that model.json
// carries.
#pragma once

#include <torch/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/words.h"

namespace atelier::nn {

// Immutable and thread-safe.
class Tokenizer {
 public:
  static constexpr int kMaxTokens = kMaxCaptionWords;  // of a text; the rest is cut off
  static constexpr int kMaxWords = 4096;
  // Entries; the words follow from 2 on, in their order.
  static constexpr std::int64_t kPadding = 0;
  static constexpr std::int64_t kUnknown = 1;
  static constexpr std::int64_t kFirstWord = 2;

  // The words of model.json. INVALID_ARGUMENT: none or more than kMaxWords, one twice, or one that
  // SplitWords would not leave as it is.
  static absl::StatusOr<Tokenizer> Create(std::vector<std::string> words);

  // The `max_words` words that most captions have, the most frequent first, equal ones in
  // alphabetical order. INVALID_ARGUMENT: the captions have no word.
  static absl::StatusOr<Tokenizer> FromCaptions(const std::vector<std::string>& captions,
                                                int max_words = kMaxWords);

  const std::vector<std::string>& words() const { return words_; }
  // Words, padding and unknown: ConditionOptions::entries.
  int entries() const { return EntriesOf(words_.size()); }
  static int EntriesOf(std::size_t words) { return static_cast<int>(kFirstWord + words); }

  // int64 [texts, kMaxTokens] on the CPU, padded at the end.
  torch::Tensor Encode(const std::vector<std::string>& texts) const;

  // Attributes in the same space: float [1, entries()], 1 at each of the words. INVALID_ARGUMENT
  // naming the attribute that the vocabulary does not have.
  absl::StatusOr<torch::Tensor> EncodeAttributes(const std::vector<std::string>& attributes) const;

 private:
  explicit Tokenizer(std::vector<std::string> words);

  std::vector<std::string> words_;
  std::map<std::string, std::int64_t, std::less<>> places_;
};

}  // namespace atelier::nn
